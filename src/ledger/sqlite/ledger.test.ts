import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { later, instant, type Instant } from "../../base/clock.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { exceptionsContract } from "../contract/exceptions.contract.ts";
import { lanesContract } from "../contract/lanes.contract.ts";
import { trailContract } from "../contract/trail.contract.ts";
import { terminalsContract } from "../contract/terminals.contract.ts";
import { updatesContract } from "../contract/updates.contract.ts";
import { workContract } from "../contract/work.contract.ts";
import type { Subject } from "../contract/subject.ts";
import { openSqliteLedger } from "./ledger.ts";

async function open(): Promise<Subject> {
  const folder = mkdtempSync(join(tmpdir(), "waybill-ledger-"));
  let now: Instant = instant(1_000_000_000_000);
  const parts = { random: systemRuntime.random, clock: { now: () => now, elapsed: () => now } };
  const start = () => openSqliteLedger(join(folder, "ledger.db"), parts);
  let ledger = await start();
  return {
    get ledger() {
      return ledger;
    },
    advance: async (ms) => {
      now = later(now, ms);
    },
    restart: async () => {
      await ledger[Symbol.asyncDispose]();
      ledger = await start();
    },
    [Symbol.asyncDispose]: async () => {
      await ledger[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

lanesContract("SQLite", open);
workContract("SQLite", open);
exceptionsContract("SQLite", open);
updatesContract("SQLite", open);
terminalsContract("SQLite", open);
trailContract("SQLite", open);
