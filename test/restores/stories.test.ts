import { cpSync, existsSync } from "node:fs";
import { beforeEach, expect, test, vi } from "vitest";
import { actor, terminalId, type Epoch } from "../../src/base/ids.ts";
import { tempDir } from "../kit/temp-dir.ts";
import { Dice } from "./virtual-time.ts";
import { Till, World, type WorldShape } from "./world.ts";

/** Single restores, each told as it happens; `restores.test.ts` mixes them by chance. */
const TABLES = `
  create table sale (sale_id text primary key, till text not null) without rowid;
  create table stock (sku text primary key, on_hand integer not null) without rowid;
  insert into stock values ('tea', 1000);`;
const SHAPE: WorldShape = {
  till: TABLES,
  central: TABLES,
  config: {
    tables: {
      sale: { direction: "up", owner: { column: "till", is: "terminal" } },
      stock: { direction: "up", conflict: { add: ["on_hand"] } },
    },
    processor: { pollMs: 1_000 },
  },
};
const HOUR_MS = 3_600_000;
const ANNA = actor("operator:anna");

/** A hub and one till at rest, its first rows sent and its epoch older than an hour. */
async function withTill(work: (world: World, till: Till) => Promise<void>): Promise<void> {
  await using dir = tempDir();
  const world = await World.make(dir.path, new Dice(1), SHAPE);
  try {
    await world.startHub();
    const till = await world.addTill("t1");
    await till.start();
    await sold(world, till, "first");
    await world.time.pass(HOUR_MS + 60_000);
    await work(world, till);
  } finally {
    await world.close();
  }
}

const sell = (till: Till, sale: string): Promise<void> =>
  till.app.transaction(`insert into sale values ('${sale}', 't1');
    update stock set on_hand = on_hand - 1 where sku = 'tea'`);
const atCentre = async (world: World, sale: string): Promise<boolean> =>
  (await world.rows(`select 1 from sale where sale_id = '${sale}'`)).length === 1;
const tea = async (world: World): Promise<number> =>
  (await world.rows<{ on_hand: number }>("select on_hand from stock"))[0]?.on_hand ?? 0;
async function sold(world: World, till: Till, sale: string): Promise<void> {
  await sell(till, sale);
  await world.time.until(`${sale} at the centre`, () => atCentre(world, sale));
}
const epochs = async (world: World): Promise<Epoch[]> =>
  (await world.hub.ledger.lanes.of(terminalId("t1"))).map(({ epoch }) => epoch);
const blocked = async (till: Till): Promise<boolean> =>
  (await till.terminal?.status())?.loops.submit.state === "blocked";

beforeEach(() => {
  if (existsSync("/dev/shm")) vi.stubEnv("TMPDIR", "/dev/shm");
});

test("I9: two tills from one image: the second takes over, and the first waits for a person", async () => {
  await withTill(async (world, till) => {
    await till.stop();
    await world.copy(till.name, "copy");
    cpSync(till.state, `${till.state}.copy`, { recursive: true });
    await till.start();
    await sold(world, till, "a1");
    const app = await world.stores.connect("copy");
    const second = new Till(world, { id: "t1", token: "token-of-t1", name: "copy", state: `${till.state}.copy` }, app);
    world.tills.push(second);
    await sell(second, "b1");
    await second.start();
    // More than an hour after the first epoch began, a till set back to its image is let in without a word …
    await world.time.until("the second's sale", () => atCentre(world, "b1"));
    await sell(till, "a2");
    // … but the one that it shut out is not: that would be taking turns.
    await world.time.until("the first is refused", () => blocked(till));
    const { restores } = world.hub.ledger;
    const [ask] = await restores.asks(terminalId("t1"), 10);
    expect(ask).toMatchObject({ terminal: "t1", allowedBy: null });
    await world.time.pass(1.1 * HOUR_MS);
    expect(await atCentre(world, "a2"), "nobody has said that it may").toBe(false);
    await restores.allow(terminalId("t1"), ask?.install ?? "", ANNA, "the second was a copy");
    await world.time.until("the first goes on", () => atCentre(world, "a2"));
    await sell(second, "b2");
    await world.time.until("the second is refused", () => blocked(second));
    expect(await atCentre(world, "b2")).toBe(false);
    expect(await epochs(world)).toHaveLength(3);
  });
});

test("I9: a ledger restored to before a till's epoch takes that epoch up again, and nothing is loaded twice", async () => {
  await withTill(async (world, till) => {
    await world.copy(till.name, "image");
    await sold(world, till, "a1");
    await world.copy("ledger", "ledger-copy");
    await world.restoreTill(till, "image", () => sell(till, "a2"));
    await world.time.until("the new epoch", () => atCentre(world, "a2"));
    const before = await epochs(world);
    expect(before).toHaveLength(2);
    await world.restoreLedger("ledger-copy");
    expect(await epochs(world)).toHaveLength(1);
    await sold(world, till, "a3");
    expect(await epochs(world)).toEqual(before);
    expect(await tea(world)).toBe(1000 - 4);
    const [, lane] = await world.hub.ledger.lanes.of(terminalId("t1"));
    expect(lane?.loadedThrough).toBe(lane?.receivedThrough);
    expect(await world.hub.ledger.restores.missing(null, 10)).toEqual([]);
  });
});

test("I3, I9: what an image had numbered and the hub has is not sent again under new numbers, also with sales on the old ones", async () => {
  await withTill(async (world, till) => {
    // The image is taken when messages are packed that no hub has yet; the hub gets them afterwards, and more.
    await world.stopHub();
    await sell(till, "a1");
    const packed = async (): Promise<boolean> => {
      const [row] = await till.all<{ n: number }>("select count(*) as n from waybill_outbox");
      return Number(row?.n) === 0;
    };
    await world.time.until("a1 is packed", packed);
    await world.copy(till.name, "image");
    await world.startHub();
    await world.time.until("a1 at the centre", () => atCentre(world, "a1"));
    await sold(world, till, "a2");
    await world.restoreTill(till, "image", async () => {
      for (const sale of ["b1", "b2", "b3"]) await sell(till, sale);
    });
    for (const sale of ["b1", "b2", "b3"]) await world.time.until(sale, () => atCentre(world, sale));
    await world.time.pass(60_000);
    // first, a1, a2 and three on the old numbers: each took one from the shelf, none two.
    expect(await tea(world)).toBe(1000 - 6);
    expect(await atCentre(world, "a2"), "what the till lost stays at the centre").toBe(true);
    expect(await world.hub.ledger.restores.restored(null, 10)).toMatchObject([{ terminal: "t1" }]);
  });
});

test("I9: a centre set back while nothing is sold is noticed within a minute and loaded again", async () => {
  await withTill(async (world, till) => {
    await world.copy("central", "central-copy");
    await sold(world, till, "a1");
    await world.time.pass(60_000);
    await world.restoreCentre("central-copy");
    await world.time.until("a1 again", () => atCentre(world, "a1"), 61_000);
    expect(await tea(world)).toBe(1000 - 2);
    const kinds = (await world.hub.ledger.trail.recent(50, null)).map(({ kind }) => kind);
    expect(kinds).toContain("restored centre");
  });
});

test("the copy of a database in use is whole", async () => {
  await withTill(async (world, till) => {
    await sell(till, "a1");
    await world.copy(till.name, "copy");
    const copy = await world.stores.connect("copy");
    expect(await copy.all("select count(*) as n from sale")).toEqual([{ n: 2 }]);
    await copy.close();
  });
});
