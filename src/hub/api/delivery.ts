import { z } from "zod";
import { instantOf } from "../../base/clock.ts";
import { asWaybillError, isFaultCode, WaybillError } from "../../base/errors.ts";
import { epoch, SYSTEM, termOf, updateId, type Epoch, type TerminalId, type UpdateId } from "../../base/ids.ts";
import { newUlid } from "../../base/runtime.ts";
import type { Terminal } from "../../ledger/port.ts";
import type { StoredUpdate } from "../../ledger/update-log.ts";
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
import type { Sightings } from "./sightings.ts";

const WAIT_MAX_SECONDS = 30;
const UPDATES_MAX = 10_000;
/** About as much one answer carries; a terminal that is far behind asks again at once. */
const ANSWER_BYTES = 1024 * 1024;
/** How often the head of the log is looked at, once for all who wait: for writers who could not ring here. */
const LOOK_EVERY_MS = 1_000;
/** How many restores a terminal's cursor may tell of at once: one that shows nonsense must not use the ids up. */
const TERMS_BELIEVED = 20;
/** So long a publisher's call waits for the first comparison after a start, and so often it looks. */
const COMPARED_WITHIN_MS = 2_000;
const COMPARED_LOOK_MS = 50;

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
  again: z
    .literal("true")
    .optional()
    .describe(
      "begin again behind updates that are no longer kept: both sides are then compared, and what differs is sent",
    ),
  epoch: z.string().max(64).optional().describe("with `received`: the lane that this terminal sends"),
  received: z.coerce
    .number()
    .int()
    .min(1)
    .optional()
    .describe("as far as the hub has acknowledged that lane; one that has less says so at once, as `behind`"),
  strand: z
    .string()
    .max(64)
    .optional()
    .describe("the `strand` that came with the `through` which is the cursor: of which history it is"),
});

/** GET and POST of /v1/updates, and their acknowledgement. */
export class Delivery implements Disposable {
  readonly #parts: HubApiParts;
  readonly #gate: Gate;
  readonly #look: Disposable;
  readonly #teller: DeliveryTeller;
  readonly #questions: Questions;
  readonly #sightings: Sightings;
  #head: UpdateId | null = null;
  #ringsSeen = 0;

