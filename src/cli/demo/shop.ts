import { join } from "node:path";

/** What the demo's chain sells and how its databases look: the till's side and the centre's side of the same tables. */

export type Item = { readonly sku: string; readonly name: string; readonly cents: number };

const GOODS: readonly (readonly [string, number])[] = [
  ["Espresso beans 1 kg", 1890],
  ["Oat milk 1 l", 219],
  ["Sourdough loaf", 480],
  ["Butter 250 g", 329],
  ["Free-range eggs 10", 399],
  ["Tomatoes 500 g", 249],
  ["Basil pot", 199],
  ["Olive oil 750 ml", 1149],
  ["Spaghetti 500 g", 179],
  ["Parmesan 200 g", 549],
  ["Orange juice 1 l", 289],
  ["Sparkling water 6×1 l", 399],
  ["Dark chocolate 100 g", 229],
  ["Honey 500 g", 649],
  ["Muesli 750 g", 459],
  ["Yoghurt 4×150 g", 259],
  ["Apples 1 kg", 319],
  ["Bananas 1 kg", 199],
  ["Carrots 1 kg", 149],
  ["Potatoes 2 kg", 299],
  ["Rice 1 kg", 279],
  ["Lentils 500 g", 219],
  ["Chickpeas 400 g", 119],
  ["Peanut butter 350 g", 379],
  ["Strawberry jam 340 g", 329],
  ["Green tea 20 bags", 289],
  ["Dishwasher tabs 40", 899],
  ["Paper towels 4", 349],
  ["Candle, beeswax", 790],
  ["Postcard “Hafen”", 150],
];
export const ITEMS: readonly Item[] = GOODS.map(([name, cents], i) => ({ sku: `A-${String(1001 + i)}`, name, cents }));

const TOWNS = [
  "Altona",
  "Bergedorf",
  "Celle",
  "Dornbusch",
  "Eppendorf",
  "Flensburg",
  "Göhren",
  "Husum",
  "Itzehoe",
  "Jever",
  "Kiel",
  "Lübeck",
];
const REGIONS = ["north", "east", "south", "west"];

export type Shop = {
  readonly store: string;
  readonly name: string;
  readonly region: string;
  readonly terminal: string;
};
export const shopAt = (index: number): Shop => {
  const store = String(index + 1).padStart(3, "0");
  const round = Math.floor(index / TOWNS.length);
  return {
    store,
    name: `${TOWNS[index % TOWNS.length] ?? "Shop"}${round > 0 ? ` ${round + 1}` : ""}`,
    region: REGIONS[index % REGIONS.length] ?? "north",
    terminal: `till-${store}`,
  };
};

/** "12.50": money is text on every station, because SQLite would make a float of a DECIMAL column's value. */
export const money = (cents: number): string =>
  `${cents < 0 ? "-" : ""}${Math.trunc(Math.abs(cents) / 100)}.${String(Math.abs(cents) % 100).padStart(2, "0")}`;
export const centsOf = (text: string): number => Math.round(Number(text) * 100);

/** A till's own database, as its maker shipped it: nothing in it knows of Waybill. */
export const TILL_SCHEMA = `
  create table if not exists price (sku text primary key, price text not null, changed_at text not null) without rowid;
  create table if not exists sale (
    sale_id text primary key, store_id text not null, sold_at text not null, cashier text, total text not null, voided integer not null default 0
  ) without rowid;
  create table if not exists sale_line (
    sale_id text not null references sale (sale_id), line_no integer not null, sku text not null, qty integer not null, unit_price text not null,
    primary key (sale_id, line_no)
  ) without rowid;
  create table if not exists stock (store_id text not null, sku text not null, on_hand integer not null, primary key (store_id, sku)) without rowid;
`;

/** The central database: the same facts, with the rules a head office insists on. */
export const CENTRAL_SCHEMA = `
  create table if not exists store (store_id text primary key, name text not null, region text not null) without rowid;
  create table if not exists item (sku text primary key, name text not null) without rowid;
  create table if not exists price (sku text primary key references item (sku), price text not null, changed_at text not null) without rowid;
  create table if not exists sale (
    sale_id text primary key, store_id text not null references store (store_id), sold_at text not null, cashier text, total text not null,
    voided integer not null default 0
  ) without rowid;
  create index if not exists sale_by_store on sale (store_id, sold_at);
  create table if not exists sale_line (
    sale_id text not null references sale (sale_id), line_no integer not null, sku text not null references item (sku),
    qty integer not null constraint qty_is_not_zero check (qty <> 0), unit_price text not null,
    primary key (sale_id, line_no)
  ) without rowid;
  create table if not exists stock (
    store_id text not null references store (store_id), sku text not null references item (sku), on_hand integer not null,
    primary key (store_id, sku)
  ) without rowid;
`;

/** Where a shop's till has its database. */
export const tillPath = (folder: string, terminal: string): string => join(folder, `${terminal}.db`);
