import { instantOf, type Instant } from "../base/clock.ts";
import { WaybillError } from "../base/errors.ts";
import { terminalId, type LaneName, type Seq, type TerminalId } from "../base/ids.ts";
import type { UpdateEntry } from "../ledger/update-log.ts";
import { field, type Change, type Row } from "../message/change.ts";
import { centralTx } from "../wire/updates.ts";
import type { DownTable } from "./settings.ts";

/** A change as the centre captured it: who it came from, and the one audience a snapshot's row is for. */
export type CapturedChange = Change & { readonly origin?: string | null; readonly aim?: string | null };
/** Audience a snapshot is aimed at (`terminal:t1`) → the audiences its terminal belongs to; rows of others are left out. */
export type Aims = ReadonlyMap<string, ReadonlySet<string>>;
export type DownTables = ReadonlyMap<string, DownTable>;
export type CentralTransaction = {
  readonly source: LaneName;
  readonly seq: Seq;
  readonly at: string;
  readonly trace: string | null;
};

type Open = {
  readonly group: string;
  readonly audience: string;
  readonly origin: TerminalId | null;
  readonly texts: string[];
  bytes: number;
};

/**
 * Turns the changes of one central transaction into entries of the update log: one per audience and origin, never one
 * per terminal, each up to about `partBytes`, all with the same `tx`. Down carries state: what a terminal gets is the
 * row as it is (`upsert`), its new key (`update`), or that it is gone (`delete`).
 *
 * Changes may move into an earlier entry only past changes of the same table and other keys. So whoever applies the
 * entries in order has the changes of a key in order, and parents before children as the centre had them.
 */
export class TransactionSplit {
  readonly #of: CentralTransaction;
  readonly #at: Instant;
  readonly #tables: DownTables;
  readonly #aims: Aims;
  readonly #partBytes: number;
  readonly #entries: Open[] = [];
  /** Group → index of the entry that still takes its changes. */
  readonly #open = new Map<string, number>();
  /** Row key → index of the entry with its latest change; within the present run of one table. */
  readonly #latest = new Map<string, number>();
  #table = "";
  /** Changes of tables that are not configured to go down, by table. */
  readonly unknown = new Map<string, number>();

  constructor(of: CentralTransaction, tables: DownTables, aims: Aims, partBytes: number) {
    const at = instantOf(of.at);
    if (at === null)
      throw new WaybillError("INTERNAL", `message ${of.source}/${of.seq} has no readable time: ${of.at}`);
    this.#of = of;
    this.#at = at;
    this.#tables = tables;
    this.#aims = aims;
    this.#partBytes = partBytes;
  }

  /** @throws TRANSFORM_FAILED when the config's audience function throws or gives no names. */
  add(change: CapturedChange): void {
    const table = this.#tables.get(change.table);
    if (!table) {
      this.unknown.set(change.table, (this.unknown.get(change.table) ?? 0) + 1);
      return;
    }
    if (table.source !== this.#table) this.#turnTo(table.source);
    const origin = change.origin ? terminalId(change.origin) : null;
    for (const [audience, seen] of this.#views(change, table)) this.#put(audience, origin, onTheWire(seen, table));
  }

  entries(): UpdateEntry[] {
    const tx = centralTx(this.#of.source, this.#of.seq);
    return this.#entries.map(({ audience, origin, texts }) => {
      const changes = Buffer.from(`[${texts.join(",")}]`, "utf8");
      return { audience, tx, at: this.#at, origin, trace: this.#of.trace, changes, count: texts.length };
    });
  }

  /** Who is told what: a row that came into an audience is all new there, one that left it is gone there. */
  #views(change: CapturedChange, table: DownTable): [string, Change][] {
    // That a row is gone was asked for: nobody knows any more who had it.
    if (change.aim && !change.row) return [[change.aim, state(change)]];
    if (change.aim) {
      const belongs = this.#aims.get(change.aim);
      if (!belongs) throw new WaybillError("INTERNAL", `nobody said which audiences ${change.aim} belongs to`);
      const aimed = audiencesOf(change.row ?? change.key, table, change).some((audience) => belongs.has(audience));
      return aimed ? [[change.aim, state(change)]] : [];
    }
    const gone: Change = { table: change.table, op: "delete", key: change.key };
    if (change.op === "delete" || !change.row) {
      // Without the row as it was nobody knows who has it; that it is gone is true for all.
      const had = change.before ? audiencesOf(change.before, table, change) : ["all"];
      return had.map((audience) => [audience, gone]);
    }
    const has = audiencesOf(change.row, table, change);
    const had = change.before ? audiencesOf(change.before, table, change) : has;
    const views = has.map((audience): [string, Change] => [
      audience,
      had.includes(audience) ? state(change) : arrived(change),
    ]);
    const left = table.onLeave === "delete" ? had.filter((audience) => !has.includes(audience)) : [];
    return [...left.map((audience): [string, Change] => [audience, gone]), ...views];
  }

  #turnTo(table: string): void {
    this.#table = table;
    this.#latest.clear();
    this.#open.clear();
    const last = this.#entries.at(-1);
    if (last) this.#open.set(last.group, this.#entries.length - 1);
  }

