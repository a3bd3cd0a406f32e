import { existsSync } from "node:fs";
import { beforeEach, expect, test, vi } from "vitest";
import { terminalId } from "../../src/base/ids.ts";
import type { Reconcile } from "../../src/ledger/reconciles.ts";
import { tempDir } from "../kit/temp-dir.ts";
import { Dice } from "./virtual-time.ts";
import { World, type Till, type WorldShape } from "./world.ts";

/** Comparisons over hours, and over hubs that are killed: on virtual time. */
const TABLE = "create table sale (sale_id text primary key, till text not null) without rowid;";
const SHAPE: WorldShape = {
  till: TABLE,
  central: TABLE,
  config: {
    tables: { sale: { direction: "up", owner: { column: "till", is: "terminal" } } },
    processor: { pollMs: 1_000 },
  },
};
const HOUR_MS = 3_600_000;
const T1 = terminalId("t1");

async function withTill(config: Partial<WorldShape["config"]>, work: (world: World, till: Till) => Promise<void>) {
  await using dir = tempDir();
  const world = await World.make(dir.path, new Dice(1), { ...SHAPE, config: { ...SHAPE.config, ...config } });
  try {
    await world.startHub();
    const till = await world.addTill("t1");
    await till.start();
    await till.app.run("insert into sale values ('first', 't1')");
    await world.time.until("a sale", async () => (await world.rows("select 1 from sale")).length === 1);
    await work(world, till);
  } finally {
    await world.close();
  }
}
const comparisons = (world: World): Promise<readonly Reconcile[]> => world.hub.ledger.reconciles.list(T1, 20);

beforeEach(() => {
  if (existsSync("/dev/shm")) vi.stubEnv("TMPDIR", "/dev/shm");
});

test("a terminal is compared when it is due by the schedule, each time once, and no sooner", async () => {
  await withTill({ reconcile: { everyHours: 1 } }, async (world) => {
    await world.time.until(
      "the first comparison",
      async () => {
        const [one] = await comparisons(world);
        return one?.state === "done";
      },
      120_000,
    );
    await world.time.pass(0.9 * HOUR_MS);
    expect(await comparisons(world)).toHaveLength(1);
    await world.time.pass(0.2 * HOUR_MS);
    const all = await comparisons(world);
    expect(all).toHaveLength(2);
    expect(all.map(({ state, by, reason }) => ({ state, by, reason }))).toEqual(
      all.map(() => ({ state: "done", by: "system", reason: "due every 1 h" })),
    );
  });
});

test("without a schedule nobody is compared", async () => {
  await withTill({}, async (world) => {
    await world.time.pass(HOUR_MS / 4);
    expect(await comparisons(world)).toEqual([]);
  });
});

test("a comparison whose hub was killed is begun anew by the next hub, and ends; nothing stays running for ever", async () => {
  await withTill({}, async (world, till) => {
    // The till is away, so that the comparison waits for its answer when its hub dies.
    await till.stop();
    await till.app.run("insert into sale values ('second', 't1')");
    const order = { reason: "by hand" };
    const { id } = await world.operator<Reconcile>("POST", "/api/terminals/t1/reconcile", order);
    const asked = async (): Promise<boolean> => (await world.hub.ledger.reconciles.asked()).length === 1;
    await world.time.until("it asks the till", asked);
    await world.copy("ledger", "killed");
    // The ledger as a killed hub leaves it: its worker is gone and holds the comparison.
    await world.restoreLedger("killed");
    expect(await world.hub.ledger.reconciles.get(id)).toMatchObject({ state: "running" });
    await till.start();
    const over = async (): Promise<boolean> => (await world.hub.ledger.reconciles.get(id))?.endedAt !== null;
    await world.time.until("it is over", over, 10 * 60_000);
    const [ended, ...more] = await comparisons(world);
    expect(more).toEqual([]);
    expect(ended).toMatchObject({ id, state: "done", report: { fault: null, doing: null } });
    expect(ended?.report.tables).toMatchObject([
      { table: "sale", rowsAtTerminal: 2, missingAtCentre: 0, different: 0 },
    ]);
    expect(await asked(), "no question is left").toBe(false);
  });
});
