import { cpSync, existsSync } from "node:fs";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { actor, terminalId, type Epoch } from "../../src/base/ids.ts";
import type { ExceptionRow } from "../../src/ledger/exceptions.ts";
import { describeWith } from "../kit/needs.ts";
import { tempDir } from "../kit/temp-dir.ts";
import { REAL_TIME } from "./real-time.ts";
import { shop } from "./shop.ts";
import { PostgresStores, SqliteStores, type Stores } from "./stores.ts";
import { Dice, VirtualTime, type WorldTime } from "./virtual-time.ts";
import { Till, World, type WorldShape } from "./world.ts";

/** Single restores, each told as it happens; `restores.test.ts` mixes them by chance. */
const { tables, ...SHOP } = shop({ stock: 1_000 });
const SHAPE: WorldShape = {
  ...SHOP,
  config: {
    tables,
    retry: { attempts: 1, firstMs: 50, factor: 1, capMs: 50 },
    processor: { pollMs: 1_000 },
  },
};
const HOUR_MS = 3_600_000;
/** Both stores are compared every minute. */
const MINUTES_MS = 120_000;
const ANNA = actor("operator:anna");
const T1 = terminalId("t1");

type On = { readonly stores: Stores; readonly time: WorldTime };
/** Where the databases are; nobody waits longer than a story should take where time is real. */
type Place = {
  readonly open: (folder: string, dice: Dice) => On;
  readonly lanes: string;
  readonly shape: WorldShape;
  /** Of which stores each story is told. */
  readonly stores: readonly Store[];
};
type Store = "ledger" | "central";

const SQLITE: Place = {
  open: (folder, dice) => ({ stores: new SqliteStores(folder), time: new VirtualTime(dice) }),
  lanes: "lane",
  shape: SHAPE,
  stores: ["ledger", "central"],
};
let databases = 0;
const onPostgres = (server: string): Place => ({
  open: (folder) => ({
    stores: new PostgresStores(server, folder, `stories_${process.pid}_${++databases}`),
    time: REAL_TIME,
  }),
  lanes: "waybill_ledger.lane",
  shape: {
    ...SHAPE,
    config: { ...SHAPE.config, processor: { pollMs: 50, leaseMs: 3_000 }, publisher: { pollMs: 50 } },
    agent: { pollMs: 25, waitSeconds: 5 },
  },
  stores: ["ledger"],
});

/** A hub and one till at rest, its first rows sent and its epoch older than an hour. */
async function withTill(
  place: Place,
  work: (world: World, till: Till) => Promise<void>,
  more: Partial<WorldShape> = {},
): Promise<void> {
  await using dir = tempDir();
  const dice = new Dice(1);
  const world = await World.make(dir.path, dice, { ...place.shape, ...more }, place.open(dir.path, dice));
  try {
    await world.startHub();
    const till = await world.addTill("t1");
    await till.start();
    await sold(world, till, "first");
    await atRest(world, till);
    const ledger = await world.stores.connect("ledger");
    await ledger.run(`update ${place.lanes} set opened_at = opened_at - ${1.1 * HOUR_MS}`);
    await ledger.close();
    await work(world, till);
  } finally {
    await world.close();
  }
}

type Sale = { readonly total?: number; readonly clerk?: string };
const sell = (till: Till, sale: string, { total = 1, clerk = "c0" }: Sale = {}): Promise<void> =>
  till.app.transaction(`insert into sale values ('${sale}', 't1', ${total}, '${clerk}');
    update stock set on_hand = on_hand - 1 where sku = 'tea'`);
const atCentre = async (world: World, sale: string): Promise<boolean> =>
  (await world.rows(`select 1 from sale where sale_id = '${sale}'`)).length === 1;
const tea = async (world: World): Promise<number> =>
  (await world.rows<{ on_hand: number }>("select on_hand from stock"))[0]?.on_hand ?? 0;
