import { z } from "zod";
import { instantOf } from "../../base/clock.ts";
import { asWaybillError, isFaultCode, WaybillError } from "../../base/errors.ts";
import { termOf, updateId, type UpdateId } from "../../base/ids.ts";
import { newUlid } from "../../base/runtime.ts";
import type { StoredUpdate, Terminal } from "../../ledger/port.ts";
import type { Change } from "../../message/change.ts";
import { appliedAnswer, appliedCall, publishAnswer, publishCall } from "../../wire/calls.ts";
import { audiencesOf } from "../../wire/manifest.ts";
import { readChanges } from "../../wire/message-line.ts";
import { updatesBody, type Attested } from "../../wire/updates.ts";
import { untraced } from "../../observe/tracing.ts";
import { DeliveryTeller } from "../spans.ts";
import type { Gate } from "./gate.ts";
import { json, ndjson } from "./http.ts";
import type { HubApiParts } from "./parts.ts";
import { refusedWords } from "./refused-words.ts";
import { Questions } from "./questions.ts";
import { jsonRoute, queryOf, route, type Route } from "./route.ts";

const WAIT_MAX_SECONDS = 30;
const UPDATES_MAX = 10_000;
/** About as much one answer carries; a terminal that is far behind asks again at once. */
const ANSWER_BYTES = 1024 * 1024;
/** How often the head of the log is looked at, once for all who wait: for writers who could not ring here. */
const LOOK_EVERY_MS = 1_000;
/** How many restores a terminal's cursor may tell of at once: one that shows nonsense must not use the ids up. */
const TERMS_BELIEVED = 20;

const updatesQuery = z.object({
  after: z
    .string()
    .regex(/^\d{1,16}$/)
    .default("0")
    .describe("the terminal's cursor: updates behind it are wanted"),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(UPDATES_MAX)
    .default(1_000)
    .describe("at most so many updates; fewer when they are large"),
  wait: z.coerce.number().min(0).max(WAIT_MAX_SECONDS).default(0).describe("seconds to wait for the first one"),
  told: z.string().max(64).optional().describe("the question this terminal knows of: only another one ends the wait"),
});

/** GET and POST of /v1/updates, and their acknowledgement. */
export class Delivery implements Disposable {
  readonly #parts: HubApiParts;
  readonly #gate: Gate;
  readonly #look: Disposable;
  readonly #teller: DeliveryTeller;
  readonly #questions: Questions;
  #head: UpdateId | null = null;
  #ringsSeen = 0;

