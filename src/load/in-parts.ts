import type { LaneName, Seq } from "../base/ids.ts";
import type { LoadTransaction } from "../database/port.ts";
import { applyInOrder, type Fared } from "./alone.ts";
import type { Note } from "./decide.ts";
import { personalOf, planLine, routeIn, tablesOf, touch, type Sender, type Trial } from "./message.ts";
import type { Line } from "./reading.ts";
import { Touched } from "./sets.ts";
import type { Targets } from "./target.ts";

/**
 * A message too large for memory: it is read from the ledger, planned and applied part by part, all within the caller's one
 * transaction. A transform sees the changes of its part only. What it touches is gathered only when somebody asks.
 */
export class InParts implements Trial {
  readonly lane: LaneName;
  readonly seq: Seq;
  at: string | null = null;
  trace: string | null = null;
  changes = 0;
  readonly #sender: Sender;
  readonly #read: () => AsyncIterable<Line>;
  readonly #targets: Targets;
  readonly #tables = new Set<string>();
  #touched: Touched | null = null;
  /** Of the part that was tried last. */
  #personal: readonly string[] | null = null;

  /** @param read gives the parts from the first; called anew for each pass */
  constructor(sender: Sender, seq: Seq, read: () => AsyncIterable<Line>, targets: Targets) {
    this.lane = sender.lane;
    this.seq = seq;
    this.#sender = sender;
    this.#read = read;
    this.#targets = targets;
  }

  get tables(): readonly string[] {
    return [...this.#tables];
  }

  async touched(): Promise<Touched> {
    if (this.#touched) return this.#touched;
    const touched = new Touched();
    for await (const line of this.#read()) {
      const { acts } = planLine(this.#sender, line, this.#targets);
      touch(touched, acts, line, this.#targets);
      for (const table of tablesOf(acts, line)) this.#tables.add(table);
    }
    return (this.#touched = touched);
  }

  async routeAmong(routes: ReadonlySet<string>): Promise<string | null> {
    for await (const line of this.#read()) {
      const route = routeIn(line, routes);
      if (route !== null) return route;
    }
    return null;
  }

  personal(): readonly string[] | null {
    return this.#targets.personal.size === 0 ? [] : this.#personal;
  }

  async apply(tx: LoadTransaction, late: boolean): Promise<Fared> {
    const notes: Note[] = [];
    this.changes = 0;
    for await (const line of this.#read()) {
      this.at = line.at ?? this.at;
      this.trace = line.trace ?? this.trace;
      this.changes += line.changes.length;
      const plan = planLine(this.#sender, line, this.#targets);
      this.#personal = personalOf(plan.acts, line, this.#targets);
      const fault = line.fault ?? plan.fault;
      if (fault) return { fault, notes };
      for (const table of tablesOf(plan.acts, line)) this.#tables.add(table);
      const fared = await applyInOrder(tx, plan.acts, late);
      notes.push(...fared.notes);
      if (fared.fault) return { fault: fared.fault, notes };
    }
    return { fault: null, notes };
  }
}