async function sold(world: World, till: Till, sale: string): Promise<void> {
  await sell(till, sale);
  await world.time.until(`${sale} at the centre`, () => atCentre(world, sale));
}
/** The ledger is copied; then the till, set back to an image of before its first sale, begins a second epoch. */
async function secondEpochAfterCopy(world: World, till: Till, copy: string): Promise<void> {
  await world.copy(till.name, "image");
  await sold(world, till, "a1");
  await world.copy("ledger", copy);
  await world.restoreTill(till, "image", () => sell(till, "a2"));
  await world.time.until("the new epoch", () => atCentre(world, "a2"));
}
const lanesOf = (world: World) => world.hub.ledger.lanes.of(T1);
const epochs = async (world: World): Promise<Epoch[]> => (await lanesOf(world)).map(({ epoch }) => epoch);
const blocked = async (till: Till): Promise<boolean> =>
  (await till.terminal?.status())?.loops.submit.state === "blocked";
const packed = (world: World, till: Till): Promise<void> =>
  world.time.until("all is packed", async () => {
    const [row] = await till.all<{ n: number | string }>("select count(*) as n from waybill_outbox");
    return Number(row?.n) === 0;
  });

/** All that the till has is received and decided, and it knows that: its lane is idle. */
const atRest = (world: World, till: Till): Promise<void> =>
  world.time.until("the lane is idle", async () => {
    const up = (await till.terminal?.status())?.up;
    const lane = (await lanesOf(world)).find(({ epoch }) => epoch === up?.epoch);
    return (
      up?.outboxRows === 0 &&
      up.resyncing.length === 0 &&
      up.loadedThrough === up.packedThrough &&
      lane?.receivedThrough === up.packedThrough &&
      lane.loadedThrough === up.packedThrough
    );
  });

type Open = Pick<ExceptionRow, "lane" | "seq" | "state">;
const listed = async (world: World, states: string): Promise<readonly Open[]> =>
  (await world.operator<{ rows: Open[] }>("GET", `/api/exceptions?states=${states}`)).rows;
/** A sale that the centre does not take, in a message of its own. */
async function soldInVain(world: World, till: Till, sale: string, how: Sale): Promise<Open> {
  await packed(world, till);
  await till.app.run(`insert into sale values ('${sale}', 't1', ${how.total ?? 1}, '${how.clerk ?? "c0"}')`);
  await packed(world, till);
  await atRest(world, till);
  const row = (await listed(world, "dead")).toSorted((a, b) => b.seq - a.seq)[0];
  if (!row) throw new Error(`${sale} is not dead`);
  return row;
}
const order = (world: World, what: "requeue" | "discard", { lane, seq }: Open): Promise<unknown> =>
  world.operator("POST", `/api/exceptions/${lane}/${seq}/${what}`, { reason: "by hand" });
const kinds = async (world: World): Promise<string[]> =>
  (await world.hub.ledger.trail.recent(200, null)).map(({ kind }) => kind);
async function stateOf(world: World, { lane, seq }: Open): Promise<string | undefined> {
  const path = `/api/trace/${lane.split("/")[0]}/${encodeURIComponent(`${lane.split("/")[1]}/${seq}`)}`;
  return (await world.operator<{ messages: { state: string }[] }>("GET", path)).messages[0]?.state;
}

beforeEach(() => {
  if (existsSync("/dev/shm")) vi.stubEnv("TMPDIR", "/dev/shm");
});

