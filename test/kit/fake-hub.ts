import { instant } from "../../src/base/clock.ts";
import { asWaybillError, WaybillError } from "../../src/base/errors.ts";
import { seq, terminalId, updateId } from "../../src/base/ids.ts";
import type { HttpRequest, HttpResponse, Network } from "../../src/base/network.ts";
import { CHAIN_START, chainHex, sameChain } from "../../src/message/chain.ts";
import type { Change, Message, Row } from "../../src/message/change.ts";
import { appliedCall, enrolCall, epochCall } from "../../src/wire/calls.ts";
import { decode } from "../../src/wire/encoding.ts";
import type { Manifest } from "../../src/wire/manifest.ts";
import { problemOf } from "../../src/wire/problem.ts";
import { readSubmission } from "../../src/wire/submission.ts";
import { updatesBody } from "../../src/wire/updates.ts";

type Direction = Manifest["tables"][number]["direction"];
type Stored = {
  readonly text: string;
  readonly chain: Uint8Array;
  readonly seq: number;
  readonly part: number;
  readonly more: boolean;
};
type Lane = { readonly epoch: string; lines: Stored[]; loadedThrough: number | null };
type State = { lanes: Lane[]; installs: Map<string, string>; key: string | null };
type Update = { readonly id: number; readonly tx: string; readonly changes: readonly Change[] };

/**
 * What may happen to a call on its way: done by the hub but the answer is lost; never heard by the hub; done twice;
 * refused with an error (503 and 429 with a wait in seconds).
 */
export type Accident = "lose-answer" | "lose-request" | "twice" | WaybillError;

/**
 * A hub for one terminal in this process's memory, which speaks the wire (docs/wire.md) from the other side: tests of the
 * agent see what a correct hub would say, and can make it forget, refuse, or be away.
 */
export class FakeHub implements Network {
  readonly url = "http://hub.test";
  readonly calls: { readonly method: string; readonly path: string; readonly body: string }[] = [];
  readonly applied: {
    readonly through: number;
    readonly refused: readonly { id: string | number; code: string; detail: string }[];
  }[] = [];
  tables: Record<string, Direction>;
  limits: Manifest["limits"] = { bodyBytes: 8 << 20, partBytes: 1 << 20, valueBytes: 4 << 20, lines: 5_000 };
  token = "a-token-of-the-tests";
  /** Asked for each call; null lets it pass. */
  accident: (path: string) => Accident | null = () => null;
  /** Messages count as loaded when they are received, unless this is set. */
  loading = true;
  updates: Update[] = [];
  /** Of which history the updates are; a cursor of another goes on behind them. */
  strand: string | null = null;
  #state: State = { lanes: [], installs: new Map(), key: null };
  #epochs = 0;
  readonly #polls = new Set<() => void>();

  constructor(tables: Record<string, Direction>) {
    this.tables = tables;
  }

