import type { FaultCode } from "../../base/errors.ts";
import { field, type Row } from "../../message/change.ts";
import type { Applied, Effect, Refusal, Tried } from "../port.ts";
import type { Connection, TextRow } from "./connection.ts";
import type { Catalog, PostgresTable } from "./describe.ts";
import { isServerError, isStaleSchema, translated } from "./errors.ts";
import { rowName, verdictOn, type Verdict } from "./refusals.ts";
import { columnwise, rowByKey } from "./rows.ts";
import { bind, planOf, type Plan, type Unplannable } from "./statements.ts";
import { Unfit } from "./values.ts";

/** Rows of one statement. More gains nothing that was measurable, and makes the search for a refused row longer. */
const CHUNK = 1_000;
const NOTHING: Row = {};

/** An effect whose values have been bound. */
type Item = {
  readonly index: number;
  readonly effect: Effect;
  readonly plan: Plan;
  readonly values: (string | null)[];
};

/**
 * Applies effects in as few statements as their order allows: neighbours of one kind on one table that write the same columns
 * go together. A statement that is refused is undone and its effects are halved, down to the one at fault.
 */
export class Applier {
  readonly #connection: Connection;
  readonly #catalog: Catalog;
  readonly #plans = new Map<string, Plan | Unplannable>();
  #plansOf = "";
  /** Neighbours are mostly alike: what was made for one is not looked up for the next. */
  #last: { readonly plan: Plan; readonly columns: readonly string[] } | null = null;

  constructor(connection: Connection, catalog: Catalog) {
    this.#connection = connection;
    this.#catalog = catalog;
  }

