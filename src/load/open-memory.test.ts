import { describe, expect, test } from "vitest";
import { WaybillError } from "../base/errors.ts";
import { seq } from "../base/ids.ts";
import type { Claim } from "../ledger/port.ts";
import type { Change, Row } from "../message/change.ts";
import { Centre, Desk, lane, rules } from "./load.test-kit.ts";
import { OpenMemory } from "./open-memory.ts";

const till = lane("t1");
const DDL = `create table sale (id text primary key, state text check (state <> 'bad'), n integer) strict`;

const insert = (id: string, more: Row = {}): Change => ({
  table: "sale",
  op: "insert",
  key: { id },
  row: { id, ...more },
});
const update = (id: string, row: Row): Change => ({ table: "sale", op: "update", key: { id }, row: { id, ...row } });
const bad = (id: string): Change => insert(id, { state: "bad" });
const RULES = rules({ sale: {} }, { retry: { attempts: 1, firstMs: 1, factor: 1, capMs: 1, jitter: 0, codes: null } });

describe("what is open of a lane", () => {
  test("is asked for once, however often the lane is claimed", async () => {
    await using centre = await Centre.open(DDL);
    const desk = new Desk(centre.database, RULES);
    desk.receive(till, [bad("S-1")]);
    await desk.load(desk.claims());
    for (let n = 2; n <= 20; n++) {
      desk.receive(till, [n % 2 ? bad(`S-${n}`) : update(`S-${n - 1}`, { n })]);
      await desk.load(desk.claims());
    }
    expect(desk.asked).toBe(0); // it was this loader that left them
    expect(desk.exceptions(till)).toHaveLength(20);
    expect(desk.exceptions(till).slice(0, 4)).toEqual([
      "1 dead CHECK_VIOLATED",
      "2 held behind 1",
      "3 dead CHECK_VIOLATED",
      "4 held behind 3",
    ]);
    // Another loader asks, once.
    const other = new Desk(centre.database, RULES);
    other.lanes.set(till, desk.lane(till));
    for (const n of [21, 22]) {
      other.receive(till, [update("S-1", { n })]);
      await other.load(other.claims());
    }
    expect([other.asked, other.exceptions(till).slice(-2)]).toEqual([1, ["21 held behind 1", "22 held behind 1"]]);
  });

  test("is asked for again when another had the lane, when nothing was booked, and when an older lane has moved", async () => {
    await using centre = await Centre.open(DDL);
    const desk = new Desk(centre.database, RULES);
    desk.receive(till, [bad("S-1")], [update("S-1", { n: 1 })]);
    await desk.load(desk.claims());
    const next = async (n: number): Promise<void> => {
      desk.receive(till, [update("S-1", { n })]);
      await desk.load(desk.claims());
    };
    await next(2);
    expect(desk.asked).toBe(0);
    // Another worker had the lane: it may have loaded or refused something.
    desk.lane(till).fence++;
    await next(3);
    expect(desk.asked).toBe(1);
    await next(4);
    expect(desk.asked).toBe(1);
    // The ledger did not hear what became of the next: it is what the centre has, and known under its version alone.
    desk.receive(till, [bad("S-2")]);
    const { version } = desk.lane(till);
    await desk.load(desk.claims());
    desk.lane(till).known.delete(6);
    Object.assign(desk.lane(till), { version, loaded: 5 });
    await desk.loader.load(desk.claims());
    expect(desk.asked).toBe(2);
    desk.lane(till).version = centre.rows("select version from waybill_lane")[0]![0] as number;
    desk.lane(till).loaded = 6;
    desk.older = "7.1.3";
    await next(5);
    expect(desk.asked).toBe(3);
    await next(6);
    expect(desk.asked).toBe(3);
    desk.older = "7.2.9";
    await next(7);
    expect(desk.asked).toBe(4);
  });

  test("is as it was before when the transaction fails, and without what was loaded late when it does not", async () => {
    await using centre = await Centre.open(DDL);
    const { load } = centre.database;
    let isDown = false;
    const transaction: typeof load.transaction = (work, patience) =>
      load.transaction(async (tx) => {
        const result = await work(tx);
        if (isDown) throw new WaybillError("DATABASE_UNAVAILABLE", "the server went away");
        return result;
      }, patience);
    const database = { describe: () => centre.database.describe(), load: { ...load, transaction } };
    const desk = new Desk(database, RULES);
    const second: Change = { ...update("S-1", { n: 2 }), before: { id: "S-1", n: null } };
    desk.receive(till, [bad("S-1")], [second]);
    await desk.load(desk.claims());
    expect(desk.exceptions(till)).toEqual(["1 dead CHECK_VIOLATED", "2 held behind 1"]);
    desk.requeue(till, 1, [insert("S-1")]);
    desk.receive(till, [bad("S-3")]);
    const claims = desk.claims();
    isDown = true;
    await expect(desk.load(claims)).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
    isDown = false;
    await desk.load(claims);
    expect(desk.exceptions(till)).toEqual(["2 held behind 1", "3 dead CHECK_VIOLATED"]);
    await desk.load(desk.claims());
    desk.receive(till, [update("S-1", { n: 4 })], [update("S-3", { n: 5 })]);
    await desk.load(desk.claims());
    expect(desk.exceptions(till)).toEqual(["3 dead CHECK_VIOLATED", "5 held behind 3"]);
    expect([centre.rows("select n from sale"), desk.asked]).toEqual([[[4]], 0]);
  });
});

