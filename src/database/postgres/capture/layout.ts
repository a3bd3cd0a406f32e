import { WaybillError } from "../../../base/errors.ts";
import { KINDS, type ColumnKind } from "../../../message/shape.ts";
import type { Connection } from "../connection.ts";
import type { PostgresTable } from "../describe.ts";
import { carried } from "../rows.ts";

/**
 * What a table was like when its trigger was made: which column is which element of an outbox row's arrays. Layouts are never
 * changed or deleted, so rows written before a migration are read rightly after it.
 */
export type Layout = {
  readonly id: number;
  readonly table: string;
  readonly columns: readonly LayoutColumn[];
  readonly key: readonly string[];
};
export type LayoutColumn = {
  readonly name: string;
  /** The name in JSON, with its colon: as it stands before each of its values. */
  readonly label: string;
  readonly kind: ColumnKind;
  readonly binaryJson: boolean;
};

const shapeOf = (table: PostgresTable): string =>
  JSON.stringify({
    columns: carried(table).map(({ name, kind, binaryJson }) => [name, kind, binaryJson]),
    key: table.key,
  });

/** The id of the layout that the table has now; null when it has none yet. */
export async function knownLayout(connection: Connection, table: PostgresTable): Promise<number | null> {
  const sql = "select id from public.waybill_layout where tbl = $1 and shape = $2";
  const [[id] = []] = await connection.query(sql, table.name, shapeOf(table));
  return id === undefined ? null : Number(id);
}

/** As `knownLayout`, written when it is not there. Within the caller's transaction. */
export async function ensureLayout(connection: Connection, table: PostgresTable): Promise<number> {
  const known = await knownLayout(connection, table);
  if (known !== null) return known;
  const sql = "insert into public.waybill_layout (tbl, shape) values ($1, $2) returning id";
  const [[id] = []] = await connection.query(sql, table.name, shapeOf(table));
  return Number(id);
}

export async function hasLayout(connection: Connection, table: string): Promise<boolean> {
  return (await connection.query("select 1 from public.waybill_layout where tbl = $1 limit 1", table)).length > 0;
}

/** @throws INTERNAL when the row is not ours to read: somebody wrote into waybill_layout */
export async function readLayouts(connection: Connection): Promise<ReadonlyMap<number, Layout>> {
  const rows = await connection.query("select id, tbl, shape from public.waybill_layout");
  return new Map(
    rows.map(([id, table, shape]) => {
      const read = JSON.parse(shape ?? "") as { columns: [string, string, boolean][]; key: string[] };
      const columns = read.columns.map(([name, kind, binaryJson]) => ({
        ...{ name, label: `${JSON.stringify(name)}:` },
        ...{ kind: kindNamed(kind), binaryJson },
      }));
      return [Number(id), { id: Number(id), table: table ?? "", columns, key: read.key }];
    }),
  );
}

function kindNamed(text: string): ColumnKind {
  const kind = KINDS.find((known) => known === text);
  if (kind === undefined)
    throw new WaybillError("INTERNAL", `waybill_layout names a kind of column that is none: ${text}`);
  return kind;
}
