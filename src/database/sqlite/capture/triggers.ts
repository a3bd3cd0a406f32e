import type { CaptureRole } from "../../port.ts";
import { quoted } from "../connection.ts";
import { OURS } from "../describe.ts";
import type { Subject } from "./subject.ts";

/**
 * The triggers that write `waybill_outbox`, five to a table. What they must withstand:
 *
 * - *An application's own trigger that stamps the row.* SQLite promises no order among triggers (it fires the youngest first,
 *   so ours are kept the youngest), and what is recorded after an insert or update is the row as it is now, found by its
 *   rowid, not NEW (straighten.ts puts right what came too early).
 * - *REPLACE*, by the statement or by a constraint's own clause: it deletes rows that stand in the way by any unique key,
 *   and unless `recursive_triggers` is on, no DELETE trigger hears of it. So a BEFORE trigger notes the rows that could be
 *   displaced, and the AFTER trigger records as deleted those whose key is gone, or has become the new row's.
 *   A deletion is only ever recorded for a key that no row has at that moment, or that the next record writes: notes left by a
 *   statement that came to nothing (OR IGNORE) cannot do harm.
 * - *The application's conflict clause*, which governs the statements in its triggers too: nothing here can conflict.
 * - *Any version and setting of SQLite* the application may have: no function but julianday, no row values, no upsert.
 *
 * What they cannot see, and reconciliation finds: a row displaced by REPLACE when, in the same statement, an application's own
 * BEFORE trigger wrote to the same table in the same way; a row that OR FAIL keeps although an application's trigger, younger
 * than ours, failed over it.
 */
export type Trigger = { readonly name: string; readonly sql: string };

export const EVENTS = ["before_insert", "before_update", "after_insert", "after_update", "after_delete"] as const;
type Event = (typeof EVENTS)[number];

/** SQLite compares trigger names as it does table names, so two tables never share one. */
export const triggerName = (event: Event, table: string): string => `${OURS}${event}_${table}`;

/** @param layout written into each outbox row, so that its columns are known whatever becomes of the table */
export function triggersFor(subject: Subject, layout: number, role: CaptureRole): readonly Trigger[] {
  const at = new Site(subject, layout, role);
  const touched = subject.uniques.every((unique) => unique.touched !== null)
    ? subject.uniques.map((unique) => `(${unique.touched})`).join(" OR ")
    : null;
  return [
    at.trigger("before_insert", "BEFORE INSERT", null, [...at.settleNotes("insert", null), ...at.takeNotes("insert")]),
    at.trigger("before_update", "BEFORE UPDATE", touched, [
      ...at.settleNotes("update", null),
      ...at.takeNotes("update"),
      `${at.forgetOld()} AND NOT (${at.isOldKey()})`, // its old key will be gone, but not by displacement
    ]),
    at.trigger("after_insert", "AFTER INSERT", null, [
      ...at.settleNotes("insert", at.isNewKey()),
      at.recordRow("insert"),
    ]),
    // An update that took no notes settles none: it may be a stamp within another update of the same table, whose they are.
    at.trigger("after_update", "AFTER UPDATE", null, [
      ...at.settleNotes("update", `${at.isNewKey()} AND NOT (${at.isOldKey()})`, touched),
      at.recordRow("update"),
    ]),
    at.trigger("after_delete", "AFTER DELETE", null, [at.recordDelete(), at.forgetOld()]),
  ];
}

/** One table's SQL. `t` is a row of the table, `n` a note. */
class Site {
  readonly #subject: Subject;
  readonly #layout: number;
  readonly #role: CaptureRole;
  /** The table's name as a text. */
  readonly #named: string;
  /** The terminal whose change is being loaded; NULL for the application's own writes. */
  readonly #origin: string;

  constructor(subject: Subject, layout: number, role: CaptureRole) {
    this.#subject = subject;
    this.#layout = layout;
    this.#role = role;
    this.#named = `'${subject.table.replaceAll("'", "''")}'`;
    this.#origin =
      role === "central" ? `(SELECT g.origin FROM waybill_gate AS g WHERE g.tbl = ${this.#named})` : "NULL";
  }