describe("what the ledger does not have of an open exception", () => {
  /** As after a crash or a restore: it knows of the first from the centre alone. */
  const forgets = (desk: Desk): void => {
    const { known } = desk.lane(till);
    known.set(1, { ...known.get(1)!, sets: null });
    desk.lane(till).fence++;
  };

  test("is looked for again at each claim: its line may have come back", async () => {
    await using centre = await Centre.open(DDL);
    let isThere = true;
    const desk = new Desk(centre.database, RULES, (bytes) => ({
      ...bytes,
      read: async (name, from, ...more) => (isThere || from !== 1 ? bytes.read(name, from, ...more) : []),
    }));
    desk.receive(till, [bad("S-1")], [bad("S-2")]);
    await desk.load(desk.claims());
    forgets(desk);
    isThere = false;
    desk.requeue(till, 2, [bad("S-2")]);
    await desk.load(desk.claims()); // something late is due before all has been sent again
    isThere = true;
    for (const id of ["S-3", "S-4"]) {
      desk.requeue(till, 2, [bad("S-2")]);
      desk.receive(till, [insert(id)]);
      await desk.load(desk.claims());
    }
    expect(desk.exceptions(till)).toEqual(["1 dead CHECK_VIOLATED", "2 dead CHECK_VIOLATED"]);
  });

  test("is not remembered as the sender's words alone, which is all that a worn claim reads", async () => {
    await using centre = await Centre.open(DDL);
    const both = rules({ sale: {}, old: { target: "sale" } }, { retry: RULES.retry });
    const desk = new Desk(centre.database, both);
    desk.receive(till, [{ ...bad("S-1"), table: "old" }]);
    await desk.load(desk.claims());
    forgets(desk);
    desk.receive(till, [insert("S-2")]);
    await desk.load(desk.claims().map((claim) => ({ ...claim, unsettled: 3 })));
    desk.receive(till, [{ ...insert("S-1"), op: "upsert" }]);
    await desk.load(desk.claims());
    expect(desk.exceptions(till).at(-1)).toBe("3 held behind 1");
  });
});

test("a lane is not said to stop before so many are open", async () => {
  await using centre = await Centre.open(DDL);
  const desk = new Desk(centre.database, rules({ sale: {} }, { retry: RULES.retry, maxOpen: 10 }));
  for (let n = 1; n <= 8; n++) desk.receive(till, [bad(`S-${n}`)]);
  await desk.load(desk.claims());
  desk.receive(till, [bad("S-9")], [insert("S-10")], [insert("S-11")]);
  await desk.load(desk.claims());
  expect([desk.exceptions(till).length, desk.events]).toEqual([9, []]);
});

test("as much as fits is remembered, and what is claimed no more makes room", async () => {
  const memory = new OpenMemory();
  const texts = Array.from({ length: 110_000 }, (_, n) => `sale id=S-${n}`);
  const sets = { writes: texts, adds: [], creates: [], deletes: [], parents: [] };
  let asked = 0;
  const claimed = async (name: string, fence: number): Promise<void> => {
    const of = lane(name);
    const claim = { lane: of, fence, version: fence - 1, open: "" } as Claim;
    const opened = await memory.of(claim, async () => {
      asked++;
      const one = { lane: of, seq: seq(1), state: "dead", fault: null, attempts: 1, sets } as const;
      return { exceptions: [one], older: "", isMakeshift: false };
    });
    memory.left(claim, fence, opened);
  };
  for (const fence of [1, 2, 3]) for (const name of ["t1", "t2"]) await claimed(name, fence);
  expect(asked).toBe(1 + 3); // the first is kept, for the second there is no room
  for (let n = 0; n < 20_000; n++)
    memory.left({ lane: lane("t3"), fence: n } as Claim, n, await memory.of({ open: null } as Claim, fail));
  for (const fence of [4, 5]) await claimed("t2", fence);
  expect(asked).toBe(4 + 1);
  await claimed("t1", 4);
  expect(asked).toBe(5 + 1);
});
const fail = (): never => {
  throw new Error("there is nothing to read");
};
