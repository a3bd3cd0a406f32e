import type { LoadTransaction } from "../database/port.ts";
import type { LaneName, Seq } from "../base/ids.ts";
import { applyInOrder, type Fared } from "./alone.ts";
import type { OpenIndex } from "./open-index.ts";
import { planChanges, type Act, type Fault } from "./plan.ts";
import { personalValues } from "./discreet.ts";
import type { Line } from "./reading.ts";
import { setsOfAct, setsOfSource, Touched } from "./sets.ts";
import type { Targets } from "./target.ts";
import { ValuePool } from "./value-pool.ts";
import { witnessOf, type Witness } from "./witness.ts";

/** From whom messages are: the same for a whole lane. */
export type Sender = {
  readonly lane: LaneName;
  readonly terminal: string;
  readonly tags: Readonly<Record<string, string>>;
};

/** A message that can be tried: one that lies in memory (`Loading`), or one read again from the ledger, part by part (`InParts`). */
export interface Trial {
  readonly lane: LaneName;
  readonly seq: Seq;
  /** Commit time at the terminal, as far as it has been read. */
  readonly at: string | null;
  /** Its traceparent as it came, as far as it has been read. */
  readonly trace: string | null;
  /** How many changes it has, as far as it has been read. */
  readonly changes: number;
  /** Names of the tables it writes, as far as it has been read. */
  readonly tables: readonly string[];
  touched(): Promise<Touched>;
  /** The first of these routes that it holds a change of. */
  routeAmong(routes: ReadonlySet<string>): Promise<string | null>;
  /** What words about it may not quote; null when that is not known now, so that they may quote nothing. */
  personal(): readonly string[] | null;
  /** Applies all changes in their order. On a fault the caller undoes what was written. */
  apply(tx: LoadTransaction, late: boolean): Promise<Fared>;
}

/** A message that lies in memory. It is planned when it is made, and its plan never changes. */
export class Loading implements Trial {
  readonly lane: LaneName;
  readonly seq: Seq;
  readonly at: string | null;
  readonly trace: string | null;
  readonly acts: readonly Act[];
  readonly fault: Fault | null;
  readonly #sender: Sender;
  readonly #line: Line;
  readonly #targets: Targets;
  #touched: Touched | null = null;
  #witness: Witness | null | undefined;

  constructor(sender: Sender, line: Line, targets: Targets) {
    const plan = planLine(sender, line, targets);
    this.lane = sender.lane;
    this.seq = line.seq;
    this.at = line.at;
    this.trace = line.trace;
    this.acts = plan.acts;
    this.fault = line.fault ?? plan.fault;
    this.#sender = sender;
    this.#line = line;
    this.#targets = targets;
  }

  get changes(): number {
    return this.#line.changes.length;
  }
  get tables(): readonly string[] {
    return tablesOf(this.acts, this.#line);
  }
  /** Worked out only when somebody asks: on the happy path nobody does. */
  get sets(): Touched {
    if (!this.#touched) {
      this.#touched = new Touched();
      touch(this.#touched, this.acts, this.#line, this.#targets);
    }
    return this.#touched;
  }
  touched(): Promise<Touched> {
    return Promise.resolve(this.sets);
  }
  async routeAmong(routes: ReadonlySet<string>): Promise<string | null> {
    return routeIn(this.#line, routes);
  }
  /** The same of one route, for all messages of a batch. */
  isOf(route: string): boolean {
    return this.#line.changes.some((change: { table?: unknown } | null) => change?.table === route);
  }
  personal(): readonly string[] {
    return personalOf(this.acts, this.#line, this.#targets);
  }
  /** The same, quicker still and surer to say yes, of all whose values are in the pool. */
  mayBeIn(pool: ValuePool): boolean {
    if (pool.isEmpty) return false;
    if (this.#witness === undefined) this.#witness = witnessOf(this.#line.changes, this.acts);
    return pool.mayMeet(this.#line.changes, this.acts, this.#witness);
  }
  /** All values of what it writes or names. */
  pool(): ValuePool {
    const pool = new ValuePool();
    const sets = this.sets.sets();
    pool.add({ ...sets, writes: [...sets.writes, ...sets.parents] });
    return pool;
  }
  addTo(pool: ValuePool): void {
    pool.addChanges(this.#line.changes, this.acts);
  }
  /** Whether it could have to come after one of these, wherever they stand: quick, and never a no too much. */
  mayMeet(open: OpenIndex): boolean {
    for (const pool of open.pools) if (this.mayBeIn(pool)) return open.mayMeet(this.sets.sets());
    return false;
  }
  /** Nothing but rows as they are, as a resync puts them into the lane: each stands for itself. */
  get isPage(): boolean {
    return this.fault === null && this.#line.changes.every((change) => change.op === "upsert");
  }
  /** Each change as a message of its own, under the same number. */
  rows(): readonly Loading[] {
    return this.#line.changes.map((change) => this.#with([change]));
  }
  /** The same message without some of its `rows`. */
  without(rows: ReadonlySet<Loading>): Loading {
    const left = new Set([...rows].flatMap((row) => row.#line.changes));
    return this.#with(this.#line.changes.filter((change) => !left.has(change)));
  }
  #with(changes: Line["changes"]): Loading {
    return new Loading(this.#sender, { ...this.#line, changes }, this.#targets);
  }
  apply(tx: LoadTransaction, late: boolean): Promise<Fared> {
    return this.fault ? Promise.resolve({ fault: this.fault, notes: [] }) : applyInOrder(tx, this.acts, late);
  }
}

/** By the sender's names as well as by the target's: a transform may have made other values of what came. */
export function personalOf(acts: readonly Act[], line: Line, { personal }: Targets): readonly string[] {
  if (personal.size === 0) return [];
  const came = line.changes.filter((change: unknown) => typeof change === "object" && change !== null);
  const made = acts.map(({ target, key, row, before }) => ({ table: target.shape.name, key, row, before }));
  return personalValues(personal, [...came, ...made]);
}

export const planLine = (sender: Sender, line: Line, targets: Targets): ReturnType<typeof planChanges> =>
  planChanges(targets, {
    terminal: sender.terminal,
    tags: sender.tags,
    seq: line.seq,
    at: line.at ?? "",
    changes: line.changes,
  });

export function touch(touched: Touched, acts: readonly Act[], line: Line, targets: Targets): void {
  touched.add(setsOfSource(line.changes, targets));
  for (const act of acts) touched.add(setsOfAct(act));
}

/** A line may be anything; what is no change has no route. */
export function routeIn({ changes }: Line, routes: ReadonlySet<string>): string | null {
  for (const change of changes as readonly (Partial<Line["changes"][number]> | null)[])
    if (typeof change?.table === "string" && routes.has(change.table)) return change.table;
  return null;
}

/** By their names at the target; by the sender's names when nothing could be planned. */
export function tablesOf(acts: readonly Act[], line: Line): string[] {
  if (acts.length > 0) return [...new Set(acts.map((act) => act.target.shape.name))];
  const named = line.changes.map((change: unknown) => (change as { table?: unknown } | null)?.table);
  return [...new Set(named.filter((table) => typeof table === "string"))];
}
