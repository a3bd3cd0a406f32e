import { instantOf, isoOf } from "../../base/clock.ts";
import { asWaybillError, WaybillError } from "../../base/errors.ts";
import { epoch, laneName, seq, type Epoch, type TerminalId } from "../../base/ids.ts";
import { Turn } from "../../base/turn.ts";
import type { LaneStatus, Submission, SubmittedLine } from "../../ledger/port.ts";
import { CHAIN_START, chainNext } from "../../message/chain.ts";
import { field } from "../../message/change.ts";
import { contentOf, lineOf, sameAsBefore, type Submitted } from "../../wire/soap/submitted.ts";
import type { Intake } from "../api/intake.ts";
import type { HubApiParts } from "../api/parts.ts";
import { payloadOf } from "../api/payload.ts";

/** What became of a batch of SyncMessages. */
export type Taken = {
  /** Highest number of the terminal up to which all are stored. */
  readonly acceptedThrough: number;
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: readonly {
    readonly message: Submitted;
    readonly code: string;
    readonly reason: string;
    readonly retryable: boolean;
  }[];
};

/**
 * One lane of SOAP messages: numbers `base` + 1 … of the terminal are its messages 1 …. The first lane of a terminal has base
 * 0. When a number comes again with other content (the till was re-imaged, or restored from a copy), a lane begins whose
 * base is just before it, so that the second message of that number is kept too, after all of the first.
 */
type SoapLane = {
  readonly epoch: Epoch;
  readonly incarnation: number;
  readonly base: number;
  readonly status: LaneStatus;
};

const FIRST = epoch("soap-v1");
const NAMED = /^soap-v1(?:\.(\d+)-from-(\d+))?$/;
const nextName = (incarnation: number, first: number): Epoch => epoch(`soap-v1.${incarnation}-from-${first}`);
/** How often another hub process may be faster with the same lane before the terminal is asked to come again. */
const TRIES = 5;
/** Longer values are no receipt numbers. */
const SEARCH_LENGTH = 200;
/** Terminals whose lanes are remembered between their requests. */
const REMEMBERED = 20_000;

type Parts = Pick<HubApiParts, "ledger" | "runtime" | "settings" | "log" | "metrics">;

/** Puts SyncMessages into lanes. The requests of one terminal take turns; those of different terminals share transactions. */
export class SoapLanes {
  readonly #parts: Parts;
  readonly #intake: Intake;
  readonly #turns = new Map<TerminalId, { readonly turn: Turn; users: number }>();
  /** Only a guess: each append compares number and chain, and a wrong guess costs one more look. */
  readonly #known = new Map<TerminalId, readonly SoapLane[]>();

  constructor(parts: Parts, intake: Intake) {
    this.#parts = parts;
    this.#intake = intake;
  }

  /** @throws EPOCH_CLOSED when an agent numbers for this terminal; OVERLOADED and whatever the ledger throws: then nothing is promised, and a resend finds out */
  async take(terminal: TerminalId, messages: readonly Submitted[]): Promise<Taken> {
    const place = this.#turns.get(terminal) ?? { turn: new Turn(), users: 0 };
    this.#turns.set(terminal, place);
    place.users++;
    try {
      return await place.turn.run(() => this.#takeAgain(terminal, messages));
    } finally {
      if (--place.users === 0) this.#turns.delete(terminal);
    }
  }

  /** @throws EPOCH_CLOSED */
  async acceptedThrough(terminal: TerminalId): Promise<number> {
    return topOf(await this.#read(terminal));
  }

  async #takeAgain(terminal: TerminalId, messages: readonly Submitted[]): Promise<Taken> {
    let lanes = this.#known.get(terminal) ?? (await this.#read(terminal));
    for (let tries = 1; ; tries++) {
      this.#known.delete(terminal); // whatever is thrown from here on, nothing is known for sure
      const batch = new Batch(this.#parts, this.#intake, terminal, lanes);
      try {
        const taken = await batch.take(messages);
        this.#remember(terminal, batch.lanes);
        return taken;
      } catch (thrown) {
        const { code } = asWaybillError(thrown);
        const raced = code === "CHAIN_BROKEN" || code === "SEQUENCE_GAP" || code === "EPOCH_CLOSED";
        if (!raced || tries === TRIES) throw thrown;
        lanes = await this.#read(terminal);
      }
    }
  }

  async #read(terminal: TerminalId): Promise<readonly SoapLane[]> {
    const all = await this.#parts.ledger.lanes.of(terminal);
    const current = all.find((lane) => lane.current);
    if (current && !NAMED.test(current.epoch)) {
      throw new WaybillError(
        "EPOCH_CLOSED",
        `terminal ${terminal} is served by something else than SOAP: epoch ${current.epoch} is open`,
        {
          facts: { epoch: current.epoch },
        },
      );
    }
    return all.flatMap((status) => {
      const match = NAMED.exec(status.epoch);
      if (!match) return [];
      return [{ epoch: status.epoch, incarnation: Number(match[1] ?? 1), base: Number(match[2] ?? 1) - 1, status }];
    });
  }

  #remember(terminal: TerminalId, lanes: readonly SoapLane[]): void {
    const oldest = this.#known.keys().next();
    if (this.#known.size >= REMEMBERED && !oldest.done) this.#known.delete(oldest.value);
    this.#known.set(terminal, lanes);
  }
}

const topOf = (lanes: readonly SoapLane[]): number => {
  const current = lanes.at(-1);
  return current ? current.base + current.status.receivedThrough : 0;
};

/** One try at a batch. What is to be stored is gathered and goes to the ledger together. */
class Batch {
  lanes: readonly SoapLane[];
  readonly #parts: Parts;
  readonly #intake: Intake;
  readonly #terminal: TerminalId;
  /** Messages for the current lane, from its next number on. */
  #fresh: { readonly message: Submitted; readonly inner: string; readonly known: boolean }[] = [];
  #top: number;
  #accepted = 0;
  #duplicates = 0;