  get lanes(): readonly Lane[] {
    return this.#state.lanes;
  }
  get received(): number {
    return throughOf(this.#state.lanes.at(-1));
  }
  /** Messages in the order of their lanes and numbers, parts put together. */
  messages(): readonly Message[] {
    return this.#state.lanes.flatMap((lane) => {
      const whole = new Map<number, Message>();
      for (const line of lane.lines) {
        if (line.seq > throughOf(lane)) continue;
        const part = JSON.parse(line.text) as Message;
        const before = whole.get(line.seq);
        whole.set(line.seq, before ? { ...before, changes: [...before.changes, ...part.changes] } : part);
      }
      return [...whole.values()];
    });
  }
  /** The table as a centre would have it that applied every change in its order: rows by the JSON of their key. */
  table(name: string): Map<string, Row> {
    const rows = new Map<string, Row>();
    for (const { changes } of this.messages()) {
      for (const { table, op, key, row } of changes) {
        if (table !== name) continue;
        rows.delete(JSON.stringify(key));
        if (op === "delete" || !row) continue;
        const names = Object.keys(key);
        rows.set(JSON.stringify(Object.fromEntries(names.map((column) => [column, row[column]]))), row);
      }
    }
    return rows;
  }

  publish(changes: readonly Change[], tx = `tx-${this.updates.length}`): number {
    const id = (this.updates.at(-1)?.id ?? 0) + 3; // ids have holes
    this.updates.push({ id, tx, changes });
    for (const wake of this.#polls) wake();
    return id;
  }

  /** The ledger as it is, for `restore`. */
  backup(): unknown {
    return structuredClone(this.#state);
  }
  restore(backup: unknown): void {
    this.#state = structuredClone(backup) as State;
    for (const wake of this.#polls) wake(); // a hub that starts again ends them
  }

  async request(request: HttpRequest): Promise<HttpResponse> {
    const url = new URL(request.url);
    const bytes = request.body ? decode(request.body, request.headers["content-encoding"], 64 << 20) : new Uint8Array();
    this.calls.push({ method: request.method, path: url.pathname, body: Buffer.from(bytes).toString("utf8") });
    await new Promise(setImmediate); // a call never returns in the same turn
    const accident = this.accident(url.pathname);
    if (accident === "lose-request") throw unreachable(url);
    if (accident instanceof WaybillError) return refusal(accident);
    const answer = await this.#answer(request, url, bytes);
    if (accident === "twice") return this.#answer(request, url, bytes);
    if (accident === "lose-answer") throw unreachable(url);
    return answer;
  }

  async #answer(request: HttpRequest, url: URL, bytes: Uint8Array): Promise<HttpResponse> {
    try {
      const open = url.pathname === "/v1/enroll";
      if (!open && request.headers["authorization"] !== `Bearer ${this.#state.key}`)
        throw new WaybillError("UNAUTHENTICATED", "no such key");
      const json = (): unknown => JSON.parse(Buffer.from(bytes).toString("utf8"));
      switch (`${request.method} ${url.pathname}`) {
        case "POST /v1/enroll": {
          const call = enrolCall.parse(json());
          if (call.token !== this.token || (this.#state.key !== null && this.#state.key !== call.key))
            throw new WaybillError("TOKEN_INVALID", "used up");
          this.#state.key = call.key ?? "made-by-the-hub";
          return answer(201, { terminal: call.terminal, key: this.#state.key });
        }
        case "GET /v1/manifest":
          return this.#manifest(request);
        case "POST /v1/epochs":
          return answer(200, { epoch: this.#openEpoch(epochCall.parse(json())) });
        case "POST /v1/messages":
          return answer(200, this.#append(bytes));
        case "GET /v1/status":
          return answer(200, this.#status());
        case "GET /v1/updates":
          return await this.#poll(url, request.signal);
        case "POST /v1/updates/ack": {
          const call = appliedCall.parse(json());
          this.applied.push({ through: Number(call.appliedThrough), refused: call.refused });
          return answer(200, { appliedThrough: String(call.appliedThrough) });
        }
        default:
          throw new WaybillError("NOT_FOUND", url.pathname);
      }
    } catch (thrown) {
      return refusal(asWaybillError(thrown));
    }
  }

  #manifest(request: HttpRequest): HttpResponse {
    const tables = Object.entries(this.tables).map(([name, direction]) => ({ name, direction }));
    const etag = `"${JSON.stringify(tables).length}-${JSON.stringify(this.limits).length}-${Object.keys(this.tables).join()}"`;
    if (request.headers["if-none-match"] === etag) return { status: 304, headers: { etag }, body: new Uint8Array() };
    const body: Manifest = {
      terminal: "t1",
      tags: {},
      audiences: ["all"],
      tables,
      streams: ["main"],
      limits: this.limits,
      hubTime: "2026-11-23T00:00:00Z",
    };
    return { ...answer(200, body), headers: { etag } };
  }

  #openEpoch({ previous, install }: { previous: string | null; install: string }): string {
    const known = this.#state.installs.get(install);
    if (known !== undefined) return known;
    const current = this.#state.lanes.at(-1)?.epoch ?? null;
    if (previous !== current)
      throw new WaybillError("EPOCH_CLOSED", "another epoch has begun", { facts: { epoch: current } });
    this.#epochs += 1;
    const epoch = `E${this.#epochs}`;
    this.#state.lanes.push({ epoch, lines: [], loadedThrough: null });
    this.#state.installs.set(install, epoch);
    return epoch;
  }

  #append(bytes: Uint8Array): unknown {
    const reader = {
      terminal: terminalId("t1"),
      maxLines: this.limits.lines,
      search: new Map(),
      receivedAt: instant(0),
    };
    const given = readSubmission(bytes, reader);
    const lane = this.#state.lanes.at(-1);
    if (lane === undefined || lane.epoch !== given.epoch) {
      throw new WaybillError("EPOCH_CLOSED", "not the current epoch", { facts: { epoch: lane?.epoch ?? null } });
    }
    const at = (line: { seq: number; part: number }): number =>
      lane.lines.findIndex((one) => one.seq === line.seq && one.part === line.part);
    let next = lane.lines.length;
    const texts = Buffer.from(given.body).toString("utf8").split("\n");
    let duplicates = 0;
    const stored = lane.lines.slice();
    for (const [i, line] of given.lines.entries()) {
      const chain = given.chains.slice(32 * i, 32 * i + 32);
      const known = at(line);
      if (known >= 0) {
        if (!sameChain(stored[known]?.chain ?? CHAIN_START, chain))
          throw new WaybillError("CHAIN_BROKEN", `message ${line.seq} came with other content`, {
            facts: { seq: line.seq },
          });
        duplicates += line.more ? 0 : 1;
        continue;
      }
      const last = stored.at(-1);
      const follows =
        last === undefined
          ? line.seq === 1 && line.part <= 1
          : last.more
            ? line.seq === last.seq && line.part === last.part + 1
            : line.seq === last.seq + 1;
      const skips = given.oldest !== null && line.seq === given.oldest && line.part <= 1;
      if (!follows && !skips)
        throw new WaybillError("SEQUENCE_GAP", "too high", { facts: { expected: throughOf(lane) + 1 } });
      if (i === 0 && follows && !sameChain(last?.chain ?? CHAIN_START, given.chain))
        throw new WaybillError("CHAIN_BROKEN", "another chain", { facts: { seq: line.seq } });
      stored.push({ text: texts[i] ?? "", chain, seq: line.seq, part: line.part, more: line.more });
      next += 1;
    }
    lane.lines = stored;
    return this.#acknowledgement(lane, duplicates);
  }

  #acknowledgement(lane: Lane, duplicates: number): Record<string, unknown> {
    const receivedThrough = throughOf(lane);
    const last = lane.lines.at(-1);
    const chain = lane.lines.findLast((line) => !line.more)?.chain ?? CHAIN_START;
    if (this.loading) lane.loadedThrough = receivedThrough;
    return {
      receivedThrough,
      chain: chainHex(chain),
      duplicates,
      loadedThrough: lane.loadedThrough ?? 0,
      open: { retrying: 0, held: 0, dead: 0 },
      ...(last?.more ? { partial: { seq: last.seq, part: last.part } } : {}),
    };
  }

  #status(): unknown {
    const lanes = this.#state.lanes.map((lane, i) => {
      const { partial = null, duplicates: _, ...rest } = this.#acknowledgement(lane, 0);
      return {
        epoch: lane.epoch,
        current: i === this.#state.lanes.length - 1,
        ...rest,
        partial,
        receivedAt: null,
        loadedAt: null,
      };
    });
    const cursor = {
      appliedThrough: String(this.applied.at(-1)?.through ?? 0),
      head: String(this.updates.at(-1)?.id ?? 0),
    };
    return { terminal: "t1", hubTime: "2026-11-23T00:00:00Z", lanes, cursor, refusedUpdates: [], skewMs: null };
  }

  async #poll(url: URL, gone: AbortSignal | undefined): Promise<HttpResponse> {
    const after = Number(url.searchParams.get("after"));
    const limit = Number(url.searchParams.get("limit") ?? 1_000);
    const waitMs = Number(url.searchParams.get("wait")) * 1_000;
    const fresh = (): Update[] => this.updates.filter(({ id }) => id > after);
    const lane = this.#state.lanes.find(({ epoch }) => epoch === url.searchParams.get("epoch"));
    const behind = Number(url.searchParams.get("received") ?? 0) > throughOf(lane);
    if (fresh().length === 0 && waitMs > 0 && !behind) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          this.#polls.delete(wake);
          gone?.removeEventListener("abort", wake);
          resolve();
        };
        const timer = setTimeout(wake, waitMs);
        this.#polls.add(wake);
        gone?.addEventListener("abort", wake, { once: true });
      });
    }
    if (gone?.aborted) throw unreachable(url);
    const strand = url.searchParams.get("strand");
    if (strand !== null && this.strand !== null && strand !== this.strand) {
      const through = updateId(this.updates.at(-1)?.id ?? 0);
      const other = { after: through, through, more: false, updates: [], strand: this.strand, other: true } as const;
      return { status: 200, headers: {}, body: updatesBody(other) };
    }
    const found = fresh();
    const sent = found.slice(0, limit);
    const through = Math.max(after, sent.at(-1)?.id ?? 0);
    const body = updatesBody({
      after: updateId(after),
      through: updateId(through),
      more: found.length > sent.length,
      strand: this.strand,
      ...(behind ? { behind } : {}),
      updates: sent.map(({ id, tx, changes }) => ({
        id: updateId(id),
        tx,
        at: instant(0),
        audience: "all",
        origin: null,
        trace: null,
        changes: Buffer.from(JSON.stringify(changes)),
      })),
    });
    return { status: 200, headers: {}, body };
  }
}

const throughOf = (lane: Lane | undefined): number => seq(lane?.lines.findLast((line) => !line.more)?.seq ?? 0);
const answer = (status: number, body: unknown): HttpResponse => ({
  status,
  headers: {},
  body: Buffer.from(JSON.stringify(body)),
});
const unreachable = (url: URL): WaybillError =>
  new WaybillError("HUB_UNREACHABLE", `${url.pathname} had no whole answer`);

function refusal(error: WaybillError): HttpResponse {
  const problem = problemOf(error);
  const seconds = error.facts["seconds"];
  const headers: Record<string, string> = typeof seconds === "number" ? { "retry-after": String(seconds) } : {};
  return { ...answer(problem.status, problem), headers };
}