  constructor(parts: HubApiParts, gate: Gate) {
    this.#parts = parts;
    this.#gate = gate;
    this.#teller = new DeliveryTeller(parts.tracing ?? untraced, "deliver");
    this.#questions = new Questions(parts.ledger);
    this.#look = parts.runtime.timers.every(
      LOOK_EVERY_MS,
      () => this.#lookAtHead(),
      (thrown) => {
        parts.log.warn({ error: asWaybillError(thrown) }, "request.failed");
      },
    );
  }

  [Symbol.dispose](): void {
    this.#look[Symbol.dispose]();
  }

  routes(): readonly Route[] {
    const { ledger, runtime, updates: signal } = this.#parts;
    return [
      ...this.#questions.routes(),
      route(
        "terminal",
        {
          method: "GET",
          path: "/v1/updates",
          summary: "Updates for this terminal behind its cursor: NDJSON, a header line and then update lines",
          query: updatesQuery,
          answer: { status: 200, ndjson: true },
          faults: ["CURSOR_GONE"],
        },
        async ({ caller: { terminal }, request, span }) => {
          const { after, limit, wait, told } = queryOf(updatesQuery, request);
          const asked = { after: updateId(after), limit, waitMs: wait * 1_000, told };
          const batch = await this.#poll(terminal, asked, request.signal);
          this.#teller.tell(terminal.id, batch.updates, { from: span.from, to: runtime.clock.now() });
          return ndjson(updatesBody(batch));
        },
      ),
      jsonRoute(
        "terminal",
        {
          method: "POST",
          path: "/v1/updates/ack",
          summary: "How far updates have taken effect at this terminal, and which rows were refused there",
          answer: { status: 200, schema: appliedAnswer },
          faults: [],
        },
        appliedCall,
        async ({ caller: { terminal }, body }) => {
          const through = updateId(body.appliedThrough);
          const refused = body.refused.map(({ id, code, detail }) => ({
            id: updateId(id),
            code: isFaultCode(code) ? code : ("ROW_REFUSED" as const),
            detail: refusedWords(detail, this.#parts.settings.personal),
          }));
          await ledger.updates.acknowledge(terminal.id, through, refused);
          return json(200, { appliedThrough: String(through) });
        },
      ),
      jsonRoute(
        "publisher",
        {
          method: "POST",
          path: "/v1/updates",
          summary: "Publish changes to an audience",
          answer: { status: 201, schema: publishAnswer },
          faults: ["UNAVAILABLE"],
        },
        publishCall,
        async ({ caller: { actor }, body, text, span }) => {
          this.#gate.mayStore();
          const changes = checkedChanges(body.changes, text);
          const at = (body.at === undefined ? null : instantOf(body.at)) ?? runtime.clock.now();
          const [id] = await ledger.updates.publish(
            [
              {
                audience: body.audience,
                tx: newUlid(runtime.clock.now(), runtime.random),
                at,
                origin: null,
                trace: span.name(),
                changes: Buffer.from(JSON.stringify(changes)),
                count: changes.length,
              },
            ],
            actor,
          );
          signal.ring([body.audience]);
          return json(201, { id: String(id) });
        },
      ),
    ];
  }

  /** Reads until there is something to tell, time is up, the caller is gone or the hub drains; each answer attests its range. */
  async #poll(
    terminal: Terminal,
    { after, limit, waitMs, told }: Asked,
    gone: AbortSignal,
  ): Promise<Attested<StoredUpdate>> {
    const { runtime, updates: signal } = this.#parts;
    const audiences = audiencesOf(terminal.id, terminal.tags);
    const until = runtime.clock.elapsed() + waitMs;
    for (;;) {
      const rung = new AbortController();
      using _heard = signal.listen(audiences, () => rung.abort());
      const batch = await this.#read(audiences, terminal, after);
      const left = until - runtime.clock.elapsed();
      const question = this.#questions.waitingFor(terminal.id);
      const fresh = question !== undefined && question !== told;
      if (batch.updates.length > 0 || batch.more || fresh || left <= 0 || this.#gate.draining || gone.aborted) {
        return cut({ after, ...batch, ...(fresh ? { question } : {}) }, limit);
      }
      await runtime.timers.sleep(left, AbortSignal.any([gone, rung.signal]));
      if (rung.signal.aborted) await this.#questions.look();
    }
  }

  /** A cursor ahead of the log shows that the log was restored: its next ids must lie above whatever was given before. */
  async #read(
    audiences: readonly string[],
    terminal: Terminal,
    after: UpdateId,
  ): Promise<Omit<Attested<StoredUpdate>, "after" | "question">> {
    const { updates } = this.#parts.ledger;
    try {
      return await updates.read(audiences, terminal.id, after, ANSWER_BYTES);
    } catch (thrown) {
      const { code, facts } = asWaybillError(thrown);
      const head = Number(facts["head"]);
      if (code !== "CURSOR_GONE" || after <= head || termOf(after) > termOf(updateId(head)) + TERMS_BELIEVED)
        throw thrown;
      await updates.beginTerm(after, `terminal ${terminal.id} showed it`);
      this.#parts.log.error({ terminal: terminal.id, after, head }, "updates.log-restored");
      return updates.read(audiences, terminal.id, after, ANSWER_BYTES);
    }
  }

  async #lookAtHead(): Promise<void> {
    const { ledger, updates: signal } = this.#parts;
    if (!signal.awaited) return;
    const asked = await this.#questions.look();
    if (asked.length > 0) signal.hear(asked.map((terminal) => `terminal:${terminal}`));
    const head = await ledger.updates.head();
    // A head that moved without a ring was moved by another process, for we do not know whom.
    if (this.#head !== null && head !== this.#head && signal.rings === this.#ringsSeen) signal.ring(null);
    this.#head = head;
    this.#ringsSeen = signal.rings;
  }
}

type Asked = {
  readonly after: UpdateId;
  readonly limit: number;
  readonly waitMs: number;
  readonly told: string | undefined;
};

/** At most `limit` updates: the range attested ends with the last one kept. */
function cut(batch: Attested<StoredUpdate>, limit: number): Attested<StoredUpdate> {
  const last = batch.updates[limit - 1];
  if (last === undefined || batch.updates.length <= limit) return batch;
  return { ...batch, through: last.id, more: true, updates: batch.updates.slice(0, limit) };
}

/** The same check as for a message line, told in the words of a JSON body. */
function checkedChanges(given: readonly unknown[], text: string): readonly Change[] {
  try {
    return readChanges(given, 1, text);
  } catch (thrown) {
    const error = asWaybillError(thrown);
    if (error.code !== "LINE_INVALID") throw error;
    const path = String(error.facts["path"] ?? "");
    throw new WaybillError("REQUEST_INVALID", error.what.replace(/^line 1,? ?/, ""), { facts: { path } });
  }
}
