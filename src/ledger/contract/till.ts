import { instant } from "../../base/clock.ts";
import {
  epoch as asEpoch,
  laneName,
  seq,
  terminalId,
  workerId,
  type Epoch,
  type LaneName,
  type Seq,
  type TerminalId,
} from "../../base/ids.ts";
import { CHAIN_START, chainNext } from "../../message/chain.ts";
import type { Imprint } from "../imprints.ts";
import { setsAsText, type KeySets } from "../key-sets.ts";
import type { OpenSubject, Subject } from "./subject.ts";
import type { OpenException } from "../open-exceptions.ts";
import type {
  Acknowledgement,
  Claim,
  ExceptionWrite,
  LaneOutcome,
  Ledger,
  Refused,
  Submission,
  SubmittedLine,
} from "../port.ts";

type WrittenLine = { readonly seq: number; readonly part: number; readonly more: boolean; readonly text: string };
type Place = { readonly seq: number; readonly part: number };

/** A terminal as the ledger sees it: numbered lines, each with its chain, of which any stretch can be sent again. */
export class Till {
  readonly terminal: TerminalId;
  readonly epoch: Epoch;
  readonly lines: WrittenLine[] = [];
  readonly #search = new Map<number, readonly string[]>();
  readonly #imprints = new Map<number, Imprint>();
  /** The chain after each line, as far as it has been asked for. */
  readonly #chains: Uint8Array[] = [];

  constructor(terminal: string, epoch = "E1") {
    this.terminal = terminalId(terminal);
    this.epoch = asEpoch(epoch);
  }
  get lane(): LaneName {
    return laneName(this.terminal, this.epoch);
  }
  get last(): number {
    return this.lines.at(-1)?.seq ?? 0;
  }

  /** Writes messages of one line each. */
  write(
    count: number,
    options: {
      readonly search?: readonly string[];
      readonly bytes?: number;
      readonly word?: string;
      readonly imprint?: (n: number) => Imprint;
    } = {},
  ): this {
    for (let i = 0; i < count; i++) {
      const n = this.last + 1;
      const filler = "x".repeat(options.bytes ?? 0);
      this.lines.push({ seq: n, part: 0, more: false, text: `{"seq":${n},"w":"${options.word ?? ""}${filler}"}` });
      if (options.search) this.#search.set(n, options.search);
      if (options.imprint) this.#imprints.set(n, options.imprint(n));
    }
    return this;
  }
  /** Writes one message in parts. */
  writeParts(parts: number, options: { readonly bytes?: number } = {}): this {
    const n = this.last + 1;
    for (let part = 1; part <= parts; part++) {
      const more = part < parts;
      this.lines.push({
        seq: n,
        part,
        more,
        text: `{"seq":${n},"part":${part},"w":"${"x".repeat(options.bytes ?? 0)}"}`,
      });
    }
    return this;
  }

  /** The request that sends all lines behind a place, as far as `until` says. */
  request(
    after: Place = { seq: 0, part: 0 },
    until: Place = { seq: this.last, part: 0 },
    oldest: number | null = null,
  ): Submission {
    let before: Uint8Array = CHAIN_START;
    const sent: SubmittedLine[] = [];
    const chains: Uint8Array[] = [];
    const bytes: Uint8Array[] = [];
    let end = 0;
    for (const [at, line] of this.lines.entries()) {
      if (isBehind(line, until)) break;
      const chain = this.#chainAfter(at);
      if (!isBehind(line, after)) {
        before = chain;
        continue;
      }
      const text = new TextEncoder().encode(line.text);
      end += text.byteLength + 1;
      bytes.push(text, NEWLINE);
      chains.push(chain);
      const search = this.#search.get(line.seq) ?? [];
      const imprint = this.#imprints.get(line.seq);
      sent.push({
        seq: seq(line.seq),
        part: line.part,
        more: line.more,
        end,
        at: instant(line.seq),
        changes: 1,
        search,
        ...(imprint && { imprint }),
      });
    }
    return {
      terminal: this.terminal,
      epoch: this.epoch,
      after: seq(after.seq),
      part: after.part,
      chain: before,
      oldest: oldest === null ? null : seq(oldest),
      body: Buffer.concat(bytes),
      lines: sent,
      chains: Buffer.concat(chains),
    };
  }
  #chainAfter(at: number): Uint8Array {
    for (let i = this.#chains.length; i <= at; i++) {
      const text = new TextEncoder().encode(this.lines[i]!.text);
      this.#chains.push(chainNext(this.#chains[i - 1] ?? CHAIN_START, text));
    }
    return this.#chains[at]!;
  }
  /** Messages from…through. */
  messages(from: number, through: number): Submission {
    return this.request({ seq: from - 1, part: 0 }, { seq: through, part: 0 });
  }
  text(from: number, through: number): string {
    return this.lines
      .filter((line) => line.seq >= from && line.seq <= through)
      .map((line) => `${line.text}\n`)
      .join("");
  }
}

