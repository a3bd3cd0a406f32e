import { asWaybillError, WaybillError } from "../base/errors.ts";
import { seq, type Seq } from "../base/ids.ts";
import type { Runtime } from "../base/runtime.ts";
import type { PackedLine } from "../database/port.ts";
import { chainHex } from "../message/chain.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Tracing } from "../observe/tracing.ts";
import type { AcknowledgementAnswer } from "../wire/calls.ts";
import type { HubClient, Standing } from "./hub-client.ts";
import { beginSubmit, tellSubmitted } from "./spans.ts";
import type { Station } from "./station.ts";
import type { Wake } from "../base/wake.ts";

/** While messages are received but not loaded, the hub is asked how far it is: seldom, and more seldom the longer it takes. */
const FIRST_LOOK_MS = 1_000;
const LAST_LOOK_MS = 30_000;
/** When all is loaded, nothing is asked: whoever waits for updates hears when the hub was restored. */
const SETTLED_MS = 3_600_000;
/** A slow or lossy line gets smaller requests, but not below this. */
const LEAST_BATCH_BYTES = 32 * 1024;
/** Room in a request for the header line. */
const HEADER_BYTES = 1_024;

export type SubmitParts = {
  readonly station: Station;
  readonly client: HubClient;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly tracing: Tracing;
  readonly metrics: Metrics;
  readonly batchBytes: number;
  readonly limits: () => { readonly bodyBytes: number; readonly lines: number };
  /** This terminal's numbers are behind the hub's, or another's: a new epoch must begin. */
  readonly rolledBack: (reason: string) => Promise<void>;
  /** The hub says that `current` is this terminal's epoch, not ours: it was restored, or another install has taken over. */
  readonly outdone: (current: string) => Promise<void>;
  /** Rung when the hub has received all there was: the next page of a resync may go. */
  readonly received: Wake;
};

/** Behind line `part` of message `seq` + 1, or (part 0) behind message `seq`; `chain` is the chain there. */
type Position = { readonly seq: Seq; readonly part: number; readonly chain: Uint8Array };

export type OpenCounts = AcknowledgementAnswer["open"];

/** Sends packed messages in order, one request at a time, and learns how far the hub has stored and loaded them: the way up. */
export class Submitter {
  readonly #parts: SubmitParts;
  #position: Position | null = null;
  /** The hub lost messages that are gone here, too: this is the first one there still is. */
  #oldest: Seq | null = null;
  #batchBytes: number;
  #lookMs = FIRST_LOOK_MS;
  #lookedAt = 0;
  /** The hub has said that it has less than it acknowledged: it is asked how far it is. */
  #doubted = false;
  /** Exceptions of this lane at the hub, as last heard. */
  open: OpenCounts = { retrying: 0, held: 0, dead: 0 };

  constructor(parts: SubmitParts) {
    this.#parts = parts;
    this.#batchBytes = parts.batchBytes;
  }

