import { mkdirSync } from "node:fs";
import { seq, terminalId } from "../../src/base/ids.ts";
import type { ExceptionRow } from "../../src/ledger/exceptions.ts";
import type { MissingRange } from "../../src/ledger/restores.ts";
import { Dice } from "./virtual-time.ts";
import type { Stores } from "./stores.ts";
import { compared } from "./compared.ts";
import { REAL_TIME } from "./real-time.ts";
import { shop } from "./shop.ts";
import { World, type Till, type WorldShape } from "./world.ts";

/**
 * One station is set back to a copy taken under load, and the rest must converge: a seed is a history of sales, refusals,
 * late loads, discards, price changes and stops, with the copy and the restore at some moment of it.
 */
export type Station = "till" | "ledger" | "centre";
const COPY = "copy";
export const STATIONS: readonly Station[] = ["ledger", "centre", "till"];

const { tables, ...SHOP } = shop({ stock: 1_000_000, saleHas: ", note text" });
const SHAPE: WorldShape = {
  ...SHOP,
  config: {
    tables,
    retry: { attempts: 2, firstMs: 1_000, factor: 1, capMs: 1_000 },
    processor: { pollMs: 1_000, messagesPerLane: 7, lanesPerBatch: 2 },
    publisher: { pollMs: 500 },
  },
};

/** In real time nobody waits longer than a history should take. */
const BRISK: Pick<WorldShape, "config" | "agent"> = {
  config: {
    ...SHAPE.config,
    retry: { attempts: 2, firstMs: 100, factor: 1, capMs: 100 },
    processor: { pollMs: 50, messagesPerLane: 7, lanesPerBatch: 2, leaseMs: 3_000 },
    publisher: { pollMs: 25 },
  },
  agent: { pollMs: 25, waitSeconds: 5, blockedMs: 1_000, retry: { firstMs: 20, factor: 2, capMs: 400 } },
};

type Bad = { readonly till: string; readonly sale: string; readonly why: "refused" | "late"; readonly clerk: string };

/** A till before it was set back: the sales it had, and whether the hub has messages that its copy does not. */
type Image = { readonly till: Till; readonly before: ReadonlySet<string>; readonly back: boolean };

export class Torture {
  readonly seed: number;
  readonly station: Station;
  readonly dice: Dice;
  #world: World | null = null;
  /** Sales that the centre does not take as they are. */
  readonly bad: Bad[] = [];
  /** Given up by the operator, by sale. */
  readonly discarded = new Set<string>();
  readonly clerks = new Set(["c0"]);
  readonly told: string[] = [];
  #sold = 0;
  #packedAtCopy = 0;
  #prices = 0;

  /** @param server where the databases are; without it they are files in the folder, and time is virtual */
  static async run(folder: string, seed: number, station: Station, server?: Stores): Promise<Torture> {
    const torture = new Torture(seed, station);
    try {
      mkdirSync(folder, { recursive: true });
      await torture.#begin(folder, server);
      await torture.#run();
    } catch (thrown) {
      throw new Error(`${station} ${seed}: ${torture.told.join(" · ")}`, { cause: thrown });
    } finally {
      await torture.#world?.close().catch(() => undefined);
    }
    return torture;
  }

  private constructor(seed: number, station: Station) {
    this.seed = seed;
    this.station = station;
    this.dice = new Dice(seed * 7919 + STATIONS.indexOf(station));
  }

  get world(): World {
    if (!this.#world) throw new Error("the world has not begun");
    return this.#world;
  }

  async #begin(folder: string, server: Stores | undefined): Promise<void> {
    // Some agents keep nothing that is loaded: what a ledger loses then is lost.
    const keepMessages = this.dice.chance(0.3) ? this.dice.below(4) : 10_000;
    this.told.push(`keep ${keepMessages}`);
    const shape: WorldShape = { ...SHAPE, keepMessages };
    this.#world = server
      ? await World.make(folder, this.dice, { ...shape, ...BRISK }, { stores: server, time: REAL_TIME })
      : await World.make(folder, this.dice, shape);
  }

