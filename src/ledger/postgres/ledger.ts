import type { Instant } from "../../base/clock.ts";
import type { LedgerBytes } from "../bytes.ts";
import type { Ledger, UpkeepFacts } from "../port.ts";
import { accessOn } from "./access.ts";
import { alertsOn } from "./alerts.ts";
import { ledgerAddress } from "./address.ts";
import { bulksOn } from "./bulk.ts";
import { bytesOn } from "./bytes.ts";
import { bringForward } from "./due.ts";
import { exceptionsOn } from "./exceptions.ts";
import { fleetOn } from "./fleet.ts";
import { historyOn } from "./history.ts";
import { lanesOn } from "./lanes.ts";
import { migrate, requireForm } from "./migrate.ts";
import { makePartitions } from "./partitions.ts";
import { seatsOn } from "./seats.ts";
import { Signals } from "./signals.ts";
import { Store, type LedgerParts } from "./store.ts";
import { reconcilesOn } from "./reconciles.ts";
import { restoresOn } from "./restores.ts";
import { retentionOn } from "./retention.ts";
import { pausesOn } from "./pauses.ts";
import { terminalsOn } from "./terminals.ts";
import { trailOn } from "./trail.ts";
import { upkeepOn } from "./upkeep.ts";
import { updatesOn } from "./updates.ts";
import { workOn } from "./work.ts";

/** Connections of one process: appends, claims, settlements, renewals and reads wait for the disk beside each other. */
const CONNECTIONS = 8;
const READER_CONNECTIONS = 2;
const PARTITIONS_EVERY_MS = 6 * 60 * 60 * 1000;

/**
 * Opens the ledger in the schema that the URL names, makes it or brings it to the newest form. Any number of processes may
 * hold it at once.
 * @throws SCHEMA_NEWER, CONFIG_INVALID (another program's schema), DATABASE_UNAVAILABLE.
 */
export async function openPostgresLedger(url: string, parts: LedgerParts): Promise<Ledger> {
  const address = ledgerAddress(url);
  const store = new Store(address, parts, CONNECTIONS);
  store.onSetBack = (tx) => bringForward(tx, store.setBack.leaseMs);
  try {
    await migrate(store);
    await store.read(async (tx) => {
      const last = await tx.get<{ at: Instant }>("select at from event order by id desc limit 1");
      store.setBack.opened(tx.now(), last?.at ?? null);
    });
  } catch (thrown) {
    await store.close();
    throw thrown;
  }
  // What fails now is tried again in hours; partitions are made weeks before they are needed.
  const partitions = parts.timers.every(
    PARTITIONS_EVERY_MS,
    () => makePartitions(store),
    () => undefined,
  );
  const signals = new Signals(store, parts);
  return {
    lanes: lanesOn(store),
    work: workOn(store),
    bytes: bytesOn(store),
    exceptions: exceptionsOn(store),
    bulks: bulksOn(store),
    updates: updatesOn(store),
    terminals: terminalsOn(store),
    trail: trailOn(store),
    pauses: pausesOn(store),
    access: accessOn(store),
    history: historyOn(store),
    restores: restoresOn(store),
    alerts: alertsOn(store),
    retention: retentionOn(store),
    fleet: fleetOn(store),
    reconciles: reconcilesOn(store),
    seats: seatsOn(store),
    upkeep: upkeepOn(store),
    signals,
    [Symbol.asyncDispose]: async () => {
      partitions[Symbol.dispose]();
      await signals[Symbol.asyncDispose]();
      await store.close();
    },
  };
}

/** One look at the store of a ledger that hubs may be working on; makes and migrates nothing. */
export async function lookAtPostgres(url: string, parts: LedgerParts): Promise<UpkeepFacts> {
  const store = new Store(ledgerAddress(url), parts, 1);
  try {
    await requireForm(store);
    return await upkeepOn(store).look();
  } finally {
    await store.close();
  }
}

/** A reader of stored lines with connections of its own, for the loader's thread. The ledger must be open already. */
export async function openPostgresBytes(url: string, parts: LedgerParts): Promise<LedgerBytes> {
  const store = new Store(ledgerAddress(url), parts, READER_CONNECTIONS);
  try {
    await requireForm(store);
  } catch (thrown) {
    await store.close();
    throw thrown;
  }
  return { ...bytesOn(store), [Symbol.asyncDispose]: () => store.close() };
}