  /** What the hub is known to have; null as long as that is in doubt or there is nothing. */
  get standing(): Standing | null {
    const { epoch, receivedThrough } = this.#parts.station.marks;
    if (this.#doubted || this.#position === null || epoch === null || receivedThrough === 0) return null;
    return { epoch, received: receivedThrough };
  }

  /** The hub says that it has less: the next step finds out. */
  doubt(): void {
    this.#doubted = true;
  }

  /** @returns milliseconds until the next step, unless new messages are packed before */
  async step(): Promise<number> {
    if (this.#position === null) await this.#start();
    const position = this.#position;
    if (position === null) return 0;
    const lines = await this.#next(position);
    // A hub that lost what is gone here too is told so at once, not with the next sale.
    if (lines.length === 0 && this.#oldest === null) return this.#idle();
    try {
      await this.#send(position, lines);
    } catch (thrown) {
      await this.#refused(thrown, position);
    }
    return 0;
  }

  /** After a start or a turn of events: begins behind what the hub is known to have, and asks it whether that is so. */
  async #start(): Promise<void> {
    await this.#stand();
    await this.#look();
  }

  async #stand(): Promise<void> {
    const { station } = this.#parts;
    await station.readMarks();
    const state = await station.use((database) => database.capture.state());
    this.#position = { seq: state.receivedThrough, part: 0, chain: state.receivedChain };
  }

  async #next({ seq: after, part }: Position): Promise<readonly PackedLine[]> {
    const { station, limits } = this.#parts;
    const { bodyBytes, lines: most } = limits();
    const bytes = Math.min(this.#batchBytes, bodyBytes - HEADER_BYTES);
    // Inside a message, the database counts by the message that the part belongs to.
    const from = part === 0 ? { seq: after, part } : { seq: seq(after + 1), part };
    const lines = await station.use((database) => database.capture.lines(from, bytes));
    return lines.slice(0, most);
  }

  async #send(position: Position, lines: readonly PackedLine[]): Promise<void> {
    const { station, client, log, tracing, metrics, runtime } = this.#parts;
    const span = tracing.on ? beginSubmit(runtime.random, runtime.clock.now()) : null;
    const header = {
      epoch: station.marks.epoch ?? "",
      stream: "main" as const,
      after: position.seq,
      ...(position.part > 0 ? { part: position.part } : {}),
      chain: chainHex(position.chain),
      ...(this.#oldest === null ? {} : { oldest: this.#oldest }),
    };
    const answer = await client.submit(
      header,
      lines.map((line) => line.bytes),
      span?.context ?? null,
    );
    if (span) tellSubmitted(tracing, span, lines.slice(answer.duplicates), runtime.clock.now());
    metrics.add("waybill_terminal_messages_acknowledged_total", lines.filter(({ more }) => !more).length, {});
    const last = lines.at(-1);
    const agreed = last === undefined ? position.seq : seq(last.more ? last.seq - 1 : last.seq);
    this.#position = this.#behind(position, lines, answer);
    this.#oldest = null;
    this.#doubted = false;
    try {
      await this.#acknowledged(answer, agreed);
    } catch (thrown) {
      this.#position = null; // not noted here: asked for again, not left until the next sale
      throw thrown;
    }
    this.#batchBytes = Math.min(this.#parts.batchBytes, this.#batchBytes * 2);
    this.#lookMs = FIRST_LOOK_MS;
    const { receivedThrough, loadedThrough, duplicates } = answer;
    log.debug({ receivedThrough, loadedThrough, duplicates, lines: lines.length }, "submit.acknowledged");
  }

  /** The position behind what was sent, if the hub has it all; else null, to begin where the hub says it is. */
  #behind(position: Position, lines: readonly PackedLine[], answer: AcknowledgementAnswer): Position | null {
    const last = lines.at(-1);
    if (last === undefined) return position;
    const inside = last.more;
    const complete = inside ? seq(last.seq - 1) : last.seq;
    if (answer.receivedThrough === complete && !inside && answer.chain !== chainHex(last.chain)) {
      throw new WaybillError("CHAIN_BROKEN", `the hub has another message ${complete} than this terminal`, {
        facts: { seq: complete },
      });
    }
    const stored =
      answer.receivedThrough >= complete &&
      (!inside || answer.receivedThrough > complete || (answer.partial?.part ?? 0) >= last.part);
    return stored ? { seq: complete, part: inside ? last.part : 0, chain: last.chain } : null;
  }

