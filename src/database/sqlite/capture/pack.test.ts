import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { epoch, seq } from "../../../base/ids.ts";
import { systemRuntime } from "../../../base/runtime.ts";
import type { Row } from "../../../message/change.ts";
import type { Effect } from "../../port.ts";
import { Connection } from "../connection.ts";
import { Catalog } from "../describe.ts";
import { sqliteDatabase } from "../open.ts";
import { sqliteCapture } from "./capture.ts";
import { chainIsWhole, LIMITS, Replica, Till } from "./till.test-kit.ts";

const ITEM = "create table item (id integer primary key, name text, price)";
const make = (tables = ["item"]): Promise<Till> => Till.with(ITEM, { tables });
const fill = (till: Till, from: number, through: number, text = "x"): void => {
  const insert = till.app.prepare("insert into item values (?, ?, 1)");
  till.app.exec("begin");
  for (let id = from; id <= through; id++) insert.run(id, text);
  till.app.exec("commit");
};
const numbers = async (till: Till): Promise<number[]> =>
  (await till.messages()).map((message) => message.changes.length);

describe("pack", () => {
  test("makes one message of what was committed, with number, time, trace and chain", async () => {
    using till = await make();
    till.app.exec("insert into item values (1, 'é', 12); update item set price = 12.5");
    const before = Date.now() - 1;
    expect(await till.pack()).toEqual({
      epoch: "e1",
      packedThrough: 1,
      receivedThrough: 0,
      packedMessages: 1,
      packedChanges: 2,
      more: false,
      remade: [],
    });
    const [line] = await till.capture.lines({ seq: seq(0), part: 0 }, 1);
    const text = Buffer.from(line?.bytes ?? []).toString();
    const message = JSON.parse(text) as { at: string; trace: string };
    expect(text.replace(message.at, "AT").replace(message.trace, "TRACE")).toBe(
      '{"seq":1,"at":"AT","trace":"TRACE","changes":[' +
        '{"table":"item","op":"insert","key":{"id":1},"row":{"id":1,"name":"é","price":{"$number":"12"}}},' +
        '{"table":"item","op":"update","key":{"id":1},"row":{"id":1,"name":"é","price":{"$number":"12.5"}},"before":{"id":1,"name":"é","price":{"$number":"12"}}}]}',
    );
    expect(message.trace).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(Math.abs(Date.parse(message.at) - before)).toBeLessThan(5_000);
    till.app.exec("delete from item");
    await till.pack();
    expect(chainIsWhole(await till.capture.lines({ seq: seq(0), part: 0 }, 1_000))).toBe(true);
    expect((await till.capture.state()).packedThrough).toBe(2);
  });

  test("takes nothing of a transaction that is still open", async () => {
    using till = await Till.with(`pragma journal_mode = wal; ${ITEM}`, { tables: ["item"] });
    fill(till, 1, 3);
    till.app.exec("begin immediate; insert into item values (4, 'open', 1)");
    const packing = new DatabaseSync(till.path);
    packing.close();
    expect((await till.capture.state()).outboxRows).toBe(3);
    till.app.exec("commit");
    await till.pack();
    expect(await numbers(till)).toEqual([4]);
  });

  test.each(["wal", "delete"])("never writes when there is nothing to pack, in journal mode %s", async (mode) => {
    using till = await Till.with(`pragma journal_mode = ${mode}; ${ITEM}`, { tables: ["item"] });
    fill(till, 1, 3);
    await till.pack();
    const version = (): unknown => till.app.prepare("pragma data_version").get();
    const before = version();
    await till.capture.acknowledge({ epoch: epoch("e1"), receivedThrough: seq(1), loadedThrough: seq(0) });
    await till.capture.install({ role: "terminal", quietGapMs: 1_000, tables: ["item"] });
    await till.pack();
    await till.capture.resyncStep(10);
    expect(version()).toEqual(before);
    expect(till.app.prepare("pragma journal_mode").get()).toEqual({ journal_mode: mode });
  });

  test("`changed` tells of commits by the application and by our own loads, once, and not of packing itself", async () => {
    using till = await make();
    expect(await till.capture.changed()).toBe(true);
    expect(await till.capture.changed()).toBe(false);
    fill(till, 1, 1);
    expect(await till.capture.changed()).toBe(true);
    await till.pack();
    expect(await till.capture.changed()).toBe(false);
    till.connection.db.exec("insert into item values (2, 'own', 1)");
    expect(await till.capture.changed()).toBe(true);
  });

  test("cuts a message into parts and gives them whole, though it is killed after each step", async () => {
    using till = await make();
    const replica = new Replica(till, "item");
    fill(till, 1, 2_000, "y".repeat(1_000));
    const limits = { partBytes: 50_000, lockMs: 0, valueBytes: 10_000 };
    let steps = 1;
    for (; (await till.capture.pack({ ...LIMITS, ...limits })).more; steps++) {
      const { packedThrough } = await till.capture.state();
      expect(await till.capture.lines({ seq: packedThrough, part: 0 }, 1)).toEqual([]); // a message is shown when it is complete
      till.reopen();
      fill(till, 10_000 + steps, 10_000 + steps); // the next message's
    }
    expect(steps).toBeGreaterThan(3);
    const lines = await till.capture.lines({ seq: seq(0), part: 0 }, 1e9);
    expect(lines.length).toBeGreaterThan(40);
    expect(Math.max(...lines.map((line) => line.bytes.byteLength))).toBeLessThan(51_000);
    expect(chainIsWhole(lines)).toBe(true);
    expect(await till.capture.lines({ seq: seq(1), part: 3 }, 1)).toEqual([lines[3]]);
    await till.pack();
    const messages = await till.messages();
    expect(messages[0]?.changes).toHaveLength(2_000);
    expect(replica.apply(messages.flatMap((message) => message.changes)).rows).toEqual(till.rows("item"));
  });

  test("what is committed while a message of many steps is packed is packed with it, or told by `changed`", async () => {
    using till = await make();
    fill(till, 1, 2_000, "x".repeat(200));
    const limits = { ...LIMITS, lockMs: 0 };
    expect(await till.capture.changed()).toBe(true);
    expect((await till.capture.pack(limits)).more).toBe(true); // its end is fixed by now
    fill(till, 2_001, 2_010);
    // As the agent does it: asked before each pack, and packed until there is no more.
    let looks = 0;
    for (let more = true; (await till.capture.changed()) || more; looks++)
      more = (await till.capture.pack(limits)).more;
    expect(looks).toBeGreaterThan(1);
    expect((await till.capture.state()).outboxRows).toBe(0);
    expect(await numbers(till)).toEqual([2_000, 10]);
  });

  test("keeps a quiet gap's rows together in a small outbox and ends messages there in a backlog", async () => {
    using till = await make();
    fill(till, 1, 400);
    till.connection.db.exec("update waybill_outbox set at = at - 1");
    fill(till, 401, 900);
    till.connection.db.exec("update waybill_outbox set at = at - 1");
    fill(till, 901, 910);
    await till.pack();
    expect(await numbers(till)).toEqual([900, 10]);
  });

  test("ends a message where the application says that a transaction begins", async () => {
    using till = await make();
    fill(till, 1, 3);
    till.app.exec("begin; insert into waybill_cut default values; insert into item values (4, 'x', 1); commit");
    till.app.exec("insert into waybill_cut default values"); // and nothing after it
    await till.pack();
    expect(await numbers(till)).toEqual([3, 1]);
    fill(till, 5, 6);
    await till.pack();
    expect(await numbers(till)).toEqual([2]);
  });

  describe("takes no update for the stamp of a later one", () => {
    const number = (n: number) => ({ $number: String(n) });
    const pairs = (...all: readonly [number, number][]) => all.map((pair) => pair.map(number));
    const prices = async (till: Till): Promise<unknown> =>
      (await till.changes()).map(({ before, row }) => [before?.["price"], row?.["price"]]);
    const told = (table: string, kind: Effect["kind"], id: number, row: Row): Effect => ({
      ...{ table, kind, key: { id }, row, origin: null },
    });
    /** As on a till whose clock stands still for 16 ms: all of this is of one moment. */
    const still = async (schema = ITEM, tables = ["item"]): Promise<Till> => {
      const till = await Till.with(schema, { tables });
      till.app.function("julianday", { varargs: true }, () => 2_461_000.5);
      till.connection.db.function("julianday", { varargs: true }, () => 2_461_000.5);
      fill(till, 1, 1);
      await till.pack();
      await till.messages();
      return till;
    };
    const load = async (till: Till, ...effects: Effect[]): Promise<void> => {
      const database = sqliteDatabase(till.connection, systemRuntime);
      await database.load.install();
      expect((await database.load.transaction((tx) => tx.apply(effects))).refused).toEqual([]);
    };

    test("when we have loaded the row between two of the application's transactions", async () => {
      using till = await still();
      till.app.exec("update item set price = 8; update item set price = 5");
      await load(till, told("item", "update", 1, { price: number(7) }));
      till.app.exec("update item set price = 5"); // leaves the row as the second update did, from where that did not begin
      expect(await prices(till)).toEqual(pairs([1, 8], [8, 5], [7, 5]));
      expect((await till.capture.state()).packedThrough).toBe(2); // in one message, as without a load
      expect(till.connection.db.prepare("select * from waybill_unseen").all()).toEqual([]);
    });

    test("when a trigger of the application wrote it within our load, and we after that", async () => {
      using till = await still(
        `${ITEM}; create table delivery (id integer primary key, item, n);
         create trigger put after insert on delivery begin update item set price = price + new.n where id = new.item; end`,
      );
      await load(
        till,
        told("delivery", "insert", 1, { item: number(1), n: number(4) }),
        told("item", "upsert", 1, { price: number(10) }),
        told("delivery", "insert", 2, { item: number(1), n: number(-5) }),
      );
      till.app.exec("update item set price = 3");
      expect(await prices(till)).toEqual(pairs([1, 5], [10, 5], [5, 3]));
    });

    test("when changes that cannot be carried were taken out between them", async () => {
      using till = await still();
      till.app.exec("update item set price = 5");
      till.app.exec("update item set price = 7, name = zeroblob(2000); update item set name = 'x'");
      till.app.exec("update item set price = 5");
      await till.pack({ valueBytes: 1_000 });
      expect(await prices(till)).toEqual(pairs([1, 5], [7, 5]));
    });

    test("and the places are forgotten, undone or moved with the outbox rows they lie behind", async () => {
      using till = await still();
      const places = (): unknown => till.connection.db.prepare("select behind from waybill_unseen").all();
      const database = sqliteDatabase(till.connection, systemRuntime);
      await database.load.install();
      const change = told("item", "update", 1, { price: number(7) });
      await load(till, change);
      expect(places()).toEqual([]); // nothing before it
      till.app.exec("update item set price = 5; update item set price = 6, name = zeroblob(2000)");
      await database.load.transaction((tx) =>
        tx.attempt(async () => ({ keep: false, result: await tx.apply([change]) })),
      );
      expect(places()).toEqual([]);
      await load(till, change);
      await load(till, change);
      expect(places()).toEqual([{ behind: 2 }]);
      expect(await till.capture.pack({ ...LIMITS, valueBytes: 1_000 })).toMatchObject({ packedMessages: 2 });
      expect(places()).toEqual([]);
    });
  });

  test("ends no message within a transaction that got the number of a row that was refused", async () => {
    using till = await make();
    fill(till, 1, 1);
    fill(till, 2, 2, "x".repeat(2_000));
    till.app.exec("insert into waybill_cut default values"); // a message may end behind the second row
    await till.pack({ valueBytes: 1_000 });
    expect(await numbers(till)).toEqual([0, 1]); // refused; the other
    fill(till, 3, 6);
    await till.pack();
    expect(await numbers(till)).toEqual([4]);
  });

  test("sends a change with a value above the limit as a refused message before the others", async () => {
    using till = await make();
    till.app.exec("insert into item values (1, 'a', 1), (2, zeroblob(2000), 1), (3, 'c', 1)");
    await till.pack({ valueBytes: 1_999 });
    till.app.exec("insert into item values (4, 'd', 1)");
    await till.pack({ valueBytes: 2_000 });
    till.app.exec("insert into item values (1000, 'small', 1)");
    await till.pack({ valueBytes: 1_999 });
    till.app.exec("insert into item values (1001, zeroblob(2000), 1)"); // its outbox row has the id of the one before
    await till.pack({ valueBytes: 1_999 });
    const [refused, message, , ...again] = await till.messages();
    expect(again.map((one) => one.refused)).toEqual([undefined, "VALUE_TOO_LARGE"]);
    expect(refused).toMatchObject({ seq: 1, refused: "VALUE_TOO_LARGE", table: "item", key: { id: 2 } });
    expect(refused?.changes).toEqual([]);
    expect(message?.changes.map(({ key }) => key["id"])).toEqual([1, 3]);
    expect(chainIsWhole(await till.capture.lines({ seq: seq(0), part: 0 }, 1e6))).toBe(true);
  });

  test("a second process that packs the same outbox at the same moment is refused, and nothing is packed twice", async () => {
    using till = await make();
    fill(till, 1, 3);
    const connection = new Connection(till.path);
    const other = sqliteCapture(connection, new Catalog(connection), systemRuntime.random);
    const immediate = till.connection.immediate.bind(till.connection);
    const others: Promise<unknown>[] = [];
    // Between our look at the outbox and our write the other one does all of its work.
    till.connection.immediate = (work) => {
      if (others.length === 0) others.push(other.pack(LIMITS));
      return immediate(work);
    };
    await expect(till.capture.pack(LIMITS)).rejects.toMatchObject({ code: "ALREADY_RUNNING" });
    await Promise.all(others);
    connection.close();
    expect(await numbers(till)).toEqual([3]);
    expect((await till.capture.state()).outboxRows).toBe(0);
  });

  test("an agent that was away for 100,000 transactions packs them whole and in order", async () => {
    using till = await Till.with(`pragma journal_mode = wal; pragma synchronous = off; ${ITEM}`, { tables: ["item"] });
    const insert = till.app.prepare("insert into item values (?, 'x', 1)");
    for (let id = 1; id <= 100_000; id++) insert.run(id);
    const outcome = await till.pack();
    expect(outcome.packedThrough).toBeGreaterThan(0);
    const ids = (await till.messages()).flatMap((message) => message.changes.map(({ key }) => key["id"]));
    expect(ids).toEqual(Array.from({ length: 100_000 }, (_, i) => i + 1));
    expect((await till.capture.state()).outboxRows).toBe(0);
  }, 30_000);
});