/** Those that need no hour to pass between their steps. */
function stories(place: Place): void {
  const restore = (world: World, station: Store, copy: string): Promise<void> =>
    station === "ledger" ? world.restoreLedger(copy) : world.restoreCentre(copy);

  test.each(place.stores)(
    "I3, I9: a late load after the backup on an idle lane is known again, once, when the %s is set back",
    async (station) => {
      await withTill(place, async (world, till) => {
        const dead = await soldInVain(world, till, "late", { clerk: "c9" });
        await world.centre.run("insert into clerk values ('c9')");
        const before = await tea(world);
        await world.copy(station, "copy");
        await order(world, "requeue", dead);
        await world.time.until("it is loaded late", () => atCentre(world, "late"));
        await atRest(world, till);
        await restore(world, station, "copy");
        // Nothing is sold: the stores alone must find out.
        await world.time.until(
          "both know that it is loaded",
          async () => {
            return (await stateOf(world, dead)) === "loaded" && (await atCentre(world, "late"));
          },
          MINUTES_MS,
        );
        expect(await listed(world, "dead,held,retrying")).toEqual([]);
        expect(await world.rows("select * from waybill_passed")).toEqual([]);
        expect(await world.hub.ledger.restores.missing(null, 10)).toEqual([]);
        await sold(world, till, "next");
        expect(await tea(world)).toBe(before - 1);
      });
    },
  );

  test.each(place.stores)(
    "I7, I9: a discard after the backup is known again when the %s is set back, and never loaded",
    async (station) => {
      await withTill(place, async (world, till) => {
        const dead = await soldInVain(world, till, "refused", { total: -1 });
        await world.copy(station, "copy");
        await order(world, "discard", dead);
        const given = (): Promise<unknown[]> =>
          world.rows("select number from waybill_passed where state = 'discarded'");
        await world.time.until("the centre knows", async () => (await given()).length === 1);
        await world.time.until("the ledger knows", async () => (await stateOf(world, dead)) === "discarded");
        await restore(world, station, "copy");
        await world.time.until(
          "both know again",
          async () => {
            return (await stateOf(world, dead)) === "discarded" && (await given()).length === 1;
          },
          MINUTES_MS,
        );
        await sold(world, till, "next");
        expect(await listed(world, "dead,held,retrying")).toEqual([]);
        expect(await atCentre(world, "refused")).toBe(false);
      });
    },
  );

  test("I9: of messages that the ledger lost and no agent keeps, exactly those without effect are missing", async () => {
    await withTill(
      place,
      async (world, till) => {
        const before = await tea(world);
        await world.copy("ledger", "copy");
        await sold(world, till, "a1");
        const lost = await soldInVain(world, till, "lost", { total: -1 });
        await sold(world, till, "a2");
        const other = await soldInVain(world, till, "other", { total: -1 });
        await sold(world, till, "a3");
        await atRest(world, till);
        // An agent that stops writes down what is loaded, and lets go of it.
        await till.stop();
        expect(await till.all("select seq from waybill_message")).toEqual([]);
        await till.start();
        await world.restoreLedger("copy");
        await atRest(world, till);
        const named = async (): Promise<unknown[]> =>
          (await world.hub.ledger.restores.missing(null, 10)).map(({ lane, from, through, state }) => ({
            ...{ lane, from, through, state },
          }));
        const alone = ({ lane, seq }: Open) => ({ lane, from: seq, through: seq, state: "dead" });
        expect(await named()).toEqual([alone(lost), alone(other)]);
        for (const sale of ["a1", "a2", "a3"]) expect(await atCentre(world, sale), sale).toBe(true);
        // The lane goes on, and whatever a person gives up is missing no more.
        for (const one of [lost, other]) await order(world, "discard", one);
        await sold(world, till, "a4");
        await world.time.until("none is missing", async () => (await named()).length === 0);
        expect(await tea(world)).toBe(before - 4);
      },
      { keepMessages: 0 },
    );
  });

  test("I9, I11: a till whose cursor is ahead of a restored update log gets all that comes, and nothing old in its place", async () => {
    await withTill(place, async (world, till) => {
      const price = (sku: string, is: number): Promise<void> =>
        world.centre.run(
          `insert into price values ('${sku}', '${is}') on conflict (sku) do update set price = '${is}'`,
        );
      const comes = (sku: string, is: number): Promise<void> =>
        world.time.until(`${sku} costs ${is} at the till`, async () => {
          const [row] = await till.all<{ price: string }>(`select price from price where sku = '${sku}'`);
          return row?.price === String(is);
        });
      await price("tea", 1);
      await comes("tea", 1);
      await world.copy("ledger", "copy");
      await price("tea", 2);
      await price("milk", 1);
      await comes("milk", 1);
      const shown = (await till.terminal?.status())?.down.appliedThrough ?? 0;
      await world.restoreLedger("copy");
      await price("milk", 2);
      await comes("milk", 2);
      expect(Number(await world.hub.ledger.updates.head())).toBeGreaterThan(shown);
      expect(await till.all("select sku, price from price order by sku")).toEqual([
        { sku: "milk", price: "2" },
        { sku: "tea", price: "2" },
      ]);
      expect(await kinds(world)).toContain("term begun");
    });
  });

  test("I3, I9: what an image had numbered and the hub has is not sent again under new numbers, also with sales on the old ones", async () => {
    await withTill(place, async (world, till) => {
      const before = await tea(world);
      // The image is taken when messages are packed that no hub has yet; the hub gets them afterwards, and more.
      await world.stopHub();
      await sell(till, "a1");
      await packed(world, till);
      await world.copy(till.name, "image");
      await world.startHub();
      await world.time.until("a1 at the centre", () => atCentre(world, "a1"));
      await sold(world, till, "a2");
      await world.restoreTill(till, "image", async () => {
        for (const sale of ["b1", "b2", "b3"]) await sell(till, sale);
      });
      for (const sale of ["b1", "b2", "b3"]) await world.time.until(sale, () => atCentre(world, sale));
      await atRest(world, till);
      // a1, a2 and three on the old numbers: each took one from the shelf, none two.
      expect(await tea(world)).toBe(before - 5);
      expect(await atCentre(world, "a2"), "what the till lost stays at the centre").toBe(true);
      const { restores } = world.hub.ledger;
      const restored = (await restores.restored(null, 10)).map(({ terminal }) => terminal);
      expect(
        [...restored, ...(await kinds(world))],
        "it is called restored, or was until both sides were compared",
      ).toEqual(expect.arrayContaining([restored.length > 0 ? "t1" : "restore settled"]));
      expect(await epochs(world)).toHaveLength(2);
    });
  });
}