  /** @param agreed as far as the hub is known to have the same messages as this database; what it has beyond is not ours */
  async #acknowledged(
    answer: Pick<AcknowledgementAnswer, "receivedThrough" | "loadedThrough" | "open">,
    agreed: Seq,
  ): Promise<void> {
    const { station } = this.#parts;
    const { marks } = station;
    this.open = answer.open;
    await this.#agreeThrough(seq(Math.min(answer.receivedThrough, agreed)), seq(answer.loadedThrough));
    if (answer.receivedThrough > agreed) {
      // More may have been packed since and is sent next, but never what the hub has already: only an older copy of this database forgets numbers.
      await station.readMarks();
      if (marks.packedThrough <= agreed) return this.#rolledBack(answer.receivedThrough);
    }
    if (marks.receivedThrough >= marks.packedThrough) this.#parts.received.ring();
  }

  async #agreeThrough(receivedThrough: Seq, loaded: Seq): Promise<void> {
    const { station } = this.#parts;
    const loadedThrough = seq(Math.min(loaded, receivedThrough));
    const { epoch } = station.marks;
    await station.use((database) => database.capture.acknowledge({ epoch, receivedThrough, loadedThrough }));
    Object.assign(station.marks, { receivedThrough, loadedThrough });
  }

  #rolledBack(received: number): Promise<void> {
    const { station, rolledBack } = this.#parts;
    this.#position = null;
    return rolledBack(`the hub has ${received} messages, this database only ${station.marks.packedThrough}`);
  }

  /** Nothing to send. @returns how long to wait for it */
  async #idle(): Promise<number> {
    const { station, runtime } = this.#parts;
    const { loadedThrough, receivedThrough } = station.marks;
    if (!this.#doubted) {
      if (loadedThrough >= receivedThrough) return SETTLED_MS;
      const leftMs = this.#lookedAt + this.#lookMs - runtime.clock.elapsed();
      if (leftMs > 0) return leftMs;
    }
    this.#lookMs = Math.min(LAST_LOOK_MS, this.#lookMs * 2);
    await this.#look();
    return 0;
  }

  /** Asks the hub how far it is with this lane. */
  async #look(): Promise<void> {
    const { client, station, runtime } = this.#parts;
    const { lanes } = await client.status();
    this.#lookedAt = runtime.clock.elapsed();
    this.#doubted = false;
    const lane = lanes.find(({ epoch }) => epoch === station.marks.epoch);
    const current = lanes.find((one) => one.current);
    if (current !== undefined && current !== lane) return this.#outdone(current.epoch);
    const receivedThrough = lane?.receivedThrough ?? 0;
    if (receivedThrough < station.marks.receivedThrough) return this.#rewind(receivedThrough + 1);
    if (lane !== undefined) await this.#acknowledged(lane, await this.#agreed(seq(receivedThrough), lane.chain));
  }

  /**
   * As far as the hub's messages are those of this database. Answers may have been lost, so it may have more than was heard of;
   * but what it has may also be of this database before it was set back, so the chain decides. When that cannot be told at
   * once, only what was acknowledged before counts: the rest is sent again, and the hub says where the two part.
   */
  async #agreed(received: Seq, chain: string): Promise<Seq> {
    const { station } = this.#parts;
    const known = station.marks.receivedThrough;
    if (received <= known) return received;
    const [line] = await station.use((database) => database.capture.lines({ seq: seq(received - 1), part: 0 }, 1));
    const same = line?.seq === received && !line.more && line.part === 0 && chainHex(line.chain) === chain;
    return same ? received : known;
  }

  async #refused(thrown: unknown, position: Position): Promise<void> {
    const error = asWaybillError(thrown);
    switch (error.code) {
      case "SEQUENCE_GAP":
        return this.#gap(error, position);
      case "CHAIN_BROKEN":
        this.#position = null;
        await this.#agreeBefore(error.facts["seq"]);
        return this.#parts.rolledBack(error.what);
      case "EPOCH_CLOSED": {
        const current = error.facts["epoch"];
        if (typeof current !== "string") throw error;
        return this.#outdone(current);
      }
      case "TOO_LARGE":
      case "HUB_UNREACHABLE": {
        const smaller = Math.max(LEAST_BATCH_BYTES, Math.floor(this.#batchBytes / 2));
        const same = smaller === this.#batchBytes;
        this.#batchBytes = smaller;
        if (error.code === "TOO_LARGE" && !same) return;
        throw error;
      }
      default:
        throw error;
    }
  }

  /** The hub has all before the first number that differs: those are not sent again under another number. */
  async #agreeBefore(first: unknown): Promise<void> {
    const { marks } = this.#parts.station;
    if (typeof first !== "number" || first - 1 <= marks.receivedThrough || first - 1 > marks.packedThrough) return;
    await this.#agreeThrough(seq(first - 1), marks.loadedThrough);
  }

  #outdone(current: string): Promise<void> {
    this.#position = null;
    return this.#parts.outdone(current);
  }

  async #gap(error: WaybillError, position: Position): Promise<void> {
    const expected = error.facts["expected"];
    if (typeof expected !== "number" || expected < 1 || expected > position.seq + 1) throw error;
    await this.#rewind(expected);
  }

  /** The hub has less than it acknowledged: it was restored, and gets again what is still here, from `expected` on. */
  async #rewind(expected: number): Promise<void> {
    const { station, log } = this.#parts;
    const { oldest, receivedThrough } = await station.use((database) => database.capture.state());
    const through = seq(Math.max(expected, oldest) - 1);
    // Otherwise it lost only parts of a message, which is then sent again from its first.
    if (through < receivedThrough) {
      await station.use((database) => database.capture.rewind(through));
      log.warn({ expected, from: through + 1, oldest }, "submit.rewound");
    }
    this.#oldest = oldest > expected ? oldest : null;
    await this.#stand();
  }
}
