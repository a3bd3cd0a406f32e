import { expect, test } from "vitest";
import { describeWith } from "../../../test/kit/needs.ts";
import { until } from "../../../test/kit/until.ts";
import { instant } from "../../base/clock.ts";
import { SYSTEM, seq, workerId, type LaneName } from "../../base/ids.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { claimAll, claimOne, drain, loaded, send, Till } from "../contract/till.ts";
import type { Ledger, Signal } from "../port.ts";
import type { RetentionStep } from "../retention.ts";
import { openLedgerBytes } from "../open.ts";
import { DUE_LANES } from "./claim.ts";
import { openPostgresLedger } from "./ledger.ts";
import { migrations } from "./migrate.ts";
import { openSubject, TestSchema } from "./schema.test-kit.ts";

const DAY = 24 * 3_600_000;

describeWith("postgres", "a PostgreSQL ledger of several processes", (server) => {
  const two = async (schema: TestSchema): Promise<[Ledger & AsyncDisposable, Ledger & AsyncDisposable]> => [
    await openPostgresLedger(schema.url, systemRuntime),
    await openPostgresLedger(schema.url, systemRuntime),
  ];
  const [A, B] = [workerId("a"), workerId("b")];

  test("is made once by processes that start together", async () => {
    await using schema = new TestSchema(server);
    const opened = await Promise.all(Array.from({ length: 4 }, () => openPostgresLedger(schema.url, systemRuntime)));
    for (const ledger of opened) await ledger[Symbol.asyncDispose]();
    expect(await schema.ask("select version from ledger_form")).toHaveLength(migrations().length);
  });

  test("takes each message once from two processes that are sent the same, whoever begins the lane", async () => {
    await using schema = new TestSchema(server);
    const [first, second] = await two(schema);
    await using _ = first;
    await using __ = second;
    const tills = Array.from({ length: 20 }, (_each, i) => new Till(`t${i}`).write(10));
    // In opposite orders: without one order of locks the two would wait for each other in a ring.
    const group = (order: readonly Till[]) => order.map((till) => till.messages(1, till.last));
    for (let round = 0; round < 5; round++) {
      for (const till of tills) till.write(1);
      const answers = await Promise.all([
        first.lanes.append(group(tills)),
        second.lanes.append(group(tills.toReversed())),
        first.lanes.append(group(tills.toReversed())),
      ]);
      expect(answers.flat().filter((answer) => "refused" in answer)).toEqual([]);
    }
    for (const till of tills) {
      const pieces = await second.bytes.read(till.lane, seq(1), seq(till.last), 0, 1_000_000);
      expect(pieces.map(({ bytes }) => new TextDecoder().decode(bytes)).join("")).toBe(till.text(1, till.last));
    }
  });

  test("never leaves a message unseen that comes while its lane is settled", async () => {
    await using schema = new TestSchema(server);
    const [first, second] = await two(schema);
    await using _ = first;
    await using __ = second;
    const till = new Till("t1");
    for (let n = 1; n <= 40; n++) {
      till.write(2);
      await send(first, till.messages(2 * n - 1, 2 * n - 1));
      const claim = await claimOne(second);
      // The settlement says "nothing more to do" at the moment at which there is.
      const [words] = await Promise.all([
        second.work.settle([loaded(claim)]),
        send(first, till.messages(2 * n, 2 * n)),
      ]);
      expect(words).toEqual(["settled"]);
      expect(await second.work.nextDue()).toBe(0);
      await second.work.settle((await claimAll(second)).map((each) => loaded(each)));
    }
  });

  test("gives a seat to one, and to the next when it is left or has run out; the fence tells them apart", async () => {
    await using schema = new TestSchema(server);
    const [first, second] = await two(schema);
    await using _ = first;
    await using __ = second;
    const seat = await first.seats!.take("publisher", A, 60_000);
    expect(await second.seats!.take("publisher", B, 60_000)).toBeNull();
    expect(await first.seats!.take("publisher", A, 60_000)).toEqual(seat);
    await first.seats!.leave(seat!);
    const next = await second.seats!.take("publisher", B, 0);
    expect(next!.fence).toBeGreaterThan(seat!.fence);
    const third = await first.seats!.take("publisher", A, 60_000);
    const entry = {
      audience: "all",
      tx: "1",
      at: instant(1),
      origin: null,
      trace: null,
      changes: Buffer.from("[]"),
      count: 0,
    };
    const source = "central/E1" as LaneName;
    expect(await second.updates.forward(source, seq(0), seq(1), [entry], next!)).toBe(false);
    expect(await second.updates.head()).toBe(0);
    expect(await first.updates.forward(source, seq(0), seq(1), [entry], third!)).toBe(true);
    expect(await second.updates.forwarded(source)).toBe(1);
  });

  test("tells the others what came, and goes on telling after its connections were cut", async () => {
    await using schema = new TestSchema(server);
    const [first, second] = await two(schema);
    await using _ = first;
    await using __ = second;
    const heard: Signal[] = [];
    using ___ = second.signals!.on((signal) => heard.push(signal));
    const own: Signal[] = [];
    using ____ = first.signals!.on((signal) => own.push(signal));
    const hears = async (audience: string): Promise<void> =>
      void (await until(
        () => {
          first.signals!.send({ kind: "published", audiences: [audience] });
          return heard.some((signal) => signal.kind === "published" && signal.audiences?.includes(audience));
        },
        { what: audience },
      ));
    await hears("store:1");
    await schema.cut();
    await hears("store:2");
    second.signals!.send({ kind: "published", audiences: ["store:3"] });
    await until(() => own.some((signal) => signal.kind === "published" && signal.audiences?.[0] === "store:3"));
    const audiences = own.flatMap((signal) => (signal.kind === "published" ? (signal.audiences ?? []) : []));
    expect(audiences, "and hears nothing of its own").toEqual(["store:3"]);
  });

  test("stops a process at its next transaction when a newer form is not safe for it, and its start too", async () => {
    await using schema = new TestSchema(server);
    await using ledger = await openPostgresLedger(schema.url, systemRuntime);
    const add = (version: number, safeFor: number) =>
      schema.ask("insert into ledger_form (version, safe_for, name) values ($1, $2, 'later')", version, safeFor);
    await add(90, 1);
    await ledger.trail.note("seen", null, SYSTEM, "a newer form that is safe");
    await add(91, 91);
    const newer = { code: "SCHEMA_NEWER", facts: { found: 91, known: migrations().length } };
    await expect(ledger.trail.note("seen", null, SYSTEM, "")).rejects.toMatchObject(newer);
    await expect(openPostgresLedger(schema.url, systemRuntime)).rejects.toMatchObject(newer);
  });

  test("leaves another program's schema alone, and a reader makes none", async () => {
    await using schema = new TestSchema(server);
    await expect(openLedgerBytes(schema.url)).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
    await schema.ask(`create schema ${schema.name}`);
    await schema.ask("create table sale (id integer)");
    await expect(openPostgresLedger(schema.url, systemRuntime)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    expect(await schema.ask("select from pg_tables where schemaname = $1", schema.name)).toHaveLength(1);
  });

  test("retention drops whole weeks while a reader holds them up, and what stays of them moves aside", async () => {
    await using subject = await openSubject(server);
    const { ledger } = subject;
    const keep = { messagesMs: DAY, eventsMs: DAY, updatesMs: DAY, awayMs: DAY, historyMs: DAY };
    const pass = async (): Promise<number> => {
      let removed = 0;
      for (let next: number | null = 0; next !== null;) {
        const step: RetentionStep = await ledger.retention.step("messages", keep, next, 100);
        removed += step.removed;
        next = step.next;
      }
      return removed;
    };
    const till = new Till("t1").write(6);
    for (let n = 1; n <= 6; n++) await send(ledger, till.messages(n, n));
    await drain(ledger, (n) => (n === 2 ? { state: "dead" } : null));
    await pass();
    await subject.advance(9 * DAY);
    const { schema } = subject;
    const weeks = () =>
      schema.ask<{ n: number }>("select count(*)::int as n from pg_inherits where inhparent = 'run'::regclass");
    const [before] = await weeks();
    {
      await using _ = await schema.reading("run");
      expect(await pass(), "not while somebody reads: nobody is made to wait").toBe(0);
      expect(await send(ledger, till.write(1).messages(7, 7))).toMatchObject({ receivedThrough: 7 });
    }
    expect(await pass(), "6 is what the last request follows, 2 is dead").toBe(4);
    const [after] = await weeks();
    expect(after!.n).toBe(before!.n - 1);
    expect(
      (await schema.ask<{ n: number }>("select through_seq::int as n from run_rest order by 1")).map(({ n }) => n),
    ).toEqual([2, 6]);
  });

  test("finds due lanes at the start of their index, however many wait", async () => {
    await using schema = new TestSchema(server);
    await using ledger = await openPostgresLedger(schema.url, systemRuntime);
    await send(ledger, new Till("t1").write(1).messages(1, 1));
    await schema.ask(
      `with l as (insert into lane (terminal, epoch, ordinal, opened_at) select 'x' || n, 'E', 1, 0 from generate_series(1, 20000) n returning id),
            i as (insert into lane_in (lane, received_through, chain) select id, 50, decode(repeat('00', 32), 'hex') from l)
       insert into lane_out (lane, work_at) select id, 1 from l`,
    );
    await schema.ask("analyze lane_out");
    const plan = await schema.ask<{ "QUERY PLAN": unknown }>(
      `explain (analyze, format json) ${DUE_LANES.replace("$1", "10").replace("$2", "-1").replace("$3", "0").replace("$4", "5")}`,
    );
    const text = JSON.stringify(plan[0]!["QUERY PLAN"]);
    expect(text).toContain('"Index Name":"lane_due"');
    expect(text).not.toContain("Seq Scan");
    expect(text).not.toContain('"Sort"');
    expect(text).toMatch(/"Actual Rows":5\b/);
  });
});
