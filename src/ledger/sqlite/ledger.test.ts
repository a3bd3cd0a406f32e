import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { instant, later, type Instant } from "../../base/clock.ts";
import type { LaneName } from "../../base/ids.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { accessContract } from "../contract/access.contract.ts";
import { alertsContract } from "../contract/alerts.contract.ts";
import { deskContract } from "../contract/desk.contract.ts";
import { exceptionsContract } from "../contract/exceptions.contract.ts";
import { fleetContract } from "../contract/fleet.contract.ts";
import { historyContract } from "../contract/history.contract.ts";
import { lanesContract } from "../contract/lanes.contract.ts";
import { pausesContract } from "../contract/pauses.contract.ts";
import { requestsContract } from "../contract/requests.contract.ts";
import { reconcilesContract } from "../contract/reconciles.contract.ts";
import { restoresContract } from "../contract/restores.contract.ts";
import { retentionContract } from "../contract/retention.contract.ts";
import { sequencesContract } from "../contract/sequences.contract.ts";
import { terminalsContract } from "../contract/terminals.contract.ts";
import { trailContract } from "../contract/trail.contract.ts";
import { updatesContract } from "../contract/updates.contract.ts";
import { adoptContract } from "../contract/adopt.contract.ts";
import { workContract } from "../contract/work.contract.ts";
import type { StateRange, Subject } from "../contract/subject.ts";
import { openSqliteLedger } from "./ledger.ts";
import { connect } from "./store.ts";

async function open(): Promise<Subject> {
  const folder = mkdtempSync(join(tmpdir(), "waybill-ledger-"));
  let now: Instant = instant(1_000_000_000_000);
  let elapsed = 0;
  const parts = { random: systemRuntime.random, clock: { now: () => now, elapsed: () => elapsed } };
  const start = () => openSqliteLedger(join(folder, "ledger.db"), parts);
  let ledger = await start();
  return {
    get ledger() {
      return ledger;
    },
    advance: async (ms) => {
      now = later(now, ms);
      elapsed += ms;
    },
    setBack: async (ms) => {
      now = later(now, -ms);
    },
    restart: async () => {
      await ledger[Symbol.asyncDispose]();
      ledger = await start();
    },
    ranges: async (lane) => readRanges(join(folder, "ledger.db"), lane),
    [Symbol.asyncDispose]: async () => {
      await ledger[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

function readRanges(path: string, lane: LaneName): StateRange[] {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    const rows = db
      .prepare(
        `select s.from_seq as "from", s.through_seq as through, s.state
         from message_state s join lane l on l.id = s.lane where l.terminal || '/' || l.epoch = ? order by 1`,
      )
      .all(lane);
    return rows as StateRange[];
  } finally {
    db.close();
  }
}

test("I2: a commit is on the disk before it is told", () => {
  const folder = mkdtempSync(join(tmpdir(), "waybill-ledger-"));
  const db = connect(join(folder, "ledger.db"), { readOnly: false });
  expect(db.prepare("pragma synchronous").get()).toEqual({ synchronous: 2 }); // full
  db.close();
  rmSync(folder, { recursive: true });
});

lanesContract("SQLite", open);
workContract("SQLite", open);
adoptContract("SQLite", open);
exceptionsContract("SQLite", open);
deskContract("SQLite", open);
updatesContract("SQLite", open);
terminalsContract("SQLite", open);
trailContract("SQLite", open);
pausesContract("SQLite", open);
accessContract("SQLite", open);
historyContract("SQLite", open);
requestsContract("SQLite", open);
reconcilesContract("SQLite", open);
fleetContract("SQLite", open);
restoresContract("SQLite", open);
alertsContract("SQLite", open);
retentionContract("SQLite", open);
sequencesContract("SQLite", open);