describe("acknowledgements", () => {
  const sent = async (): Promise<Till> => {
    const till = await make();
    for (let id = 1; id <= 5; id++) {
      fill(till, id, id);
      await till.pack();
    }
    return till;
  };
  const mark = (receivedThrough: number, loadedThrough: number) => ({
    epoch: epoch("e1"),
    receivedThrough: seq(receivedThrough),
    loadedThrough: seq(loadedThrough),
  });

  test("are known at once, written by flush, and drop what is loaded beyond the newest", async () => {
    using till = await sent();
    await till.capture.acknowledge(mark(4, 3));
    expect(await till.capture.state()).toMatchObject({ receivedThrough: 4, loadedThrough: 3, oldest: 1 });
    till.reopen();
    expect(await till.capture.state()).toMatchObject({ receivedThrough: 0, loadedThrough: 0 });
    await till.capture.acknowledge(mark(4, 3));
    await till.capture.flush({ keep: 1, since: null });
    till.reopen();
    const state = await till.capture.state();
    expect(state).toMatchObject({ receivedThrough: 4, loadedThrough: 3, oldest: 3, packedThrough: 5 });
    const lines = await till.capture.lines({ seq: seq(0), part: 0 }, 1e6);
    expect(lines.map((line) => line.seq)).toEqual([3, 4, 5]);
    expect(state.receivedChain).toEqual(lines[1]?.chain);
    await till.capture.acknowledge(mark(99, 99));
    await till.capture.flush({ keep: 0, since: null });
    expect(await till.capture.state()).toMatchObject({
      receivedThrough: 5,
      loadedThrough: 5,
      oldest: 6,
      receivedChain: lines[2]?.chain,
    });
  });

  test("are forgotten by rewind as far as the other side lost them", async () => {
    using till = await sent();
    await till.capture.acknowledge(mark(5, 4));
    await till.capture.flush({ keep: 3, since: null });
    const lines = await till.capture.lines({ seq: seq(0), part: 0 }, 1e6);
    await till.capture.rewind(seq(2));
    expect(await till.capture.state()).toMatchObject({
      receivedThrough: 2,
      loadedThrough: 2,
      receivedChain: lines[0]?.chain,
    });
    await till.capture.rewind(seq(0));
    expect(await till.capture.state()).toMatchObject({ receivedThrough: 0, oldest: 2 });
    fill(till, 9, 9);
    await till.pack();
    expect((await till.capture.lines({ seq: seq(5), part: 0 }, 1e6)).map((line) => line.seq)).toEqual([6]);
  });
});