const NEWLINE = new Uint8Array([0x0a]);

/** Whether a line lies behind a place: (n, 0) is the end of message n, (n, p) the end of part p of message n + 1. */
function isBehind(line: WrittenLine, place: Place): boolean {
  if (line.seq !== place.seq + 1 || place.part === 0) return line.seq > place.seq;
  return line.part > place.part;
}

/** Sends one request and expects to hear that it is stored. */
export async function send(ledger: Ledger, submission: Submission): Promise<Acknowledgement> {
  const answer = await sendAny(ledger, submission);
  if ("refused" in answer) throw new Error(`refused: ${answer.refused} ${answer.what}`);
  return answer;
}
export async function sendAny(ledger: Ledger, submission: Submission): Promise<Acknowledgement | Refused> {
  const [answer] = await ledger.lanes.append([submission]);
  if (!answer) throw new Error("no answer");
  return answer;
}

export const WORKER = workerId("worker-1");
export const LEASE_MS = 30_000;
export const LIMIT = { lanes: 10, messages: 1_000, bytes: 10_000_000 };
export const claimAll = (
  ledger: Ledger,
  limit: Partial<typeof LIMIT> = {},
  worker = WORKER,
): Promise<readonly Claim[]> => ledger.work.claim(worker, { ...LIMIT, ...limit }, LEASE_MS);
export async function claimOne(ledger: Ledger, limit: Partial<typeof LIMIT> = {}): Promise<Claim> {
  const [claim] = await claimAll(ledger, { ...limit, lanes: 1 });
  if (!claim) throw new Error("nothing to claim");
  return claim;
}

/** What is open of the claimed lane and those before it. */
export const openOf = async (ledger: Ledger, claim: Claim): Promise<readonly OpenException[]> =>
  claim.open === null ? [] : (await ledger.bytes.open(claim.lane)).exceptions;

export const NO_SETS: KeySets = { writes: [], adds: [], creates: [], deletes: [], parents: [] };

/** What a loader says of a claim that it loaded wholly, but for what `given` says otherwise. */
export const loaded = (claim: Claim, given: Partial<LaneOutcome> = {}): LaneOutcome => ({
  lane: claim.lane,
  fence: claim.fence,
  loadedThrough: claim.through,
  version: claim.version + 1,
  exceptions: [],
  closed: claim.late.filter((item) => item.order.verb === "load").map((item) => item.seq),
  events: [],
  lagMs: null,
  ...given,
});

export const passedOver = (n: number, given: Partial<ExceptionWrite> = {}): ExceptionWrite => ({
  seq: seq(n),
  state: "dead",
  fault: "ROW_REFUSED",
  detail: `message ${n} was refused`,
  attempts: 1,
  retryInMs: null,
  behind: null,
  route: null,
  sets: setsAsText(NO_SETS),
  tables: ["sale"],
  ...given,
});
export const behind = (lane: LaneName, n: number): ExceptionWrite["behind"] => ({ lane, seq: seq(n), on: "sale S-1" });

/** Loads everything there is to load, `refuse` telling what is passed over. */
export async function drain(
  ledger: Ledger,
  refuse: (n: Seq) => Partial<ExceptionWrite> | null = () => null,
): Promise<void> {
  for (;;) {
    const claims = await claimAll(ledger);
    if (claims.length === 0) return;
    await ledger.work.settle(
      claims.map((claim) => {
        const exceptions: ExceptionWrite[] = [];
        for (let n = claim.from; n <= claim.through; n = seq(n + 1)) {
          const given = refuse(n);
          if (given) exceptions.push(passedOver(n, given));
        }
        for (const item of claim.late)
          if (item.order.verb === "discard") exceptions.push(passedOver(item.seq, { state: "discarded", fault: null }));
        return loaded(claim, { exceptions });
      }),
    );
  }
}

/** A ledger in which a till's first messages are received. */
export async function openWith(open: OpenSubject, count: number): Promise<{ subject: Subject; till: Till }> {
  const subject = await open();
  const till = new Till("t1").write(count);
  if (count > 0) await send(subject.ledger, till.messages(1, count));
  return { subject, till };
}
