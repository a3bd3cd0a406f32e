import { instantOf, isoOf } from "../../base/clock.ts";
import { asWaybillError, WaybillError } from "../../base/errors.ts";
import { laneName, seq, type Epoch, type TerminalId } from "../../base/ids.ts";
import { Turn } from "../../base/turn.ts";
import { imprintOf, imprintOfNumber, type Imprint } from "../../ledger/imprints.ts";
import type { LaneStatus, Submission, SubmittedLine, Terminal } from "../../ledger/port.ts";
import { CHAIN_START, chainNext } from "../../message/chain.ts";
import { field } from "../../message/change.ts";
import { newContext, traceparentOf } from "../../observe/trace-context.ts";
import { lineOf, sameAsBefore, withTrace, type Submitted } from "../../wire/soap/submitted.ts";
import type { Intake } from "../api/intake.ts";
import type { HubApiParts } from "../api/parts.ts";
import type { RequestSpan } from "../api/request-span.ts";
import { tellStored } from "../spans.ts";
import {
  declaredBegin,
  endOf,
  epochName,
  heldBehind,
  isSoapEpoch,
  soapLane,
  topOf,
  type SoapLane,
} from "./numbering.ts";

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

/** How often another hub process may be faster with the same lane before the terminal is asked to come again. */
const TRIES = 5;
/** Longer values are no receipt numbers. */
const SEARCH_LENGTH = 200;
/** Terminals whose lanes are remembered between their requests. */
const REMEMBERED = 20_000;

type Parts = Pick<HubApiParts, "ledger" | "runtime" | "settings" | "log" | "metrics" | "tracing">;
type Sender = Pick<Terminal, "id" | "tags">;

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
  async take(terminal: Sender, messages: readonly Submitted[], span: RequestSpan): Promise<Taken> {
    const place = this.#turns.get(terminal.id) ?? { turn: new Turn(), users: 0 };
    this.#turns.set(terminal.id, place);
    place.users++;
    try {
      return await place.turn.run(() => this.#takeAgain(terminal, messages, span));
    } finally {
      if (--place.users === 0) this.#turns.delete(terminal.id);
    }
  }

  /**
   * Both acknowledgements, in the terminal's numbers: through which all are stored; and through which all are loaded, or
   * stand in the list of exceptions. Before its first message: how far the old system is said to have taken it, else 0.
   * @throws EPOCH_CLOSED
   */
  async progress(terminal: Sender): Promise<{ readonly acceptedThrough: number; readonly loadedThrough: number }> {
    const lanes = await this.#read(terminal.id);
    const begin = declaredBegin(terminal) ?? 0;
    const acceptedThrough = topOf(lanes, begin);
    const unfinished = lanes.filter(({ status }) => status.loadedThrough < status.receivedThrough);
    const loaded = unfinished.map(({ base, status }) => base + status.loadedThrough);
    return { acceptedThrough, loadedThrough: Math.min(acceptedThrough, ...loaded) };
  }

  async #takeAgain(terminal: Sender, messages: readonly Submitted[], span: RequestSpan): Promise<Taken> {
    let lanes = this.#known.get(terminal.id) ?? (await this.#read(terminal.id));
    for (let tries = 1; ; tries++) {
      this.#known.delete(terminal.id); // whatever is thrown from here on, nothing is known for sure
      const batch = new Batch(this.#parts, this.#intake, terminal, lanes, span);
      try {
        const taken = await batch.take(messages);
        this.#remember(terminal.id, batch.lanes);
        return taken;
      } catch (thrown) {
        const { code } = asWaybillError(thrown);
        const raced = code === "CHAIN_BROKEN" || code === "SEQUENCE_GAP" || code === "EPOCH_CLOSED";
        if (!raced || tries === TRIES) throw thrown;
        lanes = await this.#read(terminal.id);
      }
    }
  }

  async #read(terminal: TerminalId): Promise<readonly SoapLane[]> {
    const all = await this.#parts.ledger.lanes.of(terminal);
    const current = all.find((lane) => lane.current);
    if (current && !isSoapEpoch(current.epoch)) {
      throw new WaybillError(
        "EPOCH_CLOSED",
        `terminal ${terminal} is served by something else than SOAP: epoch ${current.epoch} is open`,
        {
          facts: { epoch: current.epoch },
        },
      );
    }
    return all.map(soapLane).filter((lane) => lane !== null);
  }

  #remember(terminal: TerminalId, lanes: readonly SoapLane[]): void {
    const oldest = this.#known.keys().next();
    if (this.#known.size >= REMEMBERED && !oldest.done) this.#known.delete(oldest.value);
    this.#known.set(terminal, lanes);
  }
}