  /** @throws infrastructure faults; the transaction is then of no more use */
  async apply(effects: readonly Effect[]): Promise<Applied> {
    const told: Told = { refused: [], absentDeletes: 0 };
    if (effects.some((effect) => !this.#catalog.tables.has(effect.table))) await this.#catalog.refresh();
    let chunk = new Chunk();
    for (let index = 0; index < effects.length; index++) {
      const item = this.#prepare(index, effects[index] as Effect);
      if ("code" in item) {
        told.refused.push({ index, ...item });
        continue;
      }
      if (!chunk.takes(item)) {
        await this.#run(chunk.items, told);
        chunk = new Chunk();
      }
      chunk.add(item);
    }
    await this.#run(chunk.items, told);
    return { refused: told.refused.toSorted((a, b) => a.index - b.index), absentDeletes: told.absentDeletes };
  }

  /**
   * All lists travel together, each in a savepoint within that of the list before it: going back to one undoes that list and all
   * behind it, which failed without a meaning. See the port. `end`: what the caller sends before anything else.
   */
  async applyEach(
    lists: readonly (readonly Effect[])[],
  ): Promise<{ readonly tried: readonly Tried[]; readonly end: string | null }> {
    if (lists.some((effects) => effects.some((effect) => !this.#catalog.tables.has(effect.table))))
      await this.#catalog.refresh();
    const sent: Promise<Tried | Answers>[] = [];
    let isRefused = false;
    for (const effects of lists) {
      if (isRefused) break;
      const chunks = this.#chunks(effects);
      isRefused = !Array.isArray(chunks);
      sent.push(Array.isArray(chunks) ? this.#sendWhole(chunks, savepoint(sent.length)) : Promise.resolve(chunks));
    }
    const tried: Tried[] = [];
    let end: string | null = null;
    const answers = await Promise.all(sent);
    for (const [at, answer] of answers.entries()) {
      const outcome = isAnswers(answer) ? this.#outcome(answer) : answer;
      tried.push(outcome);
      if (isAnswers(answer)) end = `${outcome === null ? "" : `rollback to ${savepoint(at)}; `}release ${savepoint(0)}`;
      if (outcome !== null) break;
    }
    return { tried, end };
  }

  /** The effects as statements; or why one of them cannot even be sent. */
  #chunks(effects: readonly Effect[]): Chunk[] | Refusal | "unclear" {
    const chunks = [new Chunk()];
    for (const [index, effect] of effects.entries()) {
      const item = this.#prepare(index, effect);
      if ("code" in item) return index === 0 ? { index, ...item } : "unclear"; // one before it may be refused, too
      if (!chunks.at(-1)?.takes(item)) chunks.push(new Chunk());
      chunks.at(-1)?.add(item);
    }
    return chunks;
  }

  /** All is sent before this returns. */
  async #sendWhole(chunks: readonly Chunk[], name: string): Promise<Answers> {
    const begun = this.#connection.script(`savepoint ${name}`);
    const answers = Promise.allSettled(chunks.map(({ items }) => this.#gated(items)));
    const [begin] = await Promise.allSettled([begun]);
    return { begin, chunks, answers: await answers };
  }

  /** @throws infrastructure faults */
  #outcome({ begin, chunks, answers }: Answers): Tried {
    for (const [at, answer] of answers.entries()) {
      const items = chunks[at]?.items ?? [];
      if (answer.status === "rejected") return this.#refusalOf(answer.reason, items);
      if (answer.value.length !== items.length) return "unclear";
    }
    if (begin.status === "rejected") throw begin.reason;
    return null;
  }

  /** @throws infrastructure faults */
  #refusalOf(thrown: unknown, items: readonly Item[]): Refusal | "unclear" {
    const [item] = items;
    if (!item || isStaleSchema(thrown)) return "unclear";
    const { effect, plan, index } = item;
    const verdict = isServerError(thrown) ? verdictOn(thrown, effect, plan.table) : null;
    if (verdict === null)
      throw translated(thrown, `${effect.kind} ${plan.table.name}`, rowName(plan.table, effect.key));
    return items.length > 1 || isOfUpsert(verdict, effect) ? "unclear" : { index, ...verdict };
  }

  #prepare(index: number, effect: Effect): Item | Verdict {
    const table = this.#catalog.tables.get(effect.table);
    if (!table) return { code: "TABLE_UNKNOWN", detail: `the database has no table ${effect.table}` };
    const refuse = (code: FaultCode, why: string): Verdict => ({
      code,
      detail: `${rowName(table, effect.key)}: ${why}`,
    });
    if (table.key.length === 0) return refuse("KEY_INVALID", "the table has no key");
    for (const name of table.key) {
      if ((field(effect.key, name) ?? null) === null) return refuse("KEY_INVALID", `the key has no ${name}`);
    }
    const row = effect.kind === "delete" ? NOTHING : (effect.row ?? NOTHING);
    const plan = this.#plan(table, effect.kind, row);
    if ("unknown" in plan) return refuse("COLUMN_UNKNOWN", `there is no column ${plan.unknown} to write`);
    const values = bind(plan, effect.key, row);
    return values instanceof Unfit ? refuse("TYPE_REFUSED", values.why) : { index, effect, plan, values };
  }

  /** All of them in one statement; where that is refused, in two halves. */
  async #run(items: readonly Item[], told: Told): Promise<void> {
    const [first] = items;
    if (!first) return;
    let rows: readonly TextRow[];
    try {
      rows = await this.#statement(items);
    } catch (thrown) {
      return this.#refused(thrown, items, told);
    }
    const { kind, table } = first.plan;
    if (rows.length === items.length) return;
    // What was not found: by its number for update and delete, which may be many; else it is a single one (see `takes`) or a "keep".
    const found = kind === "update" || kind === "delete" ? new Set(rows.map(([n]) => Number(n))) : null;
    for (const [at, item] of items.entries()) {
      if (found?.has(at + 1)) continue;
      const outcome = await this.#untouched(item, table);
      if (outcome === "absent") told.absentDeletes++;
      else if (outcome !== "done") told.refused.push({ index: item.index, ...outcome });
    }
  }

  async #refused(thrown: unknown, items: readonly Item[], told: Told): Promise<void> {
    const item = items[0] as Item;
    if (isStaleSchema(thrown) && (await this.#isRenewed())) {
      const again = items.map((old) => ({ old, now: this.#prepare(old.index, old.effect) }));
      for (const { old, now } of again) if ("code" in now) told.refused.push({ index: old.index, ...now });
      return this.#run(
        again.flatMap(({ now }) => ("code" in now ? [] : [now])),
        told,
      );
    }
    const verdict = isServerError(thrown) ? verdictOn(thrown, item.effect, item.plan.table) : null;
    if (verdict === null) {
      const { kind, key } = item.effect;
      throw translated(thrown, `${kind} ${item.plan.table.name}`, rowName(item.plan.table, key));
    }
    if (items.length > 1) {
      const half = items.length >> 1;
      await this.#run(items.slice(0, half), told);
      await this.#run(items.slice(half), told);
      return;
    }
    if (isOfUpsert(verdict, item.effect) && (await this.#overwrites(item))) return;
    told.refused.push({ index: item.index, ...verdict });
  }

  /** The upsert as an update: was there a row? */
  async #overwrites(item: Item): Promise<boolean> {
    const update: Effect = { ...item.effect, kind: "update" };
    const prepared = this.#prepare(item.index, update);
    if ("code" in prepared) return false;
    const told: Told = { refused: [], absentDeletes: 0 };
    await this.#run([prepared], told);
    return told.refused.length === 0;
  }

  async #isRenewed(): Promise<boolean> {
    const before = this.#catalog.version;
    await this.#catalog.refresh();
    return this.#catalog.version !== before;
  }

  /** The statement within a savepoint. All parts travel together. */
  async #statement(items: readonly Item[]): Promise<readonly TextRow[]> {
    const connection = this.#connection;
    const begun = connection.script("savepoint waybill_effects");
    const statement = this.#gated(items);
    const ends = Promise.allSettled([begun, connection.script("release waybill_effects")]);
    try {
      const rows = await statement;
      for (const end of await ends) if (end.status === "rejected") throw end.reason;
      return rows;
    } catch (thrown) {
      await ends; // they failed for the same reason
      if (isServerError(thrown)) await connection.script("rollback to waybill_effects; release waybill_effects");
      throw thrown;
    }
  }

  /**
   * The statement, and, where our own trigger is on the table, the gate that tells it who writes: a setting of this transaction that
   * names the table, so that what the application's triggers write elsewhere is captured. All parts are sent before this returns.
   */
  #gated(items: readonly Item[]): Promise<readonly TextRow[]> {
    const connection = this.#connection;
    const [first] = items;
    if (!first) return Promise.resolve([]);
    const { table, sql, slots } = first.plan;
    const around: Promise<unknown>[] = [];
    if (table.captured) around.push(connection.query(GATE, table.name, first.effect.origin ?? ""));
    const values = columnwise(
      items.map((item) => item.values),
      slots.length,
    );
    const statement = connection.raw(sql, values);
    if (table.captured) around.push(connection.query(GATE, "", ""));
    return answered(statement, Promise.allSettled(around));
  }

  /** The statement went through and left the row alone: because there was none, or because a trigger of the database said so. */
  async #untouched({ effect }: Item, table: PostgresTable): Promise<"done" | "absent" | Verdict> {
    const what = rowName(table, effect.key);
    const present = async (): Promise<boolean> => (await rowByKey(this.#connection, table, effect.key)) !== null;
    const ignored: Verdict = {
      code: "ROW_REFUSED",
      detail: `${what}: a trigger of the database ignored the ${effect.kind}`,
    };
    // PostgreSQL never writes such a column again, so the statement passes over a row that has another value there.
    const fixed = table.columns.find((one) => one.fixed && Object.hasOwn(effect.row ?? NOTHING, one.name))?.name;
    const refused: Verdict = {
      code: "ROW_REFUSED",
      detail: `${what}: column ${fixed} is GENERATED ALWAYS AS IDENTITY and has another value`,
    };
    switch (effect.kind) {
      case "insert":
        return ignored;
      case "keep":
        return !table.foreignTriggers || (await present()) ? "done" : ignored;
      case "upsert": // of a key alone: there was nothing to overwrite
        if (fixed !== undefined && !table.key.includes(fixed) && !table.foreignTriggers) return refused;
        return !table.foreignTriggers ||
          (Object.keys(effect.row ?? NOTHING).every((name) => table.key.includes(name)) && (await present()))
          ? "done"
          : ignored;
      case "update":
        if (fixed !== undefined && !table.foreignTriggers && (await present())) return refused;
        if (table.foreignTriggers && (await present())) return ignored;
        return { code: "ROW_MISSING", detail: `${what}: there is no row with this key` };
      case "delete":
        return table.foreignTriggers && (await present()) ? ignored : "absent";
    }
  }

  #plan(table: PostgresTable, kind: Effect["kind"], row: Row): Plan | Unplannable {
    const { version } = this.#catalog;
    // Also bounded: a sender with ever other column sets must not fill the memory.
    if (this.#plansOf !== version || this.#plans.size >= 500) {
      this.#plans.clear();
      this.#last = null;
      this.#plansOf = version;
    }
    const columns = Object.keys(row);
    const last = this.#last;
    if (last && last.plan.table === table && last.plan.kind === kind && isSame(last.columns, columns)) return last.plan;
    const id = `${kind}\0${table.name}\0${columns.join("\0")}`;
    const made = this.#plans.get(id) ?? planOf(table, kind, columns);
    this.#plans.set(id, made);
    this.#last = "sql" in made ? { plan: made, columns } : null;
    return made;
  }
}

/** PostgreSQL looks for NOT NULL before it looks for the row that an upsert would only overwrite in part. */
const isOfUpsert = ({ code }: Verdict, { kind }: Effect): boolean => code === "NULL_REFUSED" && kind === "upsert";

/** The statement's rows, or what it was refused for: the gates failed for the same reason. */
async function answered(
  statement: Promise<{ readonly rows: readonly TextRow[] }>,
  around: Promise<readonly PromiseSettledResult<unknown>[]>,
): Promise<readonly TextRow[]> {
  try {
    const { rows } = await statement;
    for (const gate of await around) if (gate.status === "rejected") throw gate.reason;
    return rows;
  } finally {
    await around;
  }
}

const isSame = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name, at) => name === b[at]);