describe("beginEpoch", () => {
  test("renumbers what was not received, in order, parts and all, and goes on from there", async () => {
    using till = await make();
    for (let id = 1; id <= 3; id++) {
      fill(till, id, id);
      await till.pack();
    }
    fill(till, 100, 2_100, "y".repeat(1_000));
    const limits = { ...LIMITS, partBytes: 50_000, lockMs: 0 };
    expect((await till.capture.pack(limits)).more).toBe(true); // message 4 has some of its parts
    await till.capture.acknowledge({ epoch: epoch("e1"), receivedThrough: seq(1), loadedThrough: seq(1) });
    await till.capture.beginEpoch(epoch("e2"), epoch("e1"));
    till.reopen();
    expect(await till.capture.state()).toMatchObject({ epoch: "e2", packedThrough: 2, receivedThrough: 0, oldest: 1 });
    await till.pack(limits);
    const lines = await till.capture.lines({ seq: seq(0), part: 0 }, 1e9);
    expect(chainIsWhole(lines)).toBe(true);
    expect(await numbers(till)).toEqual([1, 1, 2_001]);
    await till.capture.beginEpoch(epoch("e2"), epoch("e1"));
    expect((await till.capture.state()).packedThrough).toBe(3);
  });
});

describe("facts", () => {
  test("live with the database", async () => {
    using till = new Till(ITEM);
    expect(await till.capture.recall("install")).toBeNull();
    expect(await till.capture.state()).toMatchObject({ epoch: null, packedThrough: 0, cursor: { id: 0, changes: 0 } });
    await till.capture.remember("install", "i1");
    till.reopen();
    expect(await till.capture.recall("install")).toBe("i1");
  });
});
