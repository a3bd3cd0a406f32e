import type { HubConfig } from "../../src/hub/config.ts";
import type { WorldShape } from "./world.ts";

/**
 * What is restored: sales with one owner, sums, and prices that come down. The centre refuses a total below 0 and a clerk it does not
 * know. @param stock of tea at the centre @param saleHas further columns of a sale
 */
export const shop = ({
  stock,
  saleHas = "",
}: {
  readonly stock: number;
  readonly saleHas?: string;
}): Pick<WorldShape, "till" | "central"> & Pick<HubConfig, "tables"> => ({
  till: `
    create table sale (sale_id text primary key, till text not null, total integer not null, clerk text not null${saleHas}) without rowid;
    create table stock (sku text primary key, on_hand integer not null) without rowid;
    create table price (sku text primary key, price text not null) without rowid;
    insert into stock values ('tea', 1000);`,
  central: `
    create table clerk (clerk_id text primary key) without rowid;
    create table sale (sale_id text primary key, till text not null, total integer not null check (total >= 0),
      clerk text not null references clerk${saleHas}) without rowid;
    create table stock (sku text primary key, on_hand integer not null) without rowid;
    create table price (sku text primary key, price text not null) without rowid;
    insert into clerk values ('c0'); insert into stock values ('tea', ${stock});`,
  tables: {
    sale: { direction: "up", owner: { column: "till", is: "terminal" } },
    stock: { direction: "up", conflict: { add: ["on_hand"] } },
    price: { direction: "down", audience: "all" },
  },
});
