import { Client } from "pg";
import { expect, test } from "vitest";
import { describeWith } from "../../../test/kit/needs.ts";
import { until } from "../../../test/kit/until.ts";
import { instant } from "../../base/clock.ts";
import { actor, epoch, seq, terminalId, workerId, type LaneName } from "../../base/ids.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { claimOne, loaded, send, sendAny, Till } from "../contract/till.ts";
import type { Ledger } from "../port.ts";
import { ledgerAddress } from "./address.ts";
import { openPostgresLedger } from "./ledger.ts";
import { TestSchema } from "./schema.test-kit.ts";
import { Store } from "./store.ts";

/**
 * What two processes may do to each other within one transaction, held still at the moment that matters: the test itself is
 * the other process, with a transaction half done.
 */
class Other implements AsyncDisposable {
  readonly #client: Client;
  readonly #schema: string;

  private constructor(client: Client, schema: string) {
    this.#client = client;
    this.#schema = schema;
  }
  static async begin(server: string, { name }: TestSchema): Promise<Other> {
    const client = new Client({ connectionString: server });
    await client.connect();
    await client.query(`begin; set local search_path = "${name}"`);
    return new Other(client, name);
  }
  async do(sql: string): Promise<void> {
    await this.#client.query(sql);
  }
  /** Somebody of the ledger waits for what this transaction holds. */
  async isWaitedFor(): Promise<"waits"> {
    const waits = "select from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'";
    await until(async () => ((await this.#client.query(waits, [`waybill ${this.#schema}`])).rowCount ?? 0) > 0, {
      what: "a wait for the other process",
    });
    return "waits";
  }
  async commit(): Promise<void> {
    await this.#client.query("commit");
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end();
  }
}

const [A, B] = [workerId("a"), workerId("b")];
const entry = {
  audience: "all",
  tx: "1",
  at: instant(1),
  origin: null,
  trace: null,
  changes: Buffer.from("[]"),
  count: 0,
};

describeWith("postgres", "two processes at one PostgreSQL ledger, in the middle of each other", (server) => {
  const opened = async (work: (schema: TestSchema, ledger: Ledger) => Promise<void>): Promise<void> => {
    await using schema = new TestSchema(server);
    await using ledger = await openPostgresLedger(schema.url, systemRuntime);
    await work(schema, ledger);
  };

  test("a settlement that meets the next worker's claim is lost", () =>
    opened(async (schema, ledger) => {
      await send(ledger, new Till("t1").write(3).messages(1, 3));
      const claim = await claimOne(ledger);
      await using other = await Other.begin(server, schema);
      await other.do(
        "update lane_out set fence = fence + 1, leased_by = 'b', leased_until = work_at + 60000, work_at = work_at + 60000",
      );
      const settled = ledger.work.settle([loaded(claim)]);
      await other.isWaitedFor();
      await other.commit();
      expect(await settled).toEqual(["lost"]);
      expect(await schema.ask("select loaded_through::int as n, leased_by as by from lane_out")).toEqual([
        { n: 0, by: "b" },
      ]);
    }));

  test("an append that meets the opening of the next epoch finds its own ended", () =>
    opened(async (schema, ledger) => {
      const till = new Till("t1").write(2);
      await send(ledger, till.messages(1, 1));
      await using other = await Other.begin(server, schema);
      await other.do(`
        select from lane_in for update;
        update lane set ended_at = 1;
        insert into lane (terminal, epoch, ordinal, opened_at) values ('t1', 'E2', 2, 1);
        insert into lane_in (lane, chain) select id, decode(repeat('00', 32), 'hex') from lane where epoch = 'E2';
        insert into lane_out (lane) select id from lane where epoch = 'E2'`);
      const answer = sendAny(ledger, till.messages(2, 2));
      await other.isWaitedFor();
      await other.commit();
      expect(await answer).toMatchObject({ refused: "EPOCH_CLOSED", facts: { epoch: "E2" } });
    }));

  test("an epoch opened while the one before is sent to waits for what is being stored", () =>
    opened(async (schema, ledger) => {
      await send(ledger, new Till("t1").write(1).messages(1, 1));
      await using other = await Other.begin(server, schema);
      await other.do("select from lane_in for update"); // an append in the middle
      const opening = ledger.lanes.openEpoch(terminalId("t1"), epoch("E1"), "install-2", "restored");
      expect(await Promise.race([opening, other.isWaitedFor()])).toBe("waits");
      await other.commit();
      expect(await opening).toMatchObject({ epoch: expect.any(String) as unknown });
    }));

  test("a token that another process is using is used up", () =>
    opened(async (schema, ledger) => {
      const hash = (n: number): Uint8Array => new Uint8Array(32).fill(n);
      const by = actor("operator:anna");
      await ledger.terminals.createToken(hash(1), { terminal: null, tags: {}, validMs: 60_000, by });
      await using other = await Other.begin(server, schema);
      await other.do("update token set used_at = 1, used_by = 't9'");
      const enrolled = ledger.terminals
        .enroll(hash(1), terminalId("t1"), {}, hash(2))
        .catch((thrown: unknown) => thrown);
      await other.isWaitedFor();
      await other.commit();
      expect(await enrolled).toMatchObject({ code: "TOKEN_INVALID" });
      expect(await ledger.terminals.get(terminalId("t1"))).toBeNull();
    }));

  test("a seat cannot be taken while its holder forwards", () =>
    opened(async (schema, ledger) => {
      const seat = await ledger.seats!.take("publisher", A, 0);
      await using other = await Other.begin(server, schema);
      await other.do("lock table forwarded in access exclusive mode"); // the holder stands between its look and its write
      const forwarded = ledger.updates.forward("central/E1" as LaneName, seq(0), seq(1), [entry], seat!);
      await other.isWaitedFor();
      const taken = ledger.seats!.take("publisher", B, 60_000);
      const waiting = until(async () => {
        const [row] = await schema.ask<{ n: number }>(
          "select count(*)::int as n from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'",
          `waybill ${schema.name}`,
        );
        return row?.n === 2 && "waits";
      });
      expect(await Promise.race([taken, waiting])).toBe("waits");
      await other.commit();
      expect(await forwarded).toBe(true);
      expect((await taken)!.fence).toBeGreaterThan(seat!.fence);
      expect(await ledger.updates.forward("central/E1" as LaneName, seq(1), seq(2), [entry], seat!)).toBe(false);
    }));

  test("what is read together is of one moment", () =>
    opened(async (schema, ledger) => {
      const store = new Store(ledgerAddress(schema.url), systemRuntime, 1);
      await using _ = { [Symbol.asyncDispose]: () => store.close() };
      const heads = await store.read(async (tx) => {
        const before = await tx.get("select id from update_head");
        await ledger.updates.publish([entry], actor("operator:anna"));
        return [before, await tx.get("select id from update_head")];
      });
      expect(heads[1]).toEqual(heads[0]);
      expect(await ledger.updates.head()).toBe(1);
    }));

  test("I2: a commit is on the disk before it is told, whatever the server's setting", () =>
    opened(async (schema) => {
      const url = new URL(schema.url);
      url.searchParams.set("options", "-c synchronous_commit=off");
      const store = new Store(ledgerAddress(url.href), systemRuntime, 1);
      await using _ = { [Symbol.asyncDispose]: () => store.close() };
      expect(await store.write((tx) => tx.get("select current_setting('synchronous_commit') as v"))).toEqual({
        v: "on",
      });
    }));
});
