import type { HubConfig } from "../../src/hub/config.ts";

/** The shop the simulation plays: what tills and the centre look like, and how they are kept in step. */
export const ITEMS = ["tea", "mug", "pot"] as const;
export const STOCK = 10_000;
/** Those there may be; each world has the first few of them. */
export const TILLS = [
  { id: "t1", store: "s1", token: "token-of-t1" },
  { id: "t2", store: "s2", token: "token-of-t2" },
  { id: "t3", store: "s1", token: "token-of-t3" },
] as const;
export const OPERATOR_TOKEN = "operator-token-of-the-simulation";

const SALES = `
  create table sale (sale_id text primary key, till text not null, total integer not null%CHECK%, rev integer not null,
    lines integer not null, amount text not null, big integer, note text, seal blob);
  create table sale_line (sale_id text not null references sale, line integer not null, item_id text not null, quantity integer not null,
    primary key (sale_id, line));
  create table item (item_id text primary key, price text not null, rev integer not null, stock integer not null);
  create table store (store_id text primary key, name text not null, rev integer not null);`;
/** Tills may ring up what the centre refuses: a total below 0. */
export const TILL_SCHEMA = SALES.replace("%CHECK%", "");
export const CENTRE_SCHEMA = `${SALES.replace("%CHECK%", " check (total >= 0)")}
  insert into item values ${ITEMS.map((item) => `('${item}', '1.00', 1, ${STOCK})`).join(", ")};
  insert into store values ('s1', 'North', 1), ('s2', 'South', 1);`;

export const CONFIG = {
  tables: {
    sale: { direction: "up", owner: { column: "till", is: "terminal" }, search: ["sale_id"] },
    sale_line: { direction: "up" },
    item: { direction: "both", conflict: { add: ["stock"] }, audience: "all" },
    store: { direction: "down", audience: "store:{store_id}" },
  },
  retry: { attempts: 3, firstMs: 500, factor: 2, capMs: 4_000 },
  processor: { leaseMs: 10_000, pollMs: 1_000, messagesPerLane: 20 },
  publisher: { pollMs: 500 },
  tokens: [{ name: "anna", role: "operator", token: OPERATOR_TOKEN }],
} satisfies HubConfig;
