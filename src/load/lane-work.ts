import type { LaneName, Seq } from "../base/ids.ts";
import type { Passed } from "../database/port.ts";
import { contextOf } from "../observe/trace-context.ts";
import type { Claim, EventWrite, ExceptionWrite, LateItem } from "../ledger/port.ts";
import { setsAsText } from "../ledger/key-sets.ts";
import { discreet, HIDDEN } from "./discreet.ts";
import type { Note } from "./decide.ts";
import type { Trial } from "./message.ts";
import type { Fault } from "./plan.ts";
import { OpenIndex, type Blocker } from "./open-index.ts";
import type { Opened } from "./open-memory.ts";
import { reasonOf, type Routes, type Tripped } from "./routes.ts";
import type { RetryPolicy } from "./rules.ts";
import { joinedSets, NO_SETS } from "./sets.ts";
import { verdictOn } from "./verdict.ts";

/** A claim as it was read and planned, before anything was tried. Plain facts: a transaction that fails leaves them as they were. */
export type Prepared = {
  readonly claim: Claim;
  readonly opened: Opened;
  /** New messages, in order from `claim.from`; fewer than claimed when the lane has to stop. */
  readonly messages: readonly Trial[];
  readonly late: readonly LateWork[];
  /** Why the only new message here is not tried: it killed its workers, or the commit was refused. Null when it is tried. */
  readonly foregone: Fault | null;
};
export type LateWork = {
  readonly item: LateItem;
  /** Null when it is to be discarded, and (with the reason in `foregone`) when its line is stored nowhere. */
  readonly trial: Trial | null;
  /** Why it is not tried. */
  readonly foregone: Fault | null;
};
/** `retry`: the policy for refusals of this table of the sender's, or of the message as a whole. */
export type Dice = { readonly retry: (route: string | undefined) => RetryPolicy; readonly random: () => number };

/** What one transaction makes of one claim. Made anew for each try: a rolled back transaction takes it along. */
export class LaneWork {
  readonly prepared: Prepared;
  readonly routes: Routes;
  readonly open: OpenIndex;
  /** What each new exception was refused for. */
  readonly #faults = new Map<Seq, { readonly fault: Fault; readonly attemptsBefore: number }>();
  /** Those of them that were refused for a missing parent. */
  readonly orphans: OpenIndex;
  /** The centre's watermark after this transaction. */
  readonly centralThrough: Seq;
  readonly exceptions: ExceptionWrite[] = [];
  readonly closed: Seq[] = [];
  readonly passed: Passed[] = [];
  readonly events: EventWrite[] = [];
  /** What the centre's row becomes. */
  nextVersion = 0;
  changes = 0;
  /** Commit time at the terminal of the newest message loaded. */
  newestAt: string | null = null;
  #newest = 0;
  readonly #dice: Dice;

  constructor(prepared: Prepared, dice: Dice, routes: Routes) {
    this.prepared = prepared;
    this.routes = routes;
    this.#dice = dice;
    this.open = new OpenIndex(prepared.opened.all);
    this.orphans = new OpenIndex(prepared.opened.orphans);
    // A lane that is replayed after a restore takes its exceptions one by one, each just above the watermark.
    this.centralThrough = Math.max(this.through, ...prepared.late.map(({ item }) => item.seq)) as Seq;
  }

  get claim(): Claim {
    return this.prepared.claim;
  }
  /** As far as new messages were taken. */
  get through(): Seq {
    return (this.claim.from - 1 + this.prepared.messages.length) as Seq;
  }

  loaded(message: Trial, notes: readonly Note[], late: boolean): void {
    this.changes += message.changes;
    if (message.seq > this.#newest) {
      this.#newest = message.seq;
      this.newestAt = message.at;
    }
    this.noted(message, notes);
    if (!late) return;
    this.closed.push(message.seq);
    this.#forget(message.lane, message.seq);
  }

  noted(message: Trial, notes: readonly Note[]): void {
    const { seq } = message;
    for (const { kind, detail } of notes)
      this.events.push({ kind, from: seq, through: seq, detail: wordsAbout(message, detail) });
  }

