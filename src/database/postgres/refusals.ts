import { field, type Row } from "../../message/change.ts";
import type { FaultCode } from "../../base/errors.ts";
import type { Effect } from "../port.ts";
import type { PostgresTable } from "./describe.ts";
import { blamesRow, faultOf, type ServerError } from "./errors.ts";
import { shownValue } from "./values.ts";

export type Verdict = { readonly code: FaultCode; readonly detail: string; readonly discreet?: string };

/** `sale sale_id="S-9"`: which row is spoken of. */
export function rowName(table: PostgresTable, key: Row): string {
  return `${table.name} ${table.key.map((name) => `${name}=${shownValue(field(key, name))}`).join(" ")}`;
}

/** Why PostgreSQL refused this one effect, by its SQLSTATE and the names it gives beside it. Null: not the row's fault. */
export function verdictOn(error: ServerError, effect: Effect, table: PostgresTable): Verdict | null {
  const code = faultOf(error);
  if (!blamesRow(code)) return null;
  const what = rowName(table, effect.key);
  return {
    code: narrowed(code, error, effect, table),
    detail: `${what}: ${error.detail ?? error.message}`,
    discreet: `${what}: ${namesIn(error)}`,
  };
}

/** What an error says by names alone: its words quote values, in `detail` whole rows. */
export function namesIn({ code, constraint, column }: ServerError): string {
  const names = [constraint && `constraint ${constraint}`, column && `column ${column}`].filter(Boolean);
  return [...names, `SQLSTATE ${code}`].join(", ");
}

function narrowed(code: FaultCode, error: ServerError, effect: Effect, table: PostgresTable): FaultCode {
  if (code === "UNIQUE_VIOLATED" && effect.kind === "insert") {
    const taken = table.uniqueIndexes.get(error.constraint ?? "");
    return taken?.length === table.key.length && taken.every((name) => table.key.includes(name)) ? "ROW_EXISTS" : code;
  }
  if (code === "PARENT_MISSING") return isParentSide(error, effect, table) ? "CHILD_EXISTS" : code;
  return code;
}

/** One SQLSTATE for both ends of a foreign key; beside it stands the table that has the key, which is the child. */
function isParentSide(error: ServerError, effect: Effect, table: PostgresTable): boolean {
  if (effect.kind === "delete") return true;
  if (effect.kind === "insert" || effect.kind === "keep") return false;
  if (table.foreignKeys.length === 0) return true;
  const child = error.schema === "public" ? error.table : `${error.schema}.${error.table}`;
  return child !== table.name && !table.partitioned;
}