  constructor(parts: HubApiParts, gate: Gate, sightings: Sightings) {
    this.#parts = parts;
    this.#sightings = sightings;
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
          faults: ["CURSOR_GONE", "UNAVAILABLE"],
        },
        async ({ caller: { terminal }, request, span }) => {
          const { after, limit, wait, told, again, epoch: lane, received, strand } = queryOf(updatesQuery, request);
          if (again === "true") await this.#beginAgain(terminal.id, updateId(after));
          const stands = lane === undefined || received === undefined ? null : { epoch: epoch(lane), received };
          const cursor = { after: updateId(after), strand: strand ?? null };
          const asked = { ...cursor, limit, waitMs: wait * 1_000, told, stands };
          const batch = await this.#poll(terminal, asked, request.signal);
          this.#sightings.handed(terminal.id, batch.through);
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
        async ({ caller: { by }, body, text, span }) => {
          this.#gate.mayStore();
          const changes = checkedChanges(body.changes, text);
          await this.#untilCompared();
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
            by,
          );
          signal.ring([body.audience]);
          return json(201, { id: String(id) });
        },
      ),
    ];
  }

  /** A ledger that was set back would give ids a second time, which terminals would pass over. @throws UNAVAILABLE */
  async #untilCompared(): Promise<void> {
    const { compared, runtime } = this.#parts;
    if (!compared) return;
    const until = runtime.clock.elapsed() + COMPARED_WITHIN_MS;
    while (!(await compared())) {
      if (runtime.clock.elapsed() >= until)
        throw new WaybillError("UNAVAILABLE", "the update log was not compared with the central database yet", {
          facts: { retryAfterSeconds: 2 },
        });
      await runtime.timers.sleep(COMPARED_LOOK_MS);
    }
  }

  /** Reads until there is something to tell, time is up, the caller is gone or the hub drains; each answer attests its range. */
  async #poll(
    terminal: Terminal,
    { after, strand, limit, waitMs, told, stands }: Asked,
    gone: AbortSignal,
  ): Promise<Attested<StoredUpdate>> {
    const { runtime, updates: signal } = this.#parts;
    const audiences = audiencesOf(terminal.id, terminal.tags);
    const until = runtime.clock.elapsed() + waitMs;
    const behind = stands !== null && (await this.#isBehind(terminal.id, stands));
    for (;;) {
      const rung = new AbortController();
      using _heard = signal.listen(audiences, () => rung.abort());
      const batch = await this.#read(audiences, terminal, after, strand);
      const left = until - runtime.clock.elapsed();
      const question = this.#questions.waitingFor(terminal.id);
      const fresh = question !== undefined && question !== told;
      const tell = { ...(fresh ? { question } : {}), ...(behind ? { behind } : {}) };
      const some = batch.updates.length > 0 || batch.more || batch.other || fresh || behind;
      if (some || left <= 0 || this.#gate.draining || gone.aborted) return cut({ ...batch, ...tell }, limit);
      await runtime.timers.sleep(left, AbortSignal.any([gone, rung.signal]));
      if (rung.signal.aborted) await this.#questions.look();
    }
  }

  /**
   * The terminal was away for longer than updates are kept, and what it missed is known from nothing but its rows. They are
   * compared first of all: whatever is under way for it could not be answered until now.
   */
  async #beginAgain(terminal: TerminalId, after: UpdateId): Promise<void> {
    const { ledger, runtime, log, wake } = this.#parts;
    if (!(await ledger.updates.beginAgain(terminal, after))) return;
    log.warn({ terminal, after }, "updates.begun-again");
    const reason = `${terminal} was away for longer than updates are kept`;
    for (const { id, endedAt } of await ledger.reconciles.list(terminal, 1))
      if (endedAt === null) await ledger.reconciles.cancel(id, SYSTEM, reason);
    const work = { kind: "compare", tables: null, mend: true } as const;
    await ledger.reconciles.order(newUlid(runtime.clock.now(), runtime.random), terminal, work, SYSTEM, reason);
    wake.ordered?.();
  }

  /** A quiet terminal would not find out otherwise that this ledger lost what it has acknowledged. */
  async #isBehind(terminal: TerminalId, { epoch: lane, received }: Stands): Promise<boolean> {
    return ((await this.#parts.ledger.lanes.received(terminal, lane)) ?? 0) < received;
  }

  /** A cursor ahead of the log shows that the log was restored: its next ids must lie above whatever was given before. */
  async #read(audiences: readonly string[], terminal: Terminal, after: UpdateId, strand: string | null): Promise<Read> {
    const { updates } = this.#parts.ledger;
    try {
      return { after, ...(await updates.read(audiences, terminal.id, after, ANSWER_BYTES, strand)) };
    } catch (thrown) {
      const { code, facts } = asWaybillError(thrown);
      if (facts["other"] === true) return this.#readElsewhere(audiences, terminal, after, strand);
      const head = Number(facts["head"]);
      if (code !== "CURSOR_GONE" || after <= head || termOf(after) > termOf(updateId(head)) + TERMS_BELIEVED)
        throw thrown;
      await updates.beginTerm(after, `terminal ${terminal.id} showed it`);
      this.#parts.log.error({ terminal: terminal.id, after, head }, "updates.log-restored");
      return { after, ...(await updates.read(audiences, terminal.id, after, ANSWER_BYTES)) };
    }
  }

  /**
   * The cursor is of another history than the log's: ledger and centre were set back, and ids up to it may have been given again. When
   * the log was compared with the centre it is known which were only lost. From any other cursor nothing leads on: the terminal goes on
   * behind all there is, and gets every row as it is. @throws UNAVAILABLE
   */
  async #readElsewhere(
    audiences: readonly string[],
    { id: terminal }: Terminal,
    after: UpdateId,
    strand: string | null,
  ): Promise<Read> {
    const { ledger, log, wake } = this.#parts;
    await this.#untilCompared();
    try {
      return { after, ...(await ledger.updates.read(audiences, terminal, after, ANSWER_BYTES, strand)) };
    } catch (thrown) {
      if (asWaybillError(thrown).facts["other"] !== true) throw thrown;
    }
    const { head, strand: here } = await ledger.updates.beginElsewhere(terminal, after);
    log.error({ terminal, after, head }, "updates.other-history");
    wake.enrolled?.(terminal);
    return { after: head, through: head, more: false, updates: [], strand: here, other: true };
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

type Read = Omit<Attested<StoredUpdate>, "question" | "behind">;
type Asked = {
  readonly after: UpdateId;
  readonly strand: string | null;
  readonly limit: number;
  readonly waitMs: number;
  readonly told: string | undefined;
  readonly stands: Stands | null;
};
/** How far the hub has acknowledged a terminal's lane, by the terminal's word. */
type Stands = { readonly epoch: Epoch; readonly received: number };

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