  #put(audience: string, origin: TerminalId | null, change: Change): void {
    const group = `${audience}\n${origin ?? ""}`;
    const keys = [change.key, ...(change.row ? [newKey(change.key, change.row)] : [])].map((key) =>
      JSON.stringify(key),
    );
    const latest = Math.max(-1, ...keys.map((key) => this.#latest.get(key) ?? -1));
    let at = this.#open.get(group);
    if (at === undefined || at < latest || (this.#entries[at]?.bytes ?? 0) >= this.#partBytes) {
      at = this.#entries.push({ group, audience, origin, texts: [], bytes: 2 }) - 1;
      this.#open.set(group, at);
    }
    const text = JSON.stringify(change);
    const entry = this.#entries[at] as Open;
    entry.texts.push(text);
    entry.bytes += Buffer.byteLength(text) + 1;
    for (const key of keys) this.#latest.set(key, Math.max(at, latest));
  }
}

/** The row as it is. Only a change of the key stays an update: children at the terminal may hang on the old one. */
function state(change: Change): Change {
  const { table, op, key, row } = change;
  if (!row) return { table, op: "delete", key };
  const moves = op === "update" && JSON.stringify(key) !== JSON.stringify(newKey(key, row));
  return { table, op: moves ? "update" : "upsert", key, row };
}

const arrived = (change: Change): Change =>
  change.row
    ? { table: change.table, op: "upsert", key: newKey(change.key, change.row), row: change.row }
    : { table: change.table, op: "delete", key: change.key };

const newKey = (key: Row, row: Row): Row =>
  Object.fromEntries(Object.entries(key).map(([column, value]) => [column, field(row, column) ?? value]));

function onTheWire(change: Change, table: DownTable): Change {
  const renamed = (row: Row): Row =>
    table.rename.size === 0 && table.ignore.size === 0
      ? row
      : Object.fromEntries(
          Object.entries(row).flatMap(([column, value]) =>
            table.ignore.has(column) ? [] : [[table.rename.get(column) ?? column, value]],
          ),
        );
  const { op, key, row } = change;
  return { table: table.source, op, key: renamed(key), ...(row ? { row: renamed(row) } : {}) };
}

function audiencesOf(row: Row, table: DownTable, change: Change): readonly string[] {
  const where = (): string => `the audience of ${table.target} ${JSON.stringify(change.key)}`;
  let given: unknown;
  try {
    given = table.audience(row);
  } catch (thrown) {
    throw new WaybillError("TRANSFORM_FAILED", `${where()} threw: ${String(thrown)}`, { cause: thrown });
  }
  const names: unknown[] = Array.isArray(given) ? given : [given];
  const named = names.filter((name): name is string => typeof name === "string" && name !== "");
  if (named.length < names.length)
    throw new WaybillError("TRANSFORM_FAILED", `${where()} is ${JSON.stringify(given)}, not a name or a list of names`);
  return [...new Set(named)];
}