  trigger(event: Event, moment: string, when: string | null, statements: readonly string[]): Trigger {
    const { table } = this.#subject;
    // At a terminal the gate keeps our own writes out; at the centre they are recorded with their origin.
    const open = `NOT EXISTS (SELECT 1 FROM waybill_gate AS g WHERE g.tbl = ${this.#named})`;
    const conditions = [...(this.#role === "terminal" ? [open] : []), ...(when === null ? [] : [`(${when})`])];
    const name = triggerName(event, table);
    const condition = conditions.length > 0 ? `\nWHEN ${conditions.join(" AND ")}` : "";
    const body = statements.map((statement) => `  ${statement};\n`).join("");
    // As sqlite_schema will hold it, letter by letter: a difference there means that somebody changed it.
    return { name, sql: `CREATE TRIGGER ${quoted(name)} ${moment} ON ${quoted(table)}${condition}\nBEGIN\n${body}END` };
  }

  /** The row as it is now. It is gone when an application's trigger, which fired before ours, has deleted it: recorded by that. */
  recordRow(op: "insert" | "update"): string {
    const { columns, table, rowid } = this.#subject;
    const before = op === "update" ? columns.map(({ name }) => `OLD.${quoted(name)}`) : [];
    const into = [...before.map((_, i) => `o${i}`), ...columns.map((_, i) => `n${i}`)];
    const values = [...before, ...columns.map(({ name }) => `t.${quoted(name)}`)];
    const same = rowid === null ? this.#equalKey("NEW") : `t.${quoted(rowid)} = NEW.${quoted(rowid)}`;
    return `${this.#into(into)} SELECT ${this.#head(op)}, ${values.join(", ")} FROM ${quoted(table)} AS t WHERE ${same}`;
  }

  recordDelete(): string {
    const { columns } = this.#subject;
    const values = columns.map(({ name }) => `OLD.${quoted(name)}`);
    return `${this.#into(values.map((_, i) => `o${i}`))} SELECT ${this.#head("delete")}, ${values.join(", ")}`;
  }

  /**
   * Records as deleted the noted rows that are gone, whichever statement noted them, and of this event's those for which `or`
   * holds; then these notes, and all of this event, have done their duty. Not unless `when`.
   */
  settleNotes(event: "insert" | "update", or: string | null, when: string | null = null): readonly string[] {
    const old = this.#subject.columns.map((_, i) => `o${i}`);
    const newer = `SELECT 1 FROM waybill_note AS m WHERE m.tbl = n.tbl AND m.rowid > n.rowid AND ${this.#sameNote()}`;
    const displaced = `${this.#isGone("n")} AND NOT EXISTS (${newer})${or === null ? "" : ` OR n.event = '${event}' AND ${or}`}`;
    const condition = when === null ? "" : ` AND (${when})`;
    return [
      `${this.#into(old)} SELECT ${this.#head("delete")}, ${old.map((name) => `n.${name}`).join(", ")} FROM waybill_note AS n ` +
        `WHERE n.tbl = ${this.#named} AND (${displaced})${condition}`,
      `DELETE FROM waybill_note WHERE tbl = ${this.#named} AND (event = '${event}' OR ${this.#isGone("waybill_note")})${condition}`,
    ];
  }

  /** One statement for each unique key, so that each search can use its index. A row in the way by two keys is noted once. */
  takeNotes(event: "insert" | "update"): readonly string[] {
    const { columns, table, uniques, rowid } = this.#subject;
    const itself = rowid === null ? this.#equalKey("OLD") : `t.${quoted(rowid)} = OLD.${quoted(rowid)}`;
    const other = event === "update" ? ` AND NOT (${itself})` : "";
    return uniques.map(({ clash }, i) => {
      const noted = `EXISTS (SELECT 1 FROM waybill_note AS n WHERE n.tbl = ${this.#named} AND n.event = '${event}' AND ${this.#keyOfNote("t")})`;
      return (
        `INSERT INTO waybill_note (tbl, event, ${columns.map((_, c) => `o${c}`).join(", ")}) ` +
        `SELECT ${this.#named}, '${event}', ${columns.map(({ name }) => `t.${quoted(name)}`).join(", ")} ` +
        `FROM ${quoted(table)} AS t WHERE ${clash}${other}${i === 0 ? "" : ` AND NOT ${noted}`}`
      );
    });
  }

  /**
   * What became of the row is recorded, so a note of it has done its duty. With recursive_triggers on, REPLACE itself fires
   * the DELETE trigger for what it displaces.
   */
  forgetOld(): string {
    return `DELETE FROM waybill_note WHERE tbl = ${this.#named} AND ${this.#keyOf("OLD", (i) => `o${i}`)}`;
  }

  isNewKey(): string {
    return this.#keyOfNote("NEW");
  }
  isOldKey(): string {
    return this.#subject.key.map((name) => `NEW.${quoted(name)} IS OLD.${quoted(name)}`).join(" AND ");
  }
  /** For tables without a rowid, whose key is never NULL: old versions of SQLite do not use an index for IS. */
  #equalKey(row: "NEW" | "OLD"): string {
    return this.#subject.key.map((name) => `t.${quoted(name)} = ${row}.${quoted(name)}`).join(" AND ");
  }
  #isGone(note: "n" | "waybill_note"): string {
    return `NOT EXISTS (SELECT 1 FROM ${quoted(this.#subject.table)} AS t WHERE ${this.#keyOf("t", (i) => `${note}.o${i}`)})`;
  }
  #keyOfNote(row: "t" | "NEW"): string {
    return this.#keyOf(row, (i) => `n.o${i}`);
  }
  #sameNote(): string {
    return this.#keyPlaces.map((i) => `m.o${i} IS n.o${i}`).join(" AND ");
  }
  /** IS, not =: tables that allow NULL in their key have such rows. */
  #keyOf(row: "t" | "NEW" | "OLD", noted: (column: number) => string): string {
    const { key } = this.#subject;
    return this.#keyPlaces.map((place, i) => `${row}.${quoted(key[i] ?? "")} IS ${noted(place)}`).join(" AND ");
  }
  /** Where the key's columns stand among the columns. */
  get #keyPlaces(): readonly number[] {
    const { key, columns } = this.#subject;
    return key.map((name) => columns.findIndex((column) => column.name === name));
  }

  #into(columns: readonly string[]): string {
    return `INSERT INTO waybill_outbox (layout, op, at, origin, ${columns.join(", ")})`;
  }
  #head(op: "insert" | "update" | "delete"): string {
    return `${this.#layout}, '${op}', julianday('now'), ${this.#origin}`;
  }
}
