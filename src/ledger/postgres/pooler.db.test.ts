import { afterAll, beforeAll, expect, test } from "vitest";
import { describeWith } from "../../../test/kit/needs.ts";
import { Pooler } from "../../../test/kit/pooler.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { requestsContract } from "../contract/requests.contract.ts";
import { claimAll, loaded, send, Till } from "../contract/till.ts";
import { openPostgresLedger } from "./ledger.ts";
import { openSubject, TestSchema } from "./schema.test-kit.ts";

describeWith("pgbouncer", "a PostgreSQL ledger behind a transaction pooler", (program) => {
  describeWith("postgres", "without LISTEN and without prepared statements", (server) => {
    let pooler: Pooler;
    beforeAll(async () => {
      pooler = await Pooler.start(program, server);
    });
    afterAll(async () => {
      await pooler[Symbol.asyncDispose]();
    });
    const door = (schema: TestSchema, listen = "off"): string => {
      const url = new URL(pooler.url);
      url.searchParams.set("schema", schema.name);
      url.searchParams.set("listen", listen);
      return url.href;
    };

    test("whose URL does not say so is told what to add", async () => {
      await using schema = new TestSchema(server);
      await using stack = new AsyncDisposableStack();
      const use = async (): Promise<void> => {
        const hub = stack.use(await openPostgresLedger(door(schema, "on"), systemRuntime));
        await send(hub, new Till("t1").write(1).messages(1, 1));
      };
      const outcomes = await Promise.allSettled([use(), use(), use(), use()]);
      expect(outcomes).toContainEqual({
        status: "rejected",
        reason: expect.objectContaining({
          code: "CONFIG_INVALID",
          message: expect.stringContaining("listen=off") as unknown,
        }) as unknown,
      });
    });

    test("three processes on two sessions store, load and settle everything once", async () => {
      await using schema = new TestSchema(server);
      await using stack = new AsyncDisposableStack();
      const hubs = await Promise.all(
        Array.from({ length: 3 }, async () => stack.use(await openPostgresLedger(door(schema), systemRuntime))),
      );
      const tills = Array.from({ length: 12 }, (_, i) => new Till(`t${i}`).write(20));
      await Promise.all(
        tills.map(async (till, i) => {
          const hub = hubs[i % hubs.length]!;
          for (let n = 1; n <= 20; n += 4) await send(hub, till.messages(n, n + 3));
        }),
      );
      const settled = await Promise.all(
        hubs.map(async (hub) => {
          let messages = 0;
          for (
            let claims = await claimAll(hub, { lanes: 2 });
            claims.length > 0;
            claims = await claimAll(hub, { lanes: 2 })
          ) {
            messages += claims.reduce((sum, { from, through }) => sum + through - from + 1, 0);
            const words = await hub.work.settle(claims.map((claim) => loaded(claim)));
            expect(new Set(words)).toEqual(new Set(["settled"]));
          }
          return messages;
        }),
      );
      expect(settled.reduce((sum, one) => sum + one, 0)).toBe(240);
      expect(await hubs[0]!.trail.overview()).toMatchObject({ received: 240, loaded: 240 });
    });

    requestsContract("PostgreSQL behind PgBouncer", () => openSubject(server, (schema) => door(schema)));
  });
});
