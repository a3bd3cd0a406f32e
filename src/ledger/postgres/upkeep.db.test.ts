import { Client } from "pg";
import { expect, test } from "vitest";
import { describeWith } from "../../../test/kit/needs.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { lookAtStore } from "../open.ts";
import { openPostgresLedger } from "./ledger.ts";
import { TestSchema } from "./schema.test-kit.ts";

describeWith("postgres", "how the ledger's store is", (server) => {
  test("a transaction held open is found, with whose it is, and gone when it has ended", async () => {
    await using schema = new TestSchema(server);
    await using _ = await openPostgresLedger(schema.url, systemRuntime);
    const holder = new Client({ connectionString: server, application_name: `holder ${schema.name}` });
    await holder.connect();
    await holder.query("begin isolation level repeatable read; select 1 from pg_class limit 1");
    // Other suites work on the same server: only a transaction as old as ours is older than theirs.
    await expect
      .poll(async () => (await lookAtStore(schema.url))?.oldestSnapshot, { timeout: 10_000 })
      .toMatchObject({
        by: expect.stringContaining(`holder ${schema.name}`) as unknown,
        seconds: expect.any(Number) as unknown,
      });
    await holder.query("rollback");
    await holder.end();
    const after = (await lookAtStore(schema.url))?.oldestSnapshot;
    expect(after?.by ?? "").not.toContain(schema.name);
  });

  test("partitions reach weeks ahead; rows that came outside of them are told", async () => {
    await using schema = new TestSchema(server);
    await using _ = await openPostgresLedger(schema.url, systemRuntime);
    const facts = await lookAtStore(schema.url);
    expect(facts?.partitionsEndInSeconds).toBeGreaterThan(4 * 7 * 86_400 - 60);
    expect(facts?.rowsOutsidePartitions).toBe(false);
    expect(facts?.replicationLagSeconds).toBeNull();
    await schema.ask(
      `insert into event (at, lane, from_seq, through_seq, span, kind, actor, detail) values (1, null, 0, 0, 0, 'old', 'me', '')`,
    );
    expect((await lookAtStore(schema.url))?.rowsOutsidePartitions).toBe(true);
  });

  test("dead rows of hot tables are counted as the server counts them", async () => {
    await using schema = new TestSchema(server);
    await using ledger = await openPostgresLedger(schema.url, systemRuntime);
    await schema.ask("alter table update_head set (autovacuum_enabled = off)");
    for (let n = 0; n < 30; n++) await schema.ask("update update_head set gone_through = 0");
    await expect
      .poll(async () => (await ledger.upkeep?.look())?.deadRows.find(({ table }) => table === "update_head")?.dead, {
        timeout: 15_000,
      })
      .toBeGreaterThan(10);
  });
});