  /** It waits behind an earlier one; waiting costs no attempts. */
  async hold(
    message: Trial,
    behind: Blocker,
    before: { readonly attempts: number; readonly fault: Fault["code"] | null },
  ): Promise<void> {
    const on = wordsAbout(message, behind.on);
    const detail = `waits behind ${behind.lane}/${behind.seq} on ${on}`;
    await this.#pass(message, {
      state: "held",
      fault: before.fault,
      detail,
      attempts: before.attempts,
      retryInMs: null,
      behind: { ...behind, on },
      route: null,
    });
  }

  /** The route of one of its tables is paused: it waits as a whole, untried. */
  async holdFor(
    message: Trial,
    route: string,
    before: { readonly attempts: number; readonly fault: Fault["code"] | null },
  ): Promise<void> {
    const detail = `waits until the route ${route} goes on`;
    const { fault, attempts } = before;
    await this.#pass(message, { state: "held", fault, detail, attempts, retryInMs: null, behind: null, route });
  }

  /** These reasons are a route's, not the messages': what was refused for one waits for its route, and was never tried. */
  blameRoutes(broken: ReadonlyMap<string, Tripped>): void {
    for (const [at, write] of this.exceptions.entries()) {
      const known = this.#faults.get(write.seq);
      const { route } = (known && broken.get(reasonOf(known.fault))) ?? {};
      if (!known || route === undefined || write.state === "held") continue;
      const attempts = known.attemptsBefore;
      this.exceptions[at] = { ...write, state: "held", attempts, retryInMs: null, route };
      const passed = this.passed.findIndex(({ seq }) => seq === write.seq);
      this.passed[passed] = { lane: this.claim.lane, seq: write.seq, state: "held", fault: write.fault, attempts };
    }
  }

  /** It was refused. @param attempts how often it has been tried, this time included */
  async fail(message: Trial, fault: Fault, attempts: number): Promise<void> {
    const verdict = verdictOn(fault.code, attempts, this.#dice.retry(fault.route), this.#dice.random());
    const told = { ...fault, detail: wordsAbout(message, fault.detail) };
    const known = this.prepared.late.find(({ item }) => item.seq === message.seq)?.item;
    this.routes.failed(message.lane, told, known?.fault ?? null);
    this.#faults.set(message.seq, { fault: told, attemptsBefore: attempts - 1 });
    await this.#pass(message, {
      ...verdict,
      fault: fault.code,
      detail: told.detail,
      attempts,
      behind: null,
      route: null,
    });
  }

  /** Its line is gone. What it touches stays as unknown, or as known, as it was. */
  lose({ lane, seq, attempts, sets }: LateItem, fault: Fault): void {
    const write = { state: "dead", fault: fault.code, attempts } as const;
    const nowhere = { retryInMs: null, behind: null, route: null };
    const known = sets && setsAsText(sets);
    this.exceptions.push({ ...write, ...nowhere, seq, detail: fault.detail, sets: known, tables: [] });
    this.passed.push({ ...write, lane, seq });
    this.orphans.close(lane, seq);
  }

  /** An operator gave it up. The ledger knows who and why; the centre must know that it will never come. */
  discard(item: LateItem): void {
    const { seq, fault, attempts, sets } = item;
    const reason = item.order.verb === "discard" ? item.order.reason : "";
    this.exceptions.push({
      seq,
      state: "discarded",
      fault,
      detail: reason,
      attempts,
      retryInMs: null,
      behind: null,
      route: null,
      sets: setsAsText(sets ?? NO_SETS),
      tables: [],
    });
    this.passed.push({ lane: item.lane, seq, state: "discarded", fault, attempts });
    this.#forget(item.lane, seq);
  }

  #forget(lane: LaneName, seq: Seq): void {
    this.open.close(lane, seq);
    this.orphans.close(lane, seq);
  }

  async #pass(message: Trial, write: Omit<ExceptionWrite, "seq" | "sets" | "tables" | "trace">): Promise<void> {
    const { lane, seq, tables } = message;
    const known = this.prepared.late.find(({ item }) => item.seq === seq)?.item.sets ?? null;
    // What the original touched stays named: an edit may be edited back.
    const sets = joinedSets(known, (await message.touched()).sets());
    const trace = contextOf(message.trace)?.traceId ?? null;
    this.exceptions.push({ ...write, seq, sets: setsAsText(sets), tables, trace });
    if (write.state !== "discarded")
      this.passed.push({ lane, seq, state: write.state, fault: write.fault, attempts: write.attempts });
    this.open.open(lane, seq, sets);
    if (write.fault === "PARENT_MISSING") this.orphans.open(lane, seq, sets);
    else this.orphans.close(lane, seq);
  }
}

/** Words that go into exceptions, events and alerts: without what is personal of the message. */
function wordsAbout(message: Trial, words: string): string {
  const values = message.personal();
  return values === null ? HIDDEN : values.length === 0 ? words : discreet(words, values);
}
