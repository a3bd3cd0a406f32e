import type { CaptureRole } from "../../port.ts";
import { literal, quoted } from "../connection.ts";
import type { PostgresTable } from "../describe.ts";
import { carried } from "../rows.ts";

/**
 * The triggers that write `waybill_outbox`, with a function of its own for each layout. What they must withstand:
 *
 * - *An application's own trigger on the same table.* BEFORE triggers have had their say when ours fires; of the AFTER triggers
 *   PostgreSQL fires the first by name first, so ours begins with the lowest printable letter: were an application's trigger to
 *   stamp the row before ours fired, its update would stand in the outbox before the insert.
 * - *ALTER TABLE under way.* A column that was dropped or renamed makes the list of columns fail; the row is then written as
 *   `to_json` has it, which any table has, until our next look makes the trigger again. The inner block writes nothing, so it
 *   costs no transaction id.
 * - *The session's settings*, on which the text of values depends, and its rights: the function has its own of both.
 * - *Partitions*: the row trigger is cloned to each; the table's name is written into the function. TRUNCATE fires on leaves.
 * - *Replication*: ENABLE ALWAYS, or what a logical replica applies would be missed.
 *
 * No NOTIFY: its lock at the commit would put the application's commits in a row.
 */
export const ROW_TRIGGER = "!waybill_row";
export const TRUNCATE_TRIGGER = "!waybill_truncate";
export const rowFunction = (layout: number): string => `public.waybill_capture_${layout}`;
export const truncateFunction = (layout: number): string => `public.waybill_truncate_${layout}`;

/** The row's columns as the server writes them. `row` is OLD, NEW or a table's alias. */
export const textArray = (table: PostgresTable, row: string): string =>
  `array[${carried(table)
    .map((one) => `pg_catalog.textin(${one.outputFunction}(${row}.${quoted(one.name)}))`)
    .join(", ")}]::text[]`;

export function rowSource(table: PostgresTable, layout: number, role: CaptureRole): string {
  const loading = `current_setting('waybill.loading', true) = ${literal(table.name)}`;
  // A terminal would echo what it is given; the centre records it with its origin, for all others.
  const gate =
    role === "terminal"
      ? `if ${loading} then return null; end if;`
      : `if ${loading} then origin := nullif(current_setting('waybill.origin', true), ''); end if;`;
  return `
declare
  origin text;
  was text[];
  now_is text[];
  loose text;
begin
  ${gate}
  begin
    if tg_op <> 'INSERT' then was := ${textArray(table, "old")}; end if;
    if tg_op <> 'DELETE' then now_is := ${textArray(table, "new")}; end if;
  exception when others then
    was := null;
    now_is := null;
    loose := json_build_object('old', case when tg_op <> 'INSERT' then to_json(old) end,
                               'new', case when tg_op <> 'DELETE' then to_json(new) end);
  end;
  insert into public.waybill_outbox (layout, op, origin, old, new, loose)
  values (${layout}, lower(tg_op), origin, was, now_is, loose);
  return null;
end`;
}

/** TRUNCATE fires no row trigger: its rows are written down while they are still there. */
export function truncateSource(table: PostgresTable, layout: number): string {
  const insert = `insert into public.waybill_outbox (layout, op, old) select ${layout}, 'delete', ${textArray(table, "t")} from only %s as t`;
  return `
begin
  execute format(${literal(insert.replaceAll("%", "%%").replace("%%s as t", "%s as t"))}, tg_relid::regclass);
  return null;
end`;
}

/** What the text of values depends on, as `Connection` has it. The path keeps names in the function from meaning another schema's. */
const SETTINGS =
  "set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'iso_8601' " +
  "set bytea_output = 'hex' set extra_float_digits = 3";

export const functionSql = (name: string, source: string): string =>
  `create or replace function ${name}() returns trigger language plpgsql security definer ${SETTINGS} as ${literal(source)}`;

/** @param leaves the partitions that hold rows, or the table itself; quoted names */
export function triggerSql(table: PostgresTable, layout: number, leaves: readonly string[]): string {
  const row = quoted(ROW_TRIGGER);
  const truncate = quoted(TRUNCATE_TRIGGER);
  return [
    dropSql(table, leaves),
    `create trigger ${row} after insert or update or delete on ${table.sql} for each row execute function ${rowFunction(layout)}()`,
    `alter table ${table.sql} enable always trigger ${row}`,
    ...leaves.flatMap((leaf) => [
      `create trigger ${truncate} before truncate on ${leaf} for each statement execute function ${truncateFunction(layout)}()`,
      `alter table ${leaf} enable always trigger ${truncate}`,
      ...(leaf === table.sql ? [] : [`alter table ${leaf} enable always trigger ${row}`]),
    ]),
  ].join(";\n");
}

export const dropSql = (table: PostgresTable, leaves: readonly string[]): string =>
  [
    `drop trigger if exists ${quoted(ROW_TRIGGER)} on ${table.sql}`,
    ...leaves.map((leaf) => `drop trigger if exists ${quoted(TRUNCATE_TRIGGER)} on ${leaf}`),
  ].join(";\n");
