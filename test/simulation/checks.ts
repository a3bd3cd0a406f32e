import type { DatabaseSync } from "node:sqlite";
import type { WireRequest, WireResponse } from "../../src/hub/api/http.ts";
import { STOCK } from "./shape.ts";
import { prepared, rowsOf, type Row } from "./statements.ts";
import type { Sale } from "./truth.ts";
import type { Till, World } from "./world.ts";

/** What holds at every moment, whatever goes wrong; looked at from outside while everything is under way. */
export class Watch {
  readonly #world: World;
  readonly #revs = new Map<string, bigint>();
  readonly #received = new Map<string, number>();
  readonly #versions = new Map<string, unknown>();

  #officeWentBack = false;
  #ledgerWentBack = false;

  constructor(world: World) {
    this.#world = world;
    world.network.onAnswer = (request, response) => this.#acknowledged(request, response);
    world.onRestore = (what) => {
      this.#versions.clear();
      if (what === "ledger") {
        this.#received.clear();
        this.#ledgerWentBack = true;
        return;
      }
      this.#revs.clear();
      this.#officeWentBack = true;
    };
  }

  look(): void {
    const { onCentre, onLedger, tills } = this.#world;
    if (this.#moved("centre", onCentre)) {
      onCentre.exec("begin"); // all that is read is of one moment
      this.#centre();
      onCentre.exec("commit");
    }
    if (this.#moved("ledger", onLedger)) this.#lanes();
    for (const till of tills) if (this.#moved(till.id, till.app)) this.#prices(till);
  }

  #moved(name: string, db: DatabaseSync): boolean {
    const version = prepared(db, "pragma data_version").get()?.["data_version"];
    const same = this.#versions.get(name) === version;
    this.#versions.set(name, version);
    return !same; // a till's own program never writes what comes down, so its commits need not be seen here
  }

  /** I2: what a terminal is told to be stored is in the ledger, for anybody to read, at the moment it is told. */
  #acknowledged(request: WireRequest, response: WireResponse): void {
    if (request.path !== "/v1/messages" || response.status !== 200 || response.headers["content-encoding"]) return;
    const told = (JSON.parse(Buffer.from(response.body).toString("utf8")) as { receivedThrough: number })
      .receivedThrough;
    const key = request.headers["authorization"] ?? "";
    const before = this.#received.get(key) ?? 0;
    if (told > before) this.#received.set(key, told);
    const most = Number(
      prepared(this.#world.onLedger, "select max(received_through) as n from lane_in").get()?.["n"] ?? 0,
    );
    if (told > most) this.#world.broke(`I2: a terminal was told that ${told} are stored; the ledger has ${most}`);
  }

  /** I1, in the ledger's own columns: nothing goes back, nothing is claimed that is not there. */
  #lanes(): void {
    for (const row of prepared(
      this.#world.onLedger,
      "select i.lane, received_through as r, loaded_through as l, claimed_through as c from lane_in i join lane_out o on o.lane = i.lane",
    ).all()) {
      const [lane, received, loaded, claimed] = [
        String(row["lane"]),
        Number(row["r"]),
        Number(row["l"]),
        Number(row["c"]),
      ];
      if (received < (this.#received.get(lane) ?? 0))
        this.#world.broke(`I1: lane ${lane} has ${received} messages and had more`);
      this.#received.set(lane, received);
      // A restored ledger hears from the centre what is loaded before the tills have sent it again.
      if (!this.#ledgerWentBack && (loaded > received || claimed > received))
        this.#world.broke(`I1: lane ${lane}: loaded ${loaded}, claimed ${claimed}, received ${received}`);
    }
  }

  #centre(): void {
    const { onCentre, truth } = this.#world;
    const sold = new Map<string, bigint>();
    const lines = new Map<string, bigint>();
    for (const row of rowsOf(onCentre, "select sale_id, item_id, quantity from sale_line")) {
      const [sale, item, quantity] = [String(row["sale_id"]), String(row["item_id"]), row["quantity"] as bigint];
      sold.set(item, (sold.get(item) ?? 0n) + quantity);
      lines.set(sale, (lines.get(sale) ?? 0n) + 1n);
    }
    for (const row of rowsOf(onCentre, "select sale_id, rev, lines from sale")) {
      const [id, rev] = [String(row["sale_id"]), row["rev"] as bigint];
      if (!truth.existed(id)) this.#world.broke(`I3: the centre has sale ${id}, which no till ever committed`);
      if (rev < (this.#revs.get(id) ?? 0n))
        this.#world.broke(`I5: sale ${id} went back from revision ${this.#revs.get(id)} to ${rev}`);
      this.#revs.set(id, rev);
      if (row["lines"] !== (lines.get(id) ?? 0n) && !truth.loose.has(id)) {
        this.#world.broke(`I4: sale ${id} has ${row["lines"]} lines, the centre shows ${lines.get(id) ?? 0n}`);
      }
    }
    // Whatever of the tills' work is here is here whole and once: what left the stock stands on the lines of sales.
    for (const row of rowsOf(onCentre, "select item_id, stock from item")) {
      const item = String(row["item_id"]);
      const all = (row["stock"] as bigint) + (sold.get(item) ?? 0n);
      if (all !== BigInt(STOCK) && !truth.loose.has(item)) {
        const [asked] = rowsOf(
          onCentre,
          "select stock + (select coalesce(sum(quantity), 0) from sale_line l where l.item_id = i.item_id) as n from item i where item_id = ?",
          item,
        );
        this.#world.broke(
          `I3, I4: stock and sold quantity of ${item} at the centre are ${all} together (one statement says ${String(asked?.["n"])}), not ${STOCK}`,
        );
      }
    }
  }

  /** I11: what comes down never goes back. */
  #prices(till: Till): void {
    if (this.#officeWentBack) return; // a restored centre's older prices are the right ones
    for (const [table, key] of [
      ["item", "item_id"],
      ["store", "store_id"],
    ] as const) {
      for (const row of rowsOf(till.app, `select ${key} as id, rev from ${table}`)) {
        const name = `${till.id} ${table} ${String(row["id"])}`;
        if ((row["rev"] as bigint) < (this.#revs.get(name) ?? 0n))
          this.#world.broke(`I11: ${name} went back from revision ${this.#revs.get(name)} to ${row["rev"]}`);
        this.#revs.set(name, row["rev"] as bigint);
      }
    }
  }
}

/** Why the world is not at rest yet; null: everything that was committed anywhere has arrived. */
export function unrest(world: World): string | null {
  if (!world.hub?.open) return "the hub is not open";
  for (const { id, app } of world.tills) {
    const epoch = prepared(app, "select 1 from sqlite_schema where name = 'waybill_outbox'").get();
    if (!epoch) return `${id} has no outbox yet`;
    if (prepared(app, "select 1 from waybill_outbox limit 1").get()) return `the outbox of ${id} holds changes`;
    const lane = rowsOf(app, "select epoch, packed_through as packed from waybill_capture")[0];
    const [received] = rowsOf(
      world.onLedger,
      "select received_through as n from lane_in i join lane l on l.id = i.lane where l.terminal = ? and l.epoch = ?",
      id,
      String(lane?.["epoch"]),
    );
    if (!received || received["n"] !== lane?.["packed"])
      return `the ledger has ${String(received?.["n"] ?? "nothing")} of ${String(lane?.["packed"])} messages of ${id}`;
  }
  const paused = prepared(world.onLedger, "select kind, name from pause where fault is null").get();
  if (paused) return `paused: ${String(paused["kind"])} ${String(paused["name"])}`;
  const open = prepared(
    world.onLedger,
    "select i.lane, received_through as r, loaded_through as l from lane_in i join lane_out o on o.lane = i.lane where l < r",
  ).get();
  if (open) return `lane ${String(open["lane"])} is loaded through ${String(open["l"])} of ${String(open["r"])}`;
  const shown = new Map(
    rowsOf(world.onCentre, "select lane, version from waybill_lane").map((row) => [row["lane"], row["version"]]),
  );
  for (const { lane, version } of rowsOf(
    world.onLedger,
    "select l.terminal || '/' || l.epoch as lane, o.version from lane l join lane_out o on o.lane = l.id",
  ))
    if ((shown.get(lane) ?? 0n) !== version)
      return `lane ${String(lane)} has version ${String(version)} in the ledger, the centre shows ${String(shown.get(lane))}`;
  return null;
}

/** What holds once everything has healed and come to rest. */
export function checkAtRest(world: World): void {
  const { truth, onCentre } = world;
  const centre = new Map(rowsOf(onCentre, "select * from sale").map((row) => [String(row["sale_id"]), row]));
  const lines = Map.groupBy(rowsOf(onCentre, "select * from sale_line order by line"), (row) => String(row["sale_id"]));
  for (const till of world.tills) {
    const own = truth.of(till.id);
    compare(
      world,
      `till ${till.id}`,
      own,
      new Map(rowsOf(till.app, "select * from sale").map((row) => [String(row["sale_id"]), row])),
      Map.groupBy(rowsOf(till.app, "select * from sale_line order by line"), (row) => String(row["sale_id"])),
      "as it was",
    );
    compare(
      world,
      "the centre",
      own,
      new Map([...centre].filter(([, row]) => row["till"] === till.id)),
      lines,
      "mended",
    );
  }
  for (const row of rowsOf(onCentre, "select * from item")) {
    const priced = truth.prices.get(String(row["item_id"]));
    if (row["price"] !== priced?.price)
      world.broke(
        `the centre's price of ${String(row["item_id"])} is ${String(row["price"])}, the office wrote ${priced?.price}`,
      );
  }
  const apart = tillsApart(world);
  if (apart) world.broke(apart);
}

/** I11: what went down is the same at the centre and at every till it is for. */
export function tillsApart({ truth, onCentre, tills }: World): string | null {
  const items = JSON.stringify(rowsOf(onCentre, "select * from item order by item_id"), bigints);
  for (const till of tills) {
    const here = JSON.stringify(rowsOf(till.app, "select * from item order by item_id"), bigints);
    if (here !== items && truth.loose.size === 0) return `I11: items at ${till.id} are ${here}, at the centre ${items}`;
    const stores = JSON.stringify(rowsOf(till.app, "select * from store"), bigints);
    const wanted = JSON.stringify(rowsOf(onCentre, "select * from store where store_id = ?", till.store), bigints);
    if (stores !== wanted) return `I11: stores at ${till.id} are ${stores}, at the centre ${wanted}`;
  }
  return null;
}

const bigints = (_: string, value: unknown): unknown => (typeof value === "bigint" ? `${value}n` : value);

function compare(
  world: World,
  where: string,
  own: ReadonlyMap<string, Sale>,
  rows: ReadonlyMap<string, Row>,
  lines: ReadonlyMap<string, Row[]>,
  how: "as it was" | "mended",
): void {
  const { loose } = world.truth;
  const free = (id: string): boolean => how === "mended" && loose.has(id);
  for (const [id, sale] of own) {
    if (free(id)) continue;
    const row = rows.get(id);
    if (!row) {
      world.broke(`I1, I3: sale ${id} is not at ${where}`);
      continue;
    }
    const total = how === "mended" ? Math.abs(sale.total) : sale.total;
    const seal = row["seal"] instanceof Uint8Array ? Buffer.from(row["seal"]).toString("hex") : null;
    const here = JSON.stringify([row["total"], row["rev"], row["amount"], row["big"], row["note"], seal], bigints);
    const wanted = JSON.stringify(
      [
        BigInt(total),
        BigInt(sale.rev),
        sale.amount,
        sale.big,
        sale.note,
        sale.seal && Buffer.from(sale.seal).toString("hex"),
      ],
      bigints,
    );
    if (here !== wanted) world.broke(`I3, I5, I13: sale ${id} at ${where} is ${here}, committed was ${wanted}`);
    const sold = JSON.stringify(
      (lines.get(id) ?? []).map((line) => [line["item_id"], line["quantity"]]),
      bigints,
    );
    const rung = JSON.stringify(
      sale.lines.map(({ item, quantity }) => [item, BigInt(quantity)]),
      bigints,
    );
    if (sold !== rung) world.broke(`I3, I4: the lines of sale ${id} at ${where} are ${sold}, committed were ${rung}`);
  }
  for (const id of rows.keys())
    if (!own.has(id) && !free(id)) world.broke(`I3: sale ${id} is at ${where}, though it was voided or never was`);
}