const GATE = "select set_config('waybill.loading', $1, true), set_config('waybill.origin', $2, true)";

/** What the database said of one list: of its savepoint, and of each statement. */
type Answers = {
  readonly begin: PromiseSettledResult<void>;
  readonly chunks: readonly Chunk[];
  readonly answers: readonly PromiseSettledResult<readonly TextRow[]>[];
};
const isAnswers = (told: Tried | Answers): told is Answers =>
  typeof told === "object" && told !== null && "answers" in told;
const savepoint = (at: number): string => `waybill_list_${at}`;

type Told = { readonly refused: Refusal[]; absentDeletes: number };

/** Effects that may go in one statement without a difference to anybody. */
class Chunk {
  readonly items: Item[] = [];
  readonly #keys = new Set<string>();
  #alone = false;

  takes(item: Item): boolean {
    const [first] = this.items;
    if (!first) return true;
    return (
      first.plan === item.plan &&
      first.effect.origin === item.effect.origin &&
      this.items.length < CHUNK &&
      !this.#alone &&
      !isAlone(item) &&
      !this.#keys.has(keyOf(item)) // a statement would see the row twice as it was before
    );
  }
  add(item: Item): void {
    this.items.push(item);
    this.#keys.add(keyOf(item));
    this.#alone = isAlone(item);
  }
}

/** The application's triggers see one row at a time, as where the change was made; a key that moves may move onto another's. */
function isAlone({ effect, plan: { table, kind } }: Item): boolean {
  if (table.foreignTriggers) return true;
  return (
    kind === "update" && effect.row !== undefined && table.key.some((name) => Object.hasOwn(effect.row ?? {}, name))
  );
}

/** Tells rows of one table apart; texts as they are, since most keys are. */
function keyOf({ effect, plan: { table } }: Item): string {
  let text = "";
  for (const name of table.key) {
    const value = field(effect.key, name);
    text += typeof value === "string" ? `${value.length}:${value}` : `${JSON.stringify(value)};`;
  }
  return text;
}
