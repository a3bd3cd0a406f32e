import { describe, expect, test } from "vitest";
import { instant } from "../../base/clock.ts";
import { epoch, seq } from "../../base/ids.ts";
import { CHAIN_START, chainNext, sameChain } from "../../message/chain.ts";
import type { Message } from "../../message/change.ts";
import type { Capture, CapturePlan, PackLimits, PackedLine } from "../port.ts";
import { SHOP, type OpenStation, type Station } from "./station.ts";

const LIMITS: PackLimits = { partBytes: 256 * 1024, valueBytes: 1024 * 1024, lockMs: 100 };
const PLAN: CapturePlan = { role: "terminal", tables: ["store", "sale", "sale_line"], quietGapMs: 1_000 };
const START = { seq: seq(0), part: 0 };

/** The promises of `Capture`, in its words. */
export function captureContract(engine: string, open: OpenStation): void {
  const captured = async (): Promise<Station> => {
    const station = await open(SHOP);
    await station.database.capture.install(PLAN);
    await station.database.capture.beginEpoch(epoch("e1"), null);
    return station;
  };
  const packed = async (capture: Capture, limits: Partial<PackLimits> = {}): Promise<readonly Message[]> => {
    const { packedThrough } = await capture.state();
    while ((await capture.pack({ ...LIMITS, ...limits })).more);
    return messagesOf(await capture.lines({ seq: packedThrough, part: 0 }, Number.MAX_SAFE_INTEGER));
  };

  describe(`capture contract: ${engine}`, () => {
    test("install is repeatable, and removes triggers of tables no longer planned", async () => {
      await using station = await open(SHOP);
      const { capture } = station.database;
      expect(await capture.install(PLAN)).toEqual({ made: PLAN.tables, unchanged: [], removed: [], refused: [] });
      expect(await capture.install(PLAN)).toEqual({ made: [], unchanged: PLAN.tables, removed: [], refused: [] });
      const less = { ...PLAN, tables: ["sale", "sale_line"] };
      expect(await capture.install(less)).toMatchObject({ made: [], removed: ["store"] });
      await capture.beginEpoch(epoch("e1"), null);
      await station.run("insert into store values (15, 'Hill')");
      expect(await packed(capture)).toEqual([]);
    });

    test("a table that cannot be captured is refused with the reason", async () => {
      await using station = await open("create table loose (a integer)");
      const { refused } = await station.database.capture.install({ ...PLAN, tables: ["loose", "nowhere"] });
      expect(refused.map(({ table }) => table)).toEqual(["loose", "nowhere"]);
    });

    test("nothing committed is missed, nothing rolled back is sent, in the order of the commits", async () => {
      await using station = await captured();
      await station.run(
        "begin; insert into sale values ('S-1', 14, 'R1', 1); insert into sale_line values ('S-1', 1, 'tea'); commit",
      );
      await station.run("begin; insert into sale values ('S-2', 14, 'R2', 1); rollback");
      await station.run("update sale set quantity = 2; update sale_line set number = 2; delete from sale_line");
      const changes = (await packed(station.database.capture)).flatMap((message) => message.changes);
      expect(changes).toEqual([
        {
          table: "sale",
          op: "insert",
          key: { sale_id: "S-1" },
          row: { sale_id: "S-1", store_id: 14, receipt: "R1", quantity: 1 },
        },
        {
          table: "sale_line",
          op: "insert",
          key: { sale_id: "S-1", number: 1 },
          row: { sale_id: "S-1", number: 1, item: "tea" },
        },
        {
          table: "sale",
          op: "update",
          key: { sale_id: "S-1" },
          row: { sale_id: "S-1", store_id: 14, receipt: "R1", quantity: 2 },
          before: { sale_id: "S-1", store_id: 14, receipt: "R1", quantity: 1 },
        },
        {
          table: "sale_line",
          op: "update",
          key: { sale_id: "S-1", number: 1 },
          row: { sale_id: "S-1", number: 2, item: "tea" },
          before: { sale_id: "S-1", number: 1, item: "tea" },
        },
        {
          table: "sale_line",
          op: "delete",
          key: { sale_id: "S-1", number: 2 },
          before: { sale_id: "S-1", number: 2, item: "tea" },
        },
      ]);
    });

    test("resend puts the rows of given keys into the outbox as they are; an absent one is told as gone to an audience only", async () => {
      await using station = await captured();
      const { capture } = station.database;
      await station.run("insert into sale values ('S-1', 14, 'R1', 1); insert into sale values ('S-2', 14, 'R2', 2)");
      await packed(capture);
      const keys = [{ sale_id: "S-2" }, { sale_id: "S-9" }];
      expect(await capture.resend("sale", keys, null)).toBe(1);
      const row = { sale_id: "S-2", store_id: 14, receipt: "R2", quantity: 2 };
      const sent = { table: "sale", op: "upsert", key: { sale_id: "S-2" }, row };
      expect((await packed(capture)).flatMap(({ changes }) => changes)).toEqual([sent]);
      const aim = "terminal:t1";
      expect(await capture.resend("sale", keys, aim)).toBe(2);
      expect((await packed(capture)).flatMap(({ changes }) => changes)).toMatchObject([
        { ...sent, aim },
        { table: "sale", op: "delete", key: { sale_id: "S-9" }, aim },
      ]);
      await expect(capture.resend("nowhere", keys, null)).rejects.toMatchObject({ code: "TABLE_UNKNOWN" });
    });

    test("a trigger never fails or alters the application's statement", async () => {
      await using station = await captured();
      await expect(station.run("insert into sale values ('S-1', 99, null, 1)")).rejects.toThrow();
      await expect(station.run("insert into sale values ('S-1', 14, null, -1)")).rejects.toThrow();
      await station.run("insert into sale values ('S-1', 14, null, 1)");
      await expect(station.run("insert into sale values ('S-1', 14, null, 1)")).rejects.toThrow();
      expect(await station.rows("select sale_id, store_id, receipt, quantity from sale")).toEqual([
        ["S-1", "14", null, "1"],
      ]);
      expect(await packed(station.database.capture)).toHaveLength(1);
    });

    test("a message is whole: a line is cut into parts above partBytes, and the chain covers every line", async () => {
      await using station = await captured();
      const { capture } = station.database;
      await station.run("insert into sale values ('S-1', 14, null, 1)");
      await packed(capture);
      const lines = Array.from({ length: 300 }, (_, i) => `insert into sale_line values ('S-1', ${i}, 'tea');`);
      await station.run(`begin; ${lines.join(" ")} commit`);
      const [message] = await packed(capture, { partBytes: 2_000 });
      expect(message?.changes.map(({ key }) => key["number"])).toEqual(lines.map((_, i) => i));
      const stored = await capture.lines(START, Number.MAX_SAFE_INTEGER);
      expect(stored.filter((line) => line.seq === 2).map((line) => line.part)).toEqual(
        stored.slice(1).map((_, i) => i + 1),
      );
      expect(chainHolds(stored)).toEqual(true);
      const fourth = stored[4];
      expect(await capture.lines({ seq: seq(2), part: 3 }, 1)).toEqual([fourth]);
      expect(await capture.state()).toMatchObject({ packedThrough: 2, outboxRows: 0, oldestAt: null, oldest: 1 });
    });

    test("a page of rows as they are becomes several messages rather than one in parts", async () => {
      await using station = await captured();
      const { capture } = station.database;
      await station.run("insert into sale values ('S-1', 14, null, 1)");
      for (let i = 0; i < 100; i++) await station.run(`insert into sale_line values ('S-1', ${i}, 'tea')`);
      await packed(capture);
      const { packedThrough } = await capture.state();
      await capture.resync("sale_line", null);
      while ((await capture.resyncStep(1_000)) === "more");
      const messages = await packed(capture, { partBytes: 2_000 });
      expect(messages.length).toBeGreaterThan(3);
      expect(messages.flatMap(({ changes }) => changes.map(({ key }) => key["number"]))).toEqual(
        Array.from({ length: 100 }, (_, i) => i),
      );
      const stored = await capture.lines({ seq: packedThrough, part: 0 }, Number.MAX_SAFE_INTEGER);
      expect(stored.map(({ part }) => part)).toEqual(messages.map(() => 0));
      expect(Math.max(...stored.map(({ bytes }) => bytes.byteLength))).toBeLessThan(2_200);
      expect(chainHolds(await capture.lines(START, Number.MAX_SAFE_INTEGER))).toBe(true);
    });

    test("`changed` is true when anything was committed since the last call", async () => {
      await using station = await captured();
      const { capture } = station.database;
      await capture.changed();
      expect(await capture.changed()).toBe(false);
      await station.run("insert into store values (15, 'Hill')");
      expect(await capture.changed()).toBe(true);
      await packed(capture);
      expect(await capture.changed()).toBe(false);
    });

    test("acknowledgements are remembered by flush, drop loaded messages beyond the newest, and are forgotten by rewind", async () => {
      await using station = await captured();
      const { capture } = station.database;
      for (let id = 1; id <= 4; id++) {
        await station.run(`insert into store values (${id}, 'x')`);
        await packed(capture);
      }
      const lines = await capture.lines(START, Number.MAX_SAFE_INTEGER);
      await capture.acknowledge({ epoch: epoch("e1"), receivedThrough: seq(4), loadedThrough: seq(3) });
      await capture.flush({ keep: 1, since: null });
      expect(await capture.state()).toMatchObject({
        receivedThrough: 4,
        loadedThrough: 3,
        oldest: 3,
        receivedChain: lines[3]?.chain,
      });
      expect(await capture.lines(START, Number.MAX_SAFE_INTEGER)).toEqual(lines.slice(2));
      await capture.rewind(seq(2));
      expect(await capture.state()).toMatchObject({
        receivedThrough: 2,
        loadedThrough: 2,
        receivedChain: lines[1]?.chain,
      });
    });

    test("of loaded messages the newest are kept, but none that is too old; what is not loaded is kept at any age", async () => {
      await using station = await captured();
      const { capture } = station.database;
      for (let id = 1; id <= 4; id++) {
        await station.run(`insert into store values (${id}, 'x')`);
        await packed(capture);
      }
      const stored = async (): Promise<number[]> =>
        (await capture.lines(START, Number.MAX_SAFE_INTEGER)).map((line) => line.seq);
      await capture.acknowledge({ epoch: epoch("e1"), receivedThrough: seq(4), loadedThrough: seq(3) });
      await capture.flush({ keep: 10, since: instant(0) });
      expect(await stored(), "none is from before 1970").toEqual([1, 2, 3, 4]);
      await capture.flush({ keep: 10, since: null });
      expect(await stored(), "of any age").toEqual([1, 2, 3, 4]);
      await capture.flush({ keep: 10, since: instant(Date.now() + 86_400_000) });
      expect(await stored(), "all that is loaded is from before tomorrow").toEqual([4]);
      expect(await capture.state()).toMatchObject({ receivedThrough: 4, loadedThrough: 3, oldest: 4 });
    });

    test("an epoch starts at 1 again, and messages that were not received are renumbered into it in order", async () => {
      await using station = await captured();
      const { capture } = station.database;
      for (let id = 1; id <= 3; id++) {
        await station.run(`insert into store values (${id}, 'x')`);
        await packed(capture);
      }
      await capture.acknowledge({ epoch: epoch("e1"), receivedThrough: seq(1), loadedThrough: seq(1) });
      await capture.beginEpoch(epoch("e2"), epoch("e1"));
      expect(await capture.state()).toMatchObject({
        epoch: "e2",
        packedThrough: 2,
        receivedThrough: 0,
        loadedThrough: 0,
      });
      const lines = await capture.lines(START, Number.MAX_SAFE_INTEGER);
      expect(messagesOf(lines).map((message) => [message.seq, message.changes[0]?.key["id"]])).toEqual([
        [1, 2],
        [2, 3],
      ]);
      expect(chainHolds(lines)).toBe(true);
    });

    test("an epoch begins by compare-and-set, and of an acknowledgement only the present epoch's counts", async () => {
      await using station = await captured();
      const { capture } = station.database;
      await station.run("insert into store values (1, 'x')");
      await packed(capture);
      expect(await capture.beginEpoch(epoch("e3"), null)).toBe(false);
      expect(await capture.beginEpoch(epoch("e3"), epoch("e2"))).toBe(false);
      expect(await capture.state()).toMatchObject({ epoch: "e1", packedThrough: 1 });
      expect(await capture.beginEpoch(epoch("e2"), epoch("e1"))).toBe(true);
      expect(await capture.beginEpoch(epoch("e2"), epoch("e1")), "again").toBe(true);
      await capture.acknowledge({ epoch: epoch("e1"), receivedThrough: seq(1), loadedThrough: seq(1) });
      await capture.flush({ keep: 10, since: null });
      expect(await capture.state()).toMatchObject({ epoch: "e2", packedThrough: 1, receivedThrough: 0 });
      await capture.acknowledge({ epoch: epoch("e2"), receivedThrough: seq(1), loadedThrough: seq(0) });
      expect(await capture.pack(LIMITS)).toMatchObject({ epoch: "e2", packedThrough: 1, receivedThrough: 1 });
    });

    test("a resync puts the rows into the outbox as they are, page by page, for one audience", async () => {
      await using station = await captured();
      const { capture } = station.database;
      await station.run("insert into store values (1, 'a'); insert into store values (2, 'b')");
      await packed(capture);
      await capture.resync("store", "store:014");
      expect(await capture.resyncStep(2)).toBe("more");
      expect((await capture.state()).resyncing).toEqual([{ table: "store", rows: 2 }]);
      while ((await capture.resyncStep(2)) === "more");
      const changes = (await packed(capture)).flatMap((message) => message.changes);
      expect(changes.map(({ op, key }) => [op, key["id"]])).toEqual([
        ["upsert", 1],
        ["upsert", 2],
        ["upsert", 14],
      ]);
      expect(changes[0]).toMatchObject({ aim: "store:014", row: { id: 1, name: "a" } });
    });

    test("switched off nothing is captured; back on resyncs the tables", async () => {
      await using station = await captured();
      const { capture } = station.database;
      await capture.switch("off");
      await station.run("insert into store values (1, 'a')");
      expect(await packed(capture)).toEqual([]);
      await capture.switch("on");
      while ((await capture.resyncStep(10)) === "more");
      const changes = (await packed(capture)).flatMap((message) => message.changes);
      expect(changes.map(({ op, key }) => [op, key["id"]])).toEqual([
        ["upsert", 1],
        ["upsert", 14],
      ]);
    });

    test("remove refuses while changes wait, unless they may be lost", async () => {
      await using station = await captured();
      const { capture } = station.database;
      await station.run("insert into store values (1, 'a')");
      await expect(capture.remove({ lose: false })).rejects.toMatchObject({ code: "STATE_CONFLICT" });
      await capture.remove({ lose: true });
      await station.run("insert into store values (2, 'b')");
      expect(await station.rows("select id from store order by id")).toEqual([["1"], ["2"], ["14"]]);
    });

    test("small facts live with the database", async () => {
      await using station = await captured();
      const { capture } = station.database;
      expect(await capture.recall("install")).toBeNull();
      await capture.remember("install", "i1");
      await capture.remember("install", "i2");
      expect(await capture.recall("install")).toBe("i2");
      await capture.rememberAll([
        ["a", "1"],
        ["install", "i3"],
        ["it's", "2"],
        ["a", "3"],
      ]);
      await capture.rememberAll([]);
      const known = await capture.recallAll(["install", "nobody's", "it's", "a"]);
      expect(Object.fromEntries(known)).toEqual({ install: "i3", "it's": "2", a: "3" });
      expect((await capture.recallAll([])).size).toBe(0);
    });
  });
}

/** The messages that the lines make, parts put together. */
function messagesOf(lines: readonly PackedLine[]): readonly Message[] {
  const messages: Message[] = [];
  for (const line of lines) {
    const read = JSON.parse(new TextDecoder().decode(line.bytes)) as Message;
    const open = line.part > 1 ? messages.pop() : undefined;
    messages.push(open ? { ...open, changes: [...open.changes, ...read.changes] } : read);
  }
  return messages;
}

/** Does the chain go over all these lines, from the epoch's start? */
function chainHolds(lines: readonly PackedLine[]): boolean {
  let chain: Uint8Array = CHAIN_START;
  for (const line of lines) {
    chain = chainNext(chain, line.bytes);
    if (!sameChain(chain, line.chain)) return false;
  }
  return true;
}