  async #run(): Promise<void> {
    const { world, dice } = this;
    await world.startHub();
    for (const id of ["t1", "t2"]) await (await world.addTill(id)).start();
    for (const till of world.tills)
      await world.time.until(`${till.id} captures`, async () => (await till.terminal?.status())?.up.epoch != null);
    await this.#calm();
    await this.#live(5 + dice.below(15));
    if (dice.chance(0.3)) await this.#calm(); // so that lanes are idle when the copy is taken
    const { name, till } = this.#victim();
    await world.copy(name, COPY);
    this.told.push("COPY");
    const [packed] =
      (await till?.all<{ n: number | string | null }>("select max(seq) as n from waybill_message")) ?? [];
    this.#packedAtCopy = packed?.n == null ? Number.POSITIVE_INFINITY : Number(packed.n);
    await this.#live(5 + dice.below(25));
    if (dice.chance(0.5)) await this.#calm();
    const hour = dice.chance(0.5);
    if (this.station === "till" && hour) await world.time.pass(3_700_000); // else a person must allow the new epoch
    this.told.push("RESTORE");
    if (this.station === "ledger") await world.restoreLedger(COPY);
    else if (this.station === "centre") await world.restoreCentre(COPY);
    else if (till) this.#image = await this.#imageOf(till);
    if (till) await world.restoreTill(till, COPY, () => this.#betweenRestores(till));
    if (dice.chance(0.7)) await this.#live(dice.below(15));
    await this.#settleAll();
    await this.#check().catch(async (cause: unknown) => {
      throw new Error(await this.#standing(), { cause });
    });
  }

  async #imageOf(till: Till): Promise<Image> {
    const sold = await till.all<{ sale_id: string }>("select sale_id from sale");
    const before = new Set(sold.map(({ sale_id }) => sale_id));
    const lane = (await this.world.hub.ledger.lanes.of(till.id as never)).find(({ current }) => current);
    return { till, before, back: (lane?.receivedThrough ?? 0) > this.#packedAtCopy };
  }

  /** The shop sells on before the agent is up again: on the old numbers. */
  async #betweenRestores(till: Till): Promise<void> {
    for (let sales = this.dice.below(4); sales > 0; sales--) await this.#sell(till);
  }

  #victim(): { name: string; till: Till | null } {
    if (this.station === "ledger") return { name: "ledger", till: null };
    if (this.station === "centre") return { name: "central", till: null };
    const till = this.dice.pick(this.world.tills);
    return { name: till.name, till };
  }

  async #live(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      await this.#act();
      if (this.dice.chance(0.7)) await this.world.time.pass(this.dice.below(4_000));
    }
  }

  /** Every message any till ever packed, by lane and number: what is told as missing can be looked up. */
  readonly #history = new Map<string, string>();
  async #remember(): Promise<void> {
    for (const till of this.world.tills) {
      const lines = await till.all<{ epoch: string; seq: number; bytes: Uint8Array }>(
        "select epoch, seq, bytes from waybill_message",
      );
      for (const { epoch, seq, bytes } of lines)
        this.#history.set(`${till.id}/${epoch}/${seq}`, Buffer.from(bytes).toString("utf8"));
    }
  }

  async #act(): Promise<void> {
    const { world, dice } = this;
    await this.#remember();
    const till = dice.pick(world.tills);
    const acts: [number, string, () => unknown][] = [
      [10, "sell", () => this.#sell(till)],
      [3, "note", () => this.#note(till)],
      [2, "refused", () => this.#sellBad(till, "refused")],
      [2, "late", () => this.#sellBad(till, "late")],
      [2, "heal", () => this.#heal()],
      [2, "discard", () => this.#discard()],
      [3, "price", () => this.#price()],
      [1, "away", () => this.#away(till)],
      [1, "hub", () => this.#hubAgain()],
    ];
    let at = dice.below(acts.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, name, act] of acts) {
      at -= weight;
      if (at >= 0) continue;
      this.told.push(name);
      await act();
      return;
    }
  }

  async #sell(till: Till): Promise<void> {
    const id = `${till.id}-${String(++this.#sold).padStart(4, "0")}`;
    await till.app.transaction(`insert into sale values ('${id}', '${till.id}', ${this.#sold}, 'c0', null);
      update stock set on_hand = on_hand - 1 where sku = 'tea'`);
  }

  async #note(till: Till): Promise<void> {
    const sold = await till.all<{ sale_id: string }>(
      "select sale_id from sale where total >= 0 and clerk = 'c0' order by sale_id",
    );
    const good = sold.map(({ sale_id }) => sale_id);
    if (good.length === 0) return;
    const id = this.dice.pick(good);
    if (this.dice.chance(0.2)) await till.app.run(`delete from sale where sale_id = '${id}'`);
    else await till.app.run(`update sale set note = 'n${this.dice.below(1000)}' where sale_id = '${id}'`);
  }

  /** In a message of its own, so that nothing else is given up with it. */
  async #sellBad(till: Till, why: Bad["why"]): Promise<void> {
    if (!till.running) return;
    await this.#packed(till);
    const sale = `${till.id}-${String(++this.#sold).padStart(4, "0")}`;
    const clerk = why === "late" ? `c${this.#sold}` : "c0";
    await till.app.run(
      `insert into sale values ('${sale}', '${till.id}', ${why === "late" ? 1 : -1}, '${clerk}', null)`,
    );
    this.bad.push({ till: till.id, sale, why, clerk });
    await this.#packed(till);
  }

  #packed(till: Till): Promise<void> {
    const done = async (): Promise<boolean> => {
      const [row] = await till.all<{ n: number }>("select count(*) as n from waybill_outbox");
      return Number(row?.n) === 0;
    };
    return this.world.time.until(`${till.id} packs`, done).then(() => this.#remember());
  }

  /** A missing clerk comes, and what failed for it is tried again. */
  async #heal(): Promise<void> {
    for (const { clerk, why } of this.bad) {
      if (why !== "late" || (this.clerks.has(clerk) && this.dice.chance(0.8))) continue;
      await this.#bringClerk(clerk);
      break;
    }
    await this.#requeue();
  }
  async #bringClerk(clerk: string): Promise<void> {
    this.clerks.add(clerk);
    await this.world.centre.run(`insert into clerk values ('${clerk}') on conflict do nothing`);
  }

  async #requeue(): Promise<void> {
    for (const row of await this.#open()) {
      if (row.fault !== "PARENT_MISSING" || row.state !== "dead") continue;
      await this.#order(row, "requeue", "healed");
    }
  }
  /** It may have moved on since it was listed: another worker is at it, or an order of before has just been carried out. */
  async #order({ lane, seq }: ExceptionRow, what: "requeue" | "discard", reason: string): Promise<void> {
    await this.world.operator("POST", `/api/exceptions/${lane}/${seq}/${what}`, { reason }).catch((thrown: Error) => {
      if (!thrown.message.includes("STATE_CONFLICT")) throw thrown;
    });
  }

  async #open(): Promise<readonly ExceptionRow[]> {
    return (await this.world.operator<{ rows: ExceptionRow[] }>("GET", "/api/exceptions?states=dead,retrying,held"))
      .rows;
  }

  async #discard(): Promise<void> {
    const dead = (await this.#open()).filter(({ state, fault }) => state === "dead" && fault === "CHECK_VIOLATED");
    if (dead.length === 0) return;
    const row = this.dice.pick(dead);
    const text = await this.#textOf(row);
    for (const { sale } of this.bad) if (text.includes(sale)) this.discarded.add(sale);
    await this.#order(row, "discard", "rung up by mistake");
  }

  async #price(): Promise<void> {
    const sku = `s${this.dice.below(6)}`;
    await this.world.centre.run(`insert into price values ('${sku}', '${++this.#prices}.50')
      on conflict (sku) do update set price = excluded.price`);
  }

  async #away(till: Till): Promise<void> {
    await this.#remember();
    if (till.running) await till.stop();
    else await till.start();
  }

  async #hubAgain(): Promise<void> {
    await this.world.stopHub();
    await this.world.time.pass(this.dice.below(20_000));
    await this.world.startHub();
  }

  /** All is where it can go. */
  async #calm(): Promise<void> {
    const { world } = this;
    for (const till of world.tills) if (!till.running) await till.start();
    await world.time
      .until("rest", async () => await this.#isCalm())
      .catch(async (cause: unknown) => {
        throw new Error(await this.#standing(), { cause });
      });
  }

  /** For the report of a failure: where everything stands. */
  async #standing(): Promise<string> {
    const { ledger } = this.world.hub;
    const lines = [JSON.stringify(await ledger.trail.overview())];
    for (const till of this.world.tills) {
      const status = await till.terminal?.status();
      lines.push(`${till.id} ${JSON.stringify(status?.up)} ${JSON.stringify(status?.down)}`);
      for (const loop of Object.values(status?.loops ?? {})) if (loop.lastError) lines.push(JSON.stringify(loop));
      for (const { chain: _, ...lane } of await ledger.lanes.of(till.id as never)) lines.push(JSON.stringify(lane));
    }
    lines.push(JSON.stringify(await this.#open()), JSON.stringify(this.world.rows("select * from waybill_lane")));
    lines.push(JSON.stringify(this.world.rows("select * from waybill_passed")));
    return lines.join("\n");
  }

  /** An install that may not send: the operator knows that there is but one. */
  async #allow(): Promise<void> {
    const { restores } = this.world.hub.ledger;
    for (const { terminal, install, allowedBy } of await restores.asks(null, 10))
      if (allowedBy === null)
        await restores.allow(terminal, install, "operator:anna" as never, "the till was re-imaged");
  }

  async #isCalm(): Promise<boolean> {
    await this.#remember();
    const { world } = this;
    await this.#allow();
    const { ledger } = world.hub;
    for (const till of world.tills) {
      const status = await till.terminal?.status();
      if (!status || status.up.outboxRows > 0 || status.up.resyncing.length > 0) return false;
      const { packedThrough, receivedThrough, loadedThrough } = status.up;
      if (packedThrough !== receivedThrough || loadedThrough !== packedThrough) return false;
      const lanes = await ledger.lanes.of(till.id as never);
      const lane = lanes.find(({ epoch }) => epoch === status.up.epoch);
      if (lane?.receivedThrough !== packedThrough || lane.loadedThrough !== packedThrough) return false;
    }
    const { backlog, retrying, received } = await ledger.trail.overview();
    if (backlog > 0 || retrying > 0 || received === 0) return false;
    return this.#pricesAgree();
  }

  /** Every price of the centre is at every till as it is there. */
  async #pricesAgree(): Promise<boolean> {
    const at = (rows: { sku: string; price: string }[]): Map<string, string> =>
      new Map(rows.map(({ sku, price }) => [sku, price]));
    const centre = at(await this.world.rows("select sku, price from price"));
    for (const till of this.world.tills) {
      const here = at(await till.all("select sku, price from price"));
      if (![...centre].every(([sku, price]) => here.get(sku) === price)) return false;
    }
    return true;
  }

  async #settleAll(): Promise<void> {
    await this.world.time.pass(70_000); // both stores are compared every minute
    await this.#calm();
    await this.#giveUpMissing();
    // What people had entered at the centre since the copy, they enter again.
    for (const { clerk, why } of this.bad) if (why === "late") await this.#bringClerk(clerk);
    for (const clerk of this.clerks) await this.#bringClerk(clerk);
    await this.#requeue();
    await this.world.time.pass(90_000);
    await this.#calm();
  }

  // ── what must be true in the end ─────────────────────────────────────────────────────────────────────────────────

  async #check(): Promise<void> {
    const { world } = this;
    await this.#noteMissing();
    const refused = new Set(this.bad.filter(({ why }) => why === "refused").map(({ sale }) => sale));
    const sold = (
      await Promise.all(world.tills.map((till) => till.all<{ sale_id: string }>("select * from sale")))
    ).flat();
    const told = ({ sale_id }: { sale_id: string }): boolean => !refused.has(sale_id) && !this.#lostSales.has(sale_id);
    const centre = (await world.rows<{ sale_id: string }>("select * from sale order by sale_id")).filter(told);
    const expected = sold.filter(told).toSorted((a, b) => (a.sale_id < b.sale_id ? -1 : 1));
    if (this.#image === null) same("sales at the centre", centre, expected);
    else await this.#checkRolledBack(this.#image, centre, expected);
    for (const till of world.tills) await compared(world, till);
    if (this.#image !== null) {
      same("stock", await world.rows("select on_hand from stock"), [
        { on_hand: 1_000_000 + (await this.#loadedTea()) },
      ]);
      return;
    }
    let taken = 0;
    for (const till of world.tills)
      taken += 1000 - ((await till.all<Stock>("select on_hand from stock"))[0]?.on_hand ?? 0);
    same("stock", await world.rows("select on_hand from stock"), [{ on_hand: 1_000_000 - taken + this.#lostTea }]);
    const open = await this.#open();
    const states = new Map<string, string>();
    for (const row of [...open, ...(await this.#given())]) {
      const text = await this.#textOf(row);
      for (const sale of refused) if (text.includes(sale)) states.set(sale, row.state);
    }
    for (const sale of refused) {
      const wanted = this.discarded.has(sale) ? "discarded" : "dead";
      if (states.get(sale) !== wanted)
        throw new Error(`${sale} should be ${wanted}, is ${states.get(sale) ?? "unknown"}`);
    }
    if (open.length !== refused.size - [...refused].filter((sale) => this.discarded.has(sale)).length)
      throw new Error(`open: ${JSON.stringify(open)} for ${[...refused].join()}`);
  }
  /** What the messages that took effect say of the tea, added up: each of them once, whatever was restored. */
  async #loadedTea(): Promise<number> {
    const { ledger } = this.world.hub;
    const passed = new Set(
      [...(await this.#open()), ...(await this.#given())].map(({ lane, seq }) => `${lane}/${seq}`),
    );
    let sum = 0;
    for (const till of this.world.tills) {
      for (const { lane, loadedThrough } of await ledger.lanes.of(terminalId(till.id))) {
        for (let at = 1; at <= loadedThrough;) {
          const pieces = await ledger.bytes.read(lane, seq(at), loadedThrough, 0, 1 << 20);
          if (pieces.length === 0) break;
          for (const piece of pieces) {
            for (const text of Buffer.from(piece.bytes).toString("utf8").trimEnd().split("\n")) {
              const line = JSON.parse(text) as Line & { seq: number };
              if (line.seq >= at && !passed.has(`${lane}/${line.seq}`)) sum -= teaIn(line);
            }
            at = piece.through + 1;
          }
        }
      }
    }
    return sum;
  }

  /** Of the till that was set back: its rows just before. */
  #image: Image | null = null;

  async #textOf({ lane, seq }: ExceptionRow): Promise<string> {
    const shown = await this.world.operator<{ payload: unknown }>("GET", `/api/exceptions/${lane}/${seq}`);
    return `${JSON.stringify(shown.payload)}${this.#history.get(`${lane}/${seq}`) ?? ""}`;
  }

  /**
   * No sale of either side is lost: the centre has every row the till has now, and those that the till had before it was set
   * back, as it last told them; and a till that lost messages is called restored.
   */
  async #checkRolledBack(
    { till, before, back }: Image,
    centre: readonly { sale_id: string }[],
    expected: readonly { sale_id: string }[],
  ): Promise<void> {
    const at = new Set(centre.map(({ sale_id }) => sale_id));
    // A page of rows waits behind a refused sale that is on it: it is told as held.
    // … and if a person has given it up with the sale, both sides differ by it, which the comparison has named.
    const off = [...(await this.#open()), ...(await this.#given())];
    const open = await Promise.all(off.map((row) => this.#textOf(row)));
    const lost = expected.filter(({ sale_id }) => !at.has(sale_id) && !open.some((text) => text.includes(sale_id)));
    if (lost.length > 0) throw new Error(`sales that the centre does not have: ${JSON.stringify(lost)}`);
    const known = new Set([...expected.map(({ sale_id }) => sale_id), ...before]);
    const strange = centre.filter(({ sale_id }) => !known.has(sale_id));
    if (strange.length > 0) throw new Error(`sales that nobody sold: ${JSON.stringify(strange)}`);
    const restored = await this.world.hub.ledger.restores.restored(null, 10);
    // It is restored no longer once a comparison has found both sides equal, which is told.
    const told = (await this.world.hub.ledger.trail.recent(1_000, null)).filter(
      ({ kind, detail }) => kind === "restore settled" && detail.startsWith(`${till.id}: both sides are equal`),
    );
    if (back && restored[0]?.terminal !== till.id && told.length === 0)
      throw new Error(`${till.id} is not called restored`);
    const others = (rows: readonly { sale_id: string }[]) => rows.filter(({ sale_id }) => !sale_id.startsWith(till.id));
    same("sales of the other till", others(centre), others(expected));
  }

  readonly #lostSales = new Set<string>();
  #lostTea = 0;

  /** A message that nobody has holds up what may touch its rows, until a person has given it up. */
  async #giveUpMissing(): Promise<void> {
    for (const { lane, from, state } of await this.#noteMissing()) {
      if (state === "lost") continue;
      const reason = "nobody has it any more";
      await this.world.operator("POST", `/api/exceptions/${lane}/${from}/discard`, { reason });
      const packed = this.#history.get(`${lane}/${from}`) ?? "";
      for (const { sale } of this.bad) if (packed.includes(sale)) this.discarded.add(sale);
    }
    await this.#calm();
  }

  readonly #known = new Set<string>();
  /** Nothing is missing unless an agent keeps few messages; and then every number told is one that had no effect. */
  async #noteMissing(): Promise<readonly MissingRange[]> {
    const missing = await this.world.hub.ledger.restores.missing(null, 1_000);
    if (missing.length > 0) this.told.push(`${missing.length} missing`);
    if (missing.length > 0 && this.world.shape.keepMessages === 10_000)
      throw new Error(`missing though all is kept: ${JSON.stringify(missing)}`);
    for (const { lane, from, through, state } of missing) {
      if (this.#known.has(`${lane}/${from}`)) continue;
      this.#known.add(`${lane}/${from}`);
      for (let n = from; n <= through; n++) {
        const text = this.#history.get(`${lane}/${n}`);
        if (text === undefined) throw new Error(`${lane}/${n} is told as ${state}, but was never packed`);
        const line = JSON.parse(text) as Line;
        const own = line.changes.filter(({ table }) => table === "sale").map(({ key }) => key.sale_id);
        for (const sale of own) this.#lostSales.add(sale);
        this.#lostTea += teaIn(line);
      }
    }
    return missing;
  }

  async #given(): Promise<readonly ExceptionRow[]> {
    return (await this.world.operator<{ rows: ExceptionRow[] }>("GET", "/api/exceptions?states=discarded")).rows;
  }
}

function same(what: string, found: readonly unknown[], expected: readonly unknown[]): void {
  const [a, b] = [found.map((row) => JSON.stringify(row)), expected.map((row) => JSON.stringify(row))];
  const extra = a.filter((row) => !b.includes(row));
  const missing = b.filter((row) => !a.includes(row));
  if (extra.length + missing.length > 0)
    throw new Error(`${what}: too much ${extra.join(" ") || "nothing"}; missing ${missing.join(" ") || "nothing"}`);
}

type Stock = { readonly on_hand: number };
type Line = {
  readonly changes: readonly {
    readonly table: string;
    readonly key: { readonly sale_id: string };
    readonly before?: Stock;
    readonly row?: Stock;
  }[];
};
/** How much a message took from the shelf. */
const teaIn = ({ changes }: Line): number =>
  changes.reduce(
    (sum, { table, before, row }) => (table === "stock" && before && row ? sum + before.on_hand - row.on_hand : sum),
    0,
  );
