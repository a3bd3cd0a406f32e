import { epoch, laneName, seq, terminalId, updateId, type LaneName } from "../../base/ids.ts";
import type { Row } from "../../message/change.ts";
import type { Cursor, Database, Effect, Passed } from "../port.ts";

/**
 * What a contract test gets from an engine: a database of its own with the tables of `ddl`, and the application's way in,
 * which is another connection. The DDL keeps to words that every engine knows.
 */
export type Station = AsyncDisposable & {
  readonly database: Database;
  /** By which others open the same. */
  readonly url: string;
  /** Runs one or more statements as the application does, committed when it resolves. */
  run(sql: string): Promise<void>;
  /** What the application sees; values as text, null as null. */
  rows(sql: string): Promise<readonly (readonly (string | null)[])[]>;
};
export type OpenStation = (ddl: string) => Promise<Station>;

export const lane: LaneName = laneName(terminalId("till-1"), epoch("e1"));
export const otherLane: LaneName = laneName(terminalId("till-2"), epoch("e1"));

export const effect = (
  kind: Effect["kind"],
  table: string,
  key: Row,
  row?: Row,
  origin: string | null = null,
): Effect => ({
  table,
  kind,
  key,
  ...(row && { row }),
  origin,
});
export const passed = (number: number, state: Passed["state"] = "dead", more: Partial<Passed> = {}): Passed => ({
  lane,
  seq: seq(number),
  state,
  fault: "ROW_REFUSED",
  attempts: 1,
  ...more,
});
export const cursor = (id: number, changes = 0): Cursor => ({
  id: updateId(id),
  changes,
  seen: null,
  inside: null,
  strand: null,
});

export const SHOP = `
  create table store (id integer not null primary key, name varchar(40) not null);
  create table sale (
    sale_id varchar(20) not null primary key,
    store_id integer references store (id),
    receipt varchar(20) unique,
    quantity integer check (quantity > 0)
  );
  create table sale_line (
    sale_id varchar(20) not null references sale (sale_id),
    number integer not null,
    item varchar(20),
    primary key (sale_id, number)
  );
  insert into store values (14, 'Harbour');
`;