/** One try at a batch. What is to be stored is gathered and goes to the ledger together. */
class Batch {
  lanes: readonly SoapLane[];
  readonly #parts: Parts;
  readonly #intake: Intake;
  readonly #terminal: TerminalId;
  readonly #declared: number | null;
  readonly #span: RequestSpan;
  /** Messages for the current lane, from its next number on. */
  #fresh: { readonly message: Submitted; readonly inner: string; readonly known: boolean }[] = [];
  #top: number;
  /** Ids of the batch's messages, and those of them that are stored, once somebody asks. */
  #asked: readonly string[] = [];
  #imprinted: Set<string> | null = null;
  #accepted = 0;
  #duplicates = 0;

  constructor(parts: Parts, intake: Intake, terminal: Sender, lanes: readonly SoapLane[], span: RequestSpan) {
    this.#parts = parts;
    this.#intake = intake;
    this.#terminal = terminal.id;
    this.#span = span;
    this.#declared = declaredBegin(terminal);
    this.lanes = lanes;
    this.#top = topOf(lanes, 0);
  }

  async take(messages: readonly Submitted[]): Promise<Taken> {
    const rejected: Taken["rejected"][number][] = [];
    this.#asked = [...new Set(messages.map(({ sequence }) => imprintOfNumber(sequence)))];
    if (this.lanes.length === 0) await this.#begin(messages);
    for (const message of messages) {
      if (message.sequence > this.#top + 1 && !(await this.#isBehindTheBeginning(message))) {
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
    const inner = known ? sameAsBefore(message, isoOf(this.#parts.runtime.clock.now())) : this.#traced(message);
    this.#fresh.push({ message, inner, known });
    this.#top++;
    if (known) this.#duplicates++;
    else if (!message.refused) this.#accepted++;
  }

  /** In the caller's trace, where it told one for its request; else each message has its own. */
  #traced({ line, traced }: Submitted): string {
    const { parent, context } = this.#span;
    return traced ? line : withTrace(line, traceparentOf(newContext(this.#parts.runtime.random, parent && context)));
  }

  /** Whether this very message is stored, or about to be, under this number in any lane of the terminal. */
  async #isStored({ sequence, content }: Submitted): Promise<boolean> {
    const current = this.lanes.at(-1);
    const waiting = sequence - (current ? endOf(current) : 0);
    if (waiting > 0 && this.#fresh[waiting - 1]?.message.content === content) return true;
    this.#imprinted ??= await this.#readImprinted();
    return this.#imprinted.has(keyOf(imprintOfMessage(sequence, content)));
  }

  async #readImprinted(): Promise<Set<string>> {
    const found = await this.#parts.ledger.lanes.imprinted(this.#terminal, this.#asked);
    return new Set(found.filter(({ epoch }) => isSoapEpoch(epoch)).map(keyOf));
  }

  /** Where the terminal's numbers begin, when this is the first that is heard of it. */
  async #begin(messages: readonly Submitted[]): Promise<void> {
    const lowest = Math.min(...messages.map(({ sequence }) => sequence));
    const first = this.#declared === null ? lowest : this.#declared + 1;
    if (first === 1) return; // its lane begins with its first message
    const whence = this.#declared === null ? "its first request says so" : "its enrolment says so";
    await this.#open(first, `begins at number ${first}: ${whence}; lower ones belong to the system before`);
    this.#parts.log.info({ terminal: this.#terminal, from: first, told: whence }, "lane.begun");
  }

  /** A number beyond the next one that is no gap, for all between came before. Afterwards it is the next, or a known one. */
  async #isBehindTheBeginning(message: Submitted): Promise<boolean> {
    if (this.#top > (this.lanes[0]?.base ?? 0)) return false;
    await this.#flush();
    const end = heldBehind(this.lanes, this.#top);
    if (message.sequence <= end) return await this.#isStored(message);
    if (end === this.#top || message.sequence !== end + 1) return false;
    await this.#open(message.sequence, `goes on behind number ${end}, now that those before its beginning have come`);
    return true;
  }

  /** Another message under a number that is taken, or one from before the beginning: it begins a lane, and the numbers behind it go on there. */
  async #beginAgain(message: Submitted): Promise<void> {
    await this.#flush();
    const early = message.sequence <= Math.min(...this.lanes.map(({ base }) => base));
    const last = this.lanes.at(-1);
    this.#parts.log.warn({ terminal: this.#terminal, epoch: last?.epoch, seq: message.sequence, early }, "lane.alarm");
    const why = early ? "is from before the beginning" : "came again with other content";
    await this.#open(message.sequence, `number ${message.sequence} ${why}`);
    await this.#append(message);
  }

  /** Begins a lane whose message 1 is the terminal's number `first`. @throws EPOCH_CLOSED when another process began one */
  async #open(first: number, reason: string): Promise<void> {
    const { ledger } = this.#parts;
    const last = this.lanes.at(-1);
    const name = epochName((last?.incarnation ?? 0) + 1, first);
    const { epoch } = await ledger.lanes.openEpoch(
      this.#terminal,
      last?.epoch ?? null,
      "soap",
      reason,
      name,
      "goes on",
    );
    // The ledger takes a call by the same caller for a repeated one: another process may have begun elsewhere, or here.
    const begun = (await ledger.lanes.of(this.#terminal)).find((lane) => lane.epoch === name);
    const lane = begun ? soapLane(begun) : null;
    if (!lane || lane.status.receivedThrough > 0)
      throw new WaybillError("EPOCH_CLOSED", `epoch ${epoch} of terminal ${this.#terminal} was opened meanwhile`);
    this.lanes = [...this.lanes, lane];
    this.#top = endOf(lane);
  }

  /** Stores what was gathered, in one submission; only then may anything of it be acknowledged (I2). */
  async #flush(): Promise<void> {
    if (this.#fresh.length === 0) return;
    const fresh = this.#fresh;
    const current = this.lanes.at(-1);
    const after = current?.status.receivedThrough ?? seq(0);
    const chain = current?.status.chain ?? CHAIN_START;
    const submission = this.#submission(fresh, current?.epoch ?? epochName(1, 1), after, chain);
    const stored = await this.#intake.submit(submission);
    tellStored(this.#parts, this.#span, submission, (index) => fresh[index]?.message.traced === false);
    this.#fresh = [];
    this.#imprinted = null;
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
    const lane = current ? { ...current, status } : { epoch: epochName(1, 1), incarnation: 1, base: 0, status };
    this.lanes = [...this.lanes.slice(0, -1), lane];
    this.#top = endOf(lane);
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
      const imprint = imprintOfMessage(message.sequence, message.content);
      return { seq: seq(after + index + 1), part: 0, more: false, end, at, changes, search, imprint };
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

const keyOf = ({ id, content }: Imprint): string => `${id} ${content}`;
const imprintOfMessage = (sequence: number, content: string): Imprint => ({
  id: imprintOfNumber(sequence),
  content: imprintOf(content),
});

const unbegun = (terminal: TerminalId): LaneStatus => ({
  lane: laneName(terminal, epochName(1, 1)),
  epoch: epochName(1, 1),
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
