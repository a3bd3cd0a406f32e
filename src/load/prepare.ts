import { seq, type Seq } from "../base/ids.ts";
import type { KeySets } from "../ledger/key-sets.ts";
import type { LedgerBytes } from "../ledger/bytes.ts";
import type { OpenException, OpenExceptions } from "../ledger/open-exceptions.ts";
import type { Claim } from "../ledger/port.ts";
import { NOTHING_PERSONAL } from "./discreet.ts";
import { InParts } from "./in-parts.ts";
import type { LateWork, Prepared } from "./lane-work.ts";
import { widened } from "./late.ts";
import { Loading, type Sender, type Trial } from "./message.ts";
import type { OpenMemory } from "./open-memory.ts";
import type { Fault } from "./plan.ts";
import { NotStored, readLine, readMessages, readNumbers, readOne, type Line } from "./reading.ts";
import type { Rules } from "./rules.ts";
import type { Targets } from "./target.ts";

/** Workers that may die of one message alone before it is called the cause. */
const WORKERS_LOST = 3;

/** Reads and plans all of a claim; nothing is written, and no transaction is open meanwhile. @throws what the ledger throws. */
export async function prepare(
  claim: Claim,
  rules: Rules,
  targets: Targets,
  bytes: LedgerBytes,
  memory: OpenMemory,
): Promise<Prepared> {
  const lost = worn(claim);
  // A message that took its workers down is not given to any transform again: only its own words are read.
  const reader = new Reader(
    { lane: claim.lane, terminal: claim.terminal, tags: claim.tags },
    lost ? NO_TARGETS : targets,
    bytes,
  );
  const opened = await memory.of(claim, () => reader.open());
  const wanted = claim.through - claim.from + 1;
  // Each may become an exception, so no more are taken than may be open: a lane in trouble stops exactly there.
  const taken = Math.max(0, Math.min(wanted, rules.maxOpen - opened.all.size));
  return {
    claim,
    opened,
    messages: await reader.newMessages(claim, taken),
    late: await reader.late(claim, lost),
    foregone: lost,
  };
}

class Reader {
  readonly #sender: Sender;
  readonly #targets: Targets;
  readonly #bytes: LedgerBytes;

  constructor(sender: Sender, targets: Targets, bytes: LedgerBytes) {
    this.#sender = sender;
    this.#targets = targets;
    this.#bytes = bytes;
  }

  async open(): Promise<OpenExceptions & { readonly isMakeshift: boolean }> {
    const { exceptions, older } = await this.#bytes.open(this.#sender.lane);
    const open: OpenException[] = [];
    for (const exception of exceptions)
      open.push(exception.sets ? exception : { ...exception, sets: await this.#setsOf(exception) });
    return { exceptions: open, older, isMakeshift: exceptions.some(({ sets }) => sets === null) };
  }

  async newMessages(claim: Claim, count: number): Promise<Trial[]> {
    if (count === 0) return [];
    if (claim.inParts) return [this.#inParts(claim.from)];
    const lines = await readMessages(this.#bytes, claim.lane, claim.from, seq(claim.from + count - 1));
    return lines.map((line) => new Loading(this.#sender, line, this.#targets));
  }

  async late(claim: Claim, lost: Fault | null): Promise<LateWork[]> {
    const stored = claim.late.filter(({ order, revision }) => order.verb === "load" && revision === null);
    const lines = await readNumbers(
      this.#bytes,
      claim.lane,
      stored.map((item) => item.seq),
    );
    const works: LateWork[] = [];
    for (const item of claim.late) {
      if (item.order.verb === "discard") {
        works.push({ item, trial: null, foregone: null });
        continue;
      }
      const line = item.revision ? readRevision(item.seq, item.revision) : lines.get(item.seq);
      if (line === undefined) {
        works.push({ item, trial: null, foregone: PAYLOAD_LOST });
        continue;
      }
      const trial = line === "in parts" ? this.#inParts(item.seq) : new Loading(this.#sender, line, this.#targets);
      const foregone =
        lost ?? (await widened(item, await trial.touched(), claim, this.#sender, this.#targets, this.#bytes));
      works.push({ item, trial, foregone });
    }
    return works;
  }

  /**
   * The ledger learned of some exceptions from the centre alone, after a crash. What they touch is read from their lines, so
   * that they hold up only what they must; if even the lines are gone (null), they hold up the whole lane.
   */
  async #setsOf({ lane, seq: number }: OpenException): Promise<KeySets | null> {
    try {
      return (await this.#inParts(number, lane).touched()).sets();
    } catch (thrown) {
      if (thrown instanceof NotStored) return null;
      throw thrown;
    }
  }

  #inParts(number: Seq, lane = this.#sender.lane): InParts {
    return new InParts({ ...this.#sender, lane }, number, () => readOne(this.#bytes, lane, number), this.#targets);
  }
}

const PAYLOAD_LOST: Fault = {
  code: "PAYLOAD_LOST",
  detail: "the ledger was restored, and the terminal no longer keeps this message: its changes are stored nowhere",
};

const readRevision = (number: Seq, bytes: Uint8Array): Line =>
  readLine(number, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8").trimEnd());

const NO_TARGETS: Targets = {
  personal: NOTHING_PERSONAL,
  order: { ranks: new Map(), cyclic: new Set() },
  bySource: new Map(),
  byTarget: () => null,
  inOrder: () => false,
};

/** Three claims of this one message alone ended without a word: whatever it is, it takes its worker down. */
function worn({ unsettled, late, from, through }: Claim): Fault | null {
  const alone = late.length + (through - from + 1) === 1;
  if (!alone || unsettled < WORKERS_LOST) return null;
  return { code: "WORKER_LOST", detail: `${unsettled} workers in a row ended while they loaded this message alone` };
}