  constructor(parts: Parts, intake: Intake, terminal: TerminalId, lanes: readonly SoapLane[]) {
    this.#parts = parts;
    this.#intake = intake;
    this.#terminal = terminal;
    this.lanes = lanes;
    this.#top = topOf(lanes);
  }

  async take(messages: readonly Submitted[]): Promise<Taken> {
    const rejected: Taken["rejected"][number][] = [];
    for (const message of messages) {
      if (message.sequence > this.#top + 1) {
        rejected.push({ message, code: "SEQUENCE_GAP", reason: `expected ${this.#top + 1}`, retryable: true });
        continue;
      }
      // A refusal is final whether the message is new or came before: the till must not go on sending it.
      if (message.refused) rejected.push({ message, ...message.refused, retryable: false });
      if (message.sequence === this.#top + 1) await this.#append(message);
      else if (await this.#isStored(message)) this.#duplicates++;
      else await this.#beginAgain(message);
    }
    await this.#flush();
    const { metrics } = this.#parts;
    metrics.add("waybill_messages_received_total", this.#accepted, {});
    metrics.add("waybill_messages_duplicate_total", this.#duplicates, {});
    return { acceptedThrough: this.#top, accepted: this.#accepted, duplicates: this.#duplicates, rejected };
  }

  /** The next number. In a lane that began again it may be one that an earlier lane has, and then it must not count twice. */
  async #append(message: Submitted): Promise<void> {
    const known = this.lanes.length > 1 && (await this.#isStored(message));
    const inner = known ? sameAsBefore(message, isoOf(this.#parts.runtime.clock.now())) : message.line;
    this.#fresh.push({ message, inner, known });
    this.#top++;
    if (known) this.#duplicates++;
    else if (!message.refused) this.#accepted++;
  }

  /** Whether this very message is stored, or about to be, under this number in any lane of the terminal. */
  async #isStored({ sequence, content }: Submitted): Promise<boolean> {
    const current = this.lanes.at(-1);
    const waiting = sequence - (current?.base ?? 0) - (current?.status.receivedThrough ?? 0);
    if (waiting > 0 && this.#fresh[waiting - 1]?.message.content === content) return true;
    for (const { base, status } of this.lanes.toReversed()) {
      const number = sequence - base;
      if (number < 1 || number > status.receivedThrough) continue;
      const { lines } = await payloadOf(this.#parts.ledger.bytes, status.lane, seq(number));
      if (lines[0] !== undefined && contentOf(lines[0]) === content) return true;
    }
    return false;
  }

  /** Another message under a number that is taken: it begins a lane of its own, and the numbers behind it go on there. */
  async #beginAgain(message: Submitted): Promise<void> {
    await this.#flush();
    const { ledger, log } = this.#parts;
    const last = this.lanes.at(-1);
    const incarnation = (last?.incarnation ?? 1) + 1;
    const reason = `number ${message.sequence} came again with other content`;
    log.warn({ terminal: this.#terminal, epoch: last?.epoch, seq: message.sequence }, "lane.alarm");
    const { epoch: opened } = await ledger.lanes.openEpoch(
      this.#terminal,
      last?.epoch ?? null,
      "soap",
      reason,
      nextName(incarnation, message.sequence),
    );
    const begun = (await ledger.lanes.of(this.#terminal)).find((lane) => lane.epoch === opened);
    if (!begun) throw new WaybillError("INTERNAL", `the ledger does not show the epoch ${opened} that it opened`);
    this.lanes = [...this.lanes, { epoch: opened, incarnation, base: message.sequence - 1, status: begun }];
    this.#top = message.sequence - 1;
    await this.#append(message);
  }

  /** Stores what was gathered, in one submission; only then may anything of it be acknowledged (I2). */
  async #flush(): Promise<void> {
    if (this.#fresh.length === 0) return;
    const fresh = this.#fresh;
    const current = this.lanes.at(-1);
    const after = current?.status.receivedThrough ?? seq(0);
    const chain = current?.status.chain ?? CHAIN_START;
    const stored = await this.#intake.submit(this.#submission(fresh, current?.epoch ?? FIRST, after, chain));
    this.#fresh = [];
    // Another process was given the very same messages a moment ago.
    for (const { message, known } of fresh.slice(0, stored.duplicates)) {
      if (known) continue;
      if (!message.refused) this.#accepted--;
      this.#duplicates++;
    }
    const status: LaneStatus = {
      ...(current?.status ?? unbegun(this.#terminal)),
      receivedThrough: stored.receivedThrough,
      chain: stored.chain,
    };
    const lane = current ? { ...current, status } : { epoch: FIRST, incarnation: 1, base: 0, status };
    this.lanes = [...this.lanes.slice(0, -1), lane];
    this.#top = topOf(this.lanes);
  }

  /** As `readSubmission` would read it, without writing the lines out and reading them again: they are of our own making. */
  #submission(
    fresh: readonly { readonly message: Submitted; readonly inner: string; readonly known: boolean }[],
    of: Epoch,
    after: number,
    chain: Uint8Array,
  ): Submission {
    const { runtime } = this.#parts;
    const texts = fresh.map(({ inner }, index) => Buffer.from(`${lineOf(after + index + 1, inner)}\n`));
    const chains = new Uint8Array(32 * texts.length);
    let link = chain;
    let end = 0;
    const lines = fresh.map(({ message, known }, index): SubmittedLine => {
      const text = texts[index] ?? Buffer.alloc(0);
      link = chainNext(link, text.subarray(0, -1));
      chains.set(link, 32 * index);
      end += text.byteLength;
      const changes = known || message.refused ? 0 : 1;
      const at = instantOf(message.at) ?? runtime.clock.now();
      const search = changes === 0 ? [] : this.#searchOf(message);
      return { seq: seq(after + index + 1), part: 0, more: false, end, at, changes, search };
    });
    const place = { epoch: of, after: seq(after), part: 0, oldest: null };
    // Copies of their own: a view of a pooled buffer would take the whole pool along to the ledger's thread.
    const body = Uint8Array.from(Buffer.concat(texts));
    return { terminal: this.#terminal, ...place, chain: Uint8Array.from(chain), body, lines, chains };
  }

  /** The business key, and the columns that the config names for the message's table. */
  #searchOf({ change, search }: Submitted): readonly string[] {
    const columns = change === null ? [] : (this.#parts.settings.search.get(change.table) ?? []);
    const values = columns.flatMap((column) => {
      const value = change === null ? null : field(change.row, column);
      return typeof value === "string" || typeof value === "number" ? [String(value)] : [];
    });
    return [...new Set([...search, ...values.filter((value) => value.length <= SEARCH_LENGTH)])];
  }
}

const unbegun = (terminal: TerminalId): LaneStatus => ({
  lane: laneName(terminal, FIRST),
  epoch: FIRST,
  current: true,
  receivedThrough: seq(0),
  claimedThrough: seq(0),
  loadedThrough: seq(0),
  chain: CHAIN_START,
  open: { retrying: 0, held: 0, dead: 0 },
  receivedAt: null,
  loadedAt: null,
  partial: null,
});