describe("over SQLite", () => {
  stories(SQLITE);

  test("I9: two tills from one image: the second takes over, and the first waits for a person", async () => {
    await withTill(SQLITE, async (world, till) => {
      await till.stop();
      await world.copy(till.name, "copy");
      cpSync(till.state, `${till.state}.copy`, { recursive: true });
      await till.start();
      await sold(world, till, "a1");
      const app = await world.stores.connect("copy");
      const of = { id: "t1", token: "token-of-t1", name: "copy", state: `${till.state}.copy` };
      const second = new Till(world, of, app);
      world.tills.push(second);
      await sell(second, "b1");
      await second.start();
      // More than an hour after the first epoch began, a till set back to its image is let in without a word …
      await world.time.until("the second's sale", () => atCentre(world, "b1"));
      await sell(till, "a2");
      // … but the one that it shut out is not: that would be taking turns.
      await world.time.until("the first is refused", () => blocked(till));
      const { restores } = world.hub.ledger;
      const [ask] = await restores.asks(T1, 10);
      expect(ask).toMatchObject({ terminal: "t1", allowedBy: null });
      await world.time.pass(1.1 * HOUR_MS);
      expect(await atCentre(world, "a2"), "nobody has said that it may").toBe(false);
      await restores.allow(T1, ask?.install ?? "", ANNA, "the second was a copy");
      await world.time.until("the first goes on", () => atCentre(world, "a2"));
      await sell(second, "b2");
      await world.time.until("the second is refused", () => blocked(second));
      expect(await atCentre(world, "b2")).toBe(false);
      expect(await epochs(world)).toHaveLength(3);
    });
  });

  test("I9: a ledger restored to before a till's epoch takes that epoch up again, and nothing is loaded twice", async () => {
    await withTill(SQLITE, async (world, till) => {
      await secondEpochAfterCopy(world, till, "ledger-copy");
      await atRest(world, till);
      const before = await epochs(world);
      expect(before).toHaveLength(2);
      await world.restoreLedger("ledger-copy");
      expect(await epochs(world)).toHaveLength(1);
      // Nothing is sold meanwhile.
      await world.time.until("the epoch is known again", async () => (await epochs(world)).length === 2);
      await atRest(world, till);
      expect(await epochs(world)).toEqual(before);
      await sold(world, till, "a3");
      expect(await tea(world)).toBe(1000 - 4);
      const [, lane] = await lanesOf(world);
      expect(lane?.loadedThrough).toBe(lane?.receivedThrough);
      expect(await world.hub.ledger.restores.missing(null, 10)).toEqual([]);
    });
  });

  test("I9, I11: a till that was away for longer than updates are kept begins again by itself, and both sides become equal", async () => {
    await withTill(SQLITE, async (world, till) => {
      const { ledger } = world.hub;
      const price = (sku: string, is: string): Promise<void> =>
        world.centre.run(
          `insert into price values ('${sku}', '${is}') on conflict (sku) do update set price = '${is}'`,
        );
      const atTill = (): Promise<unknown[]> => till.all("select sku, price from price order by sku");
      await price("milk", "1");
      await price("tea", "1");
      await world.time.until("both prices come", async () => (await atTill()).length === 2);
      const seen = (await till.terminal?.status())?.down.appliedThrough ?? 0;
      await till.stop();
      for (const [sku, is] of [
        ["tea", "2"],
        ["bread", "3"],
      ] as const) {
        const head = await ledger.updates.head();
        await price(sku, is);
        await world.time.until("it is in the log", async () => (await ledger.updates.head()) > head);
      }
      await world.time.pass(600_000);
      // The centre's triggers tell the real time: whatever it is, the updates are old.
      const keep = { messagesMs: HOUR_MS, eventsMs: HOUR_MS, historyMs: HOUR_MS, updatesMs: -1e12, awayMs: 60_000 };
      await ledger.retention.step("updates", keep, 0, 100);
      await expect(ledger.updates.read(["all"], T1, seen as never, 1_000)).rejects.toMatchObject({
        code: "CURSOR_GONE",
      });
      await price("salt", "4"); // after what is gone
      await sell(till, "offline");
      await till.start();
      await world.time.until("the sale arrives", () => atCentre(world, "offline"));
      await world.time.until("all prices come", async () => {
        return (
          JSON.stringify(await atTill()) ===
          JSON.stringify(await world.rows("select sku, price from price order by sku"))
        );
      });
      await world.time.until("both sides were found equal", async () => {
        return (await ledger.restores.restored(T1, 10)).length === 0;
      });
      const told = await kinds(world);
      expect(told).toEqual(
        expect.arrayContaining(["began again", "reconcile ordered", "reconciled", "restore settled"]),
      );
      // It goes on from there as every other.
      await price("tea", "5");
      await world.time.until("a price comes", async () => JSON.stringify(await atTill()).includes('"5"'));
      expect((await kinds(world)).filter((kind) => kind === "began again")).toHaveLength(1);
    });
  });

  test("I9: an old copy of the call that opened a till's epoch opens the same one at a restored ledger", async () => {
    await withTill(SQLITE, async (world, till) => {
      await secondEpochAfterCopy(world, till, "ledger-copy");
      const before = await epochs(world);
      await till.stop();
      await world.restoreLedger("ledger-copy");
      const [fact] = await till.all<{ value: string }>("select value from waybill_fact where name = 'epoch-asked'");
      const { previous, install, reason, epoch } = JSON.parse(fact?.value ?? "");
      await world.hub.ledger.lanes.openEpoch(terminalId("t1"), previous, install, reason, epoch);
      await till.start();
      await sold(world, till, "a3");
      expect(await epochs(world)).toEqual(before);
      expect(await tea(world)).toBe(1000 - 4);
    });
  });

  test("I9: a centre set back while nothing is sold is noticed within a minute and loaded again", async () => {
    await withTill(SQLITE, async (world, till) => {
      await world.copy("central", "central-copy");
      await sold(world, till, "a1");
      await world.time.pass(60_000);
      await world.restoreCentre("central-copy");
      await world.time.until("a1 again", () => atCentre(world, "a1"), 61_000);
      expect(await tea(world)).toBe(1000 - 2);
      expect(await kinds(world)).toContain("restored centre");
    });
  });

  test("the copy of a database in use is whole", async () => {
    await withTill(SQLITE, async (world, till) => {
      await sell(till, "a1");
      await world.copy(till.name, "copy");
      const copy = await world.stores.connect("copy");
      expect(await copy.all("select count(*) as n from sale")).toEqual([{ n: 2 }]);
      await copy.close();
    });
  });
});

describeWith("postgres", "over PostgreSQL", (server) => {
  vi.setConfig({ testTimeout: 120_000 });
  stories(onPostgres(server));
});
