import { expect, onTestFinished, test } from "vitest";
import { describeWith } from "../../../test/kit/needs.ts";
import { until } from "../../../test/kit/until.ts";
import { workerId } from "../../base/ids.ts";
import { systemRuntime } from "../../base/runtime.ts";
import type { Trouble } from "../../ledger/alerts.ts";
import { openPostgresLedger } from "../../ledger/postgres/ledger.ts";
import { TestSchema } from "../../ledger/postgres/schema.test-kit.ts";
import { silentLog } from "../../observe/log.ts";
import { alertsConfig, alertSettings } from "./config.ts";
import { webhookReceiver } from "./receivers.test-kit.ts";
import type { AlertSettings } from "./settings.ts";
import { AlertWatch } from "./watch.ts";

const SECRET = "a-secret-of-the-webhook";

describeWith("postgres", "several hubs over one ledger", (server) => {
  test(
    "all of them report, one tells, and when it ends another goes on where it was",
    { timeout: 60_000 },
    async () => {
      await using schema = new TestSchema(server);
      await using hook = await webhookReceiver(SECRET);
      const config = alertsConfig.parse({ webhooks: [{ name: "pager", url: hook.url, secret: SECRET }] });
      const made = alertSettings(config);
      const settings: AlertSettings = { ...made, everyMs: 50, policy: { ...made.policy, settleMs: 0 } };
      const away: Trouble = {
        rule: "breaker-open",
        subject: "central",
        what: "The centre is away.",
        count: null,
        facts: {},
      };
      let found: readonly Trouble[] = [];
      const hubs = await Promise.all(
        ["hub-1", "hub-2", "hub-3"].map(async (name) => {
          const ledger = await openPostgresLedger(schema.url, systemRuntime);
          const halt = new AbortController();
          const parts = { ledger, settings, runtime: systemRuntime, log: silentLog, own: [() => found], shared: {} };
          const ended = new AlertWatch({ ...parts, process: workerId(name) }).run(halt.signal);
          let closing: Promise<void> | null = null;
          const end = (): Promise<void> =>
            (closing ??= (async () => {
              halt.abort();
              await ended;
              await ledger[Symbol.asyncDispose]();
            })());
          onTestFinished(end);
          return { name, end };
        }),
      );
      const told = (): readonly string[] => hook.got.map(({ kind }) => kind);
      found = [away];
      await until(() => told().length > 0, { what: "it is told" });
      const holder = await schema.ask<{ held_by: string }>("select held_by from seat where name = 'alerts'");
      await hubs.find(({ name }) => name === holder[0]?.held_by)?.end();
      // What it said last stands for two minutes, so that a restart does not look like a recovery.
      await schema.ask("delete from alert_report where process = $1", holder[0]?.held_by);
      found = [];
      await until(() => told().includes("cleared"), { what: "the recovery is told by another", timeoutMs: 40_000 });
      const next = await schema.ask<{ held_by: string }>("select held_by from seat where name = 'alerts'");
      expect(next[0]?.held_by).not.toBe(holder[0]?.held_by);
      for (const { end } of hubs) await end();
      expect(told()).toEqual(["raised", "cleared"]);
      expect(new Set(hook.got.map(({ key }) => key)).size).toBe(2);
    },
  );
});
