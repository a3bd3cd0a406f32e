import type { ExceptionGroup, ExceptionRow } from "../../ledger/exceptions.ts";
import type { Event } from "../../ledger/trail.ts";
import type { Difference, Reconcile } from "../../ledger/reconciles.ts";
import type { WireValue } from "../../message/change.ts";
import { HIDDEN } from "../../load/discreet.ts";
import { searchKey } from "../../ledger/search-key.ts";
import type { Role } from "../../ledger/access.ts";
import type { EventKind } from "../../ledger/events.ts";
import type { Payload } from "./payload.ts";

const UNREADABLE = JSON.stringify({
  hidden: "this line cannot be read, so what is personal in it cannot be told apart",
});

type Personal = ReadonlyMap<string, ReadonlySet<string>>;

/**
 * What a caller sees of messages. A viewer sees neither the values of personal columns nor the free words around them (a
 * database's complaint quotes the row it refused), and finds no message by them.
 */
export interface Sight {
  readonly payload: (payload: Payload) => Payload;
  readonly exception: (row: ExceptionRow) => ExceptionRow;
  readonly group: (group: ExceptionGroup) => ExceptionGroup;
  readonly event: (event: Event) => Event;
  readonly reconcile: (reconcile: Reconcile) => Reconcile;
  readonly difference: (difference: Difference) => Difference;
  /** Words about a row of some table: what a terminal's database said. */
  readonly words: (text: string) => string;
  /** Whether a message may be found by this value: it stands in a column that the caller sees. Null: by any value. */
  readonly finds: ((payload: Payload, value: string) => boolean) | null;
}

const EVERYTHING: Sight = {
  payload: (payload) => payload,
  exception: (row) => row,
  group: (group) => group,
  event: (event) => event,
  reconcile: (reconcile) => reconcile,
  difference: (difference) => difference,
  words: (text) => text,
  finds: null,
};

export const sightOf = (role: Role, personal: Personal): Sight =>
  role === "viewer" && personal.size > 0 ? maskedBy(personal) : EVERYTHING;

/** Events whose words are all ours: no value of a row gets into them. */
const HARMLESS: ReadonlySet<string> = new Set<EventKind>([
  "received",
  "loaded",
  "handed back",
  "lease lost",
  "adopted",
  "restored centre",
  "missing",
  "epoch opened",
  "epoch ended",
  "token made",
  "enrolled",
  "revoked",
  "forwarded",
  "term begun",
  "operator added",
  "operator changed",
  "operator removed",
  "api token made",
  "api token revoked",
  "signed in",
  "alert raised",
  "alert grown",
  "alert cleared",
  "alert seen",
  "ledger migrated",
]);

function maskedBy(personal: Personal): Sight {
  /** A document is one text in a form of its own: nobody can say which part of it is of a person. */
  const isHidden = (table: string, column: string): boolean =>
    table.startsWith("document:") || (personal.get(table)?.has(column) ?? false);
  const hides = (table: string): boolean => table.startsWith("document:") || personal.has(table);
  /** Nobody can tell what the words of a message are about whose tables are not known. */
  const isOpen = (tables: readonly string[]): boolean => tables.length > 0 && !tables.some(hides);
  const lineOf = (line: string): string => maskLine(line, isHidden);
  return {
    payload: ({ lines, truncated }) => ({ lines: lines.map(lineOf), truncated }),
    group: (group) => (isOpen(group.tables) || group.detail === "" ? group : { ...group, detail: HIDDEN }),
    exception: (row) =>
      isOpen(row.tables)
        ? row
        : {
            ...row,
            detail: row.detail === "" ? "" : HIDDEN,
            behind: row.behind && { ...row.behind, on: HIDDEN },
          },
    event: (event) => (HARMLESS.has(event.kind) || event.detail === "" ? event : { ...event, detail: HIDDEN }),
    reconcile: (reconcile) => {
      const { report, reason } = reconcile;
      const fault = report.fault && { code: report.fault.code, what: HIDDEN };
      return { ...reconcile, reason: reason === "" ? "" : HIDDEN, report: { ...report, fault } };
    },
    difference: (difference) => {
      const { table, key, columns } = difference;
      const shown = (column: string, value: WireValue): WireValue =>
        value !== null && isHidden(table, column) ? HIDDEN : value;
      return {
        ...difference,
        key: Object.fromEntries(Object.entries(key).map(([column, value]) => [column, shown(column, value)])),
        columns: columns.map(({ name, terminal, centre }) => ({
          ...{ name, terminal: shown(name, terminal), centre: shown(name, centre) },
        })),
      };
    },
    words: (text) => (text === "" ? "" : HIDDEN),
    finds: ({ lines }, value) => lines.some((line) => valuesOf(lineOf(line)).has(searchKey(value))),
  };
}

const isList = <T>(value: readonly T[] | undefined): value is readonly T[] => Array.isArray(value);

type Cells = Record<string, unknown>;
type Changes = { readonly changes?: readonly { readonly table?: unknown; key?: Cells; row?: Cells; before?: Cells }[] };

function maskLine(line: string, isHidden: (table: string, column: string) => boolean): string {
  let message: Changes;
  try {
    message = JSON.parse(line) as Changes;
  } catch {
    return UNREADABLE;
  }
  const { changes: found } = message;
  if (!isList(found)) return UNREADABLE;
  const changes = found.map((change) => {
    const table = String(change.table);
    const masked = { ...change };
    for (const part of ["key", "row", "before"] as const) {
      const cells = change[part];
      if (cells === undefined) continue;
      masked[part] = Object.fromEntries(
        Object.entries(cells).map(([column, value]) => [
          column,
          value !== null && isHidden(table, column) ? HIDDEN : value,
        ]),
      );
    }
    return masked;
  });
  return JSON.stringify({ ...message, changes });
}

/** Every value that stands in the changes of a line, as the search index writes it. */
function valuesOf(line: string): ReadonlySet<string> {
  const { changes = [] } = JSON.parse(line) as Changes;
  const cells = changes.flatMap(({ key, row, before }) => [key, row, before]);
  return new Set(cells.flatMap((part) => Object.values(part ?? {}).map((value) => searchKey(String(value)))));
}
