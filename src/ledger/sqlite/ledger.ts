import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { holdLock } from "../../base/lock.ts";
import type { LedgerBytes } from "../bytes.ts";
import type { Ledger } from "../port.ts";
import { accessOn } from "./access.ts";
import { alertsOn } from "./alerts.ts";
import { bulksOn } from "./bulk.ts";
import { bytesOn } from "./bytes.ts";
import { bringForward } from "./due.ts";
import { exceptionsOn } from "./exceptions.ts";
import { fleetOn } from "./fleet.ts";
import { historyOn } from "./history.ts";
import { lanesOn } from "./lanes.ts";
import { migrate, requireForm } from "./migrate.ts";
import { connect, Store, type LedgerParts } from "./store.ts";
import { reconcilesOn } from "./reconciles.ts";
import { restoresOn } from "./restores.ts";
import { retentionOn } from "./retention.ts";
import { pausesOn } from "./pauses.ts";
import { terminalsOn } from "./terminals.ts";
import { trailOn } from "./trail.ts";
import { updatesOn } from "./updates.ts";
import { workOn } from "./work.ts";

/** For simulations: a ledger that lives and dies with its connection. */
export const IN_MEMORY = ":memory:";

/**
 * Opens the ledger in the file, makes it or brings it to the newest form, and is its only holder until disposed. Works on the
 * caller's thread; see `openLedger` for one on a thread of its own.
 * @throws ALREADY_RUNNING, SCHEMA_NEWER, CONFIG_INVALID (another program's database), DATABASE_UNAVAILABLE.
 */
export async function openSqliteLedger(path: string, parts: LedgerParts): Promise<Ledger> {
  const lock = path === IN_MEMORY ? null : lockFile(path);
  let store: Store | null = null;
  try {
    store = new Store(connect(path, { readOnly: false }), parts);
    migrate(store);
    endLeases(store);
    const last = store.get<{ at: Instant }>("select at from event order by id desc limit 1");
    store.setBack.opened(store.now(), last?.at ?? null);
  } catch (thrown) {
    store?.close();
    lock?.[Symbol.dispose]();
    throw thrown;
  }
  const opened = store;
  opened.onSetBack = (now) => bringForward(opened, now);
  return {
    lanes: lanesOn(opened),
    work: workOn(opened),
    bytes: bytesOn(opened),
    exceptions: exceptionsOn(opened),
    bulks: bulksOn(opened),
    updates: updatesOn(opened),
    terminals: terminalsOn(opened),
    trail: trailOn(opened),
    pauses: pausesOn(opened),
    access: accessOn(opened),
    history: historyOn(opened),
    restores: restoresOn(opened),
    alerts: alertsOn(opened),
    retention: retentionOn(opened),
    fleet: fleetOn(opened),
    reconciles: reconcilesOn(opened),
    [Symbol.asyncDispose]: async () => {
      opened.close();
      lock?.[Symbol.dispose]();
    },
  };
}

/** The first start makes the folder too: `sqlite:./data/ledger.db` needs no preparation. */
function lockFile(path: string): Disposable {
  try {
    mkdirSync(dirname(path), { recursive: true });
  } catch (thrown) {
    throw new WaybillError("DATABASE_UNAVAILABLE", `the ledger's folder cannot be made for ${path}`, { cause: thrown });
  }
  return holdLock(path, "the ledger");
}

/** Only one process holds a ledger, so every lease found at the start is of a process that is gone: overdue at once. */
function endLeases(store: Store): void {
  store.write(() => {
    store.run("update lane_out set leased_until = ?1, work_at = ?1 where leased_until > ?1", store.now());
  });
}

/** A reader of stored lines with a connection of its own, for the loader's thread. The ledger must be open already. */
export async function openSqliteBytes(path: string, parts: LedgerParts): Promise<LedgerBytes> {
  const store = new Store(connect(path, { readOnly: true }), parts);
  try {
    requireForm(store);
  } catch (thrown) {
    store.close();
    throw thrown;
  }
  return { ...bytesOn(store), [Symbol.asyncDispose]: async () => store.close() };
}
