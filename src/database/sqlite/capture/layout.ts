import { WaybillError } from "../../../base/errors.ts";
import { KINDS, type ColumnKind } from "../../../message/shape.ts";
import type { Connection } from "../connection.ts";
import type { Subject } from "./subject.ts";

/**
 * What a table was like when a trigger was made: which column stands in o<i> and n<i> of an outbox row. Layouts are never
 * changed or deleted, so rows written before a migration are read rightly after it.
 */
export type Layout = {
  readonly id: number;
  readonly table: string;
  readonly columns: readonly { readonly name: string; readonly kind: ColumnKind }[];
  readonly key: readonly string[];
};

const shapeOf = (subject: Subject): string =>
  JSON.stringify({ columns: subject.columns.map(({ name, kind }) => [name, kind]), key: subject.key });

/** The id of the layout that the table has now; null when it has none yet. */
export function knownLayout(connection: Connection, subject: Subject): number | null {
  const row = connection
    .statement("select l.id from waybill_layout as l where l.tbl = ? and l.shape = ?")
    .get(subject.table, shapeOf(subject));
  return row ? Number(row["id"]) : null;
}

/** As `knownLayout`, written when it is not there. Within the caller's transaction. */
export function ensureLayout(connection: Connection, subject: Subject): number {
  const known = knownLayout(connection, subject);
  if (known !== null) return known;
  return Number(
    connection.statement("insert into waybill_layout (tbl, shape) values (?, ?)").run(subject.table, shapeOf(subject))
      .lastInsertRowid,
  );
}

export const hasLayout = (connection: Connection, table: string): boolean =>
  connection.statement("select 1 from waybill_layout as l where l.tbl = ? limit 1").get(table) !== undefined;

/** @throws INTERNAL when the row is not ours to read: somebody wrote into waybill_layout */
export function readLayout(connection: Connection, id: number): Layout {
  const row = connection.statement("select l.tbl, l.shape from waybill_layout as l where l.id = ?").get(id);
  if (!row) throw new WaybillError("INTERNAL", `waybill_outbox names layout ${id}, which waybill_layout does not have`);
  const { columns, key } = JSON.parse(String(row["shape"])) as { columns: [string, string][]; key: string[] };
  return {
    id,
    table: String(row["tbl"]),
    columns: columns.map(([name, kind]) => ({ name, kind: kindNamed(kind) })),
    key,
  };
}

function kindNamed(text: string): ColumnKind {
  const kind = KINDS.find((known) => known === text);
  if (kind === undefined)
    throw new WaybillError("INTERNAL", `waybill_layout names a kind of column that is none: ${text}`);
  return kind;
}
