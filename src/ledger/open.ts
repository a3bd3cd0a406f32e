import { systemClock } from "../base/clock.ts";
import { WaybillError } from "../base/errors.ts";
import { systemRuntime, type Runtime } from "../base/runtime.ts";
import { startThread, threadModule } from "../base/thread.ts";
import type { LedgerBytes } from "./bytes.ts";
import type { Ledger, UpkeepFacts } from "./port.ts";
import { IN_MEMORY, openSqliteBytes, openSqliteLedger } from "./sqlite/ledger.ts";
import type { HostedLedger, LedgerThreadData } from "./sqlite/thread.ts";

/** A ledger together with the fate of its thread. */
export type OpenedLedger = Ledger & {
  /** Resolves when the ledger is no more: null when it was closed, else why its thread ended. Then the process should end. */
  readonly ended: Promise<Error | null>;
};

/**
 * Opens the ledger that the URL names. A SQLite ledger lives on a thread of its own, so that its disk waits never hold up the
 * caller's; with a clock other than the system's (a simulation) it works on the caller's thread, since that clock cannot
 * cross. A PostgreSQL ledger waits for the network only, and may be open in any number of processes.
 * @param url `sqlite:` and a path, or `postgres://host/database?schema=waybill_ledger&listen=off`; see `ledgerAddress`
 * @throws ALREADY_RUNNING (SQLite), SCHEMA_NEWER, CONFIG_INVALID, DATABASE_UNAVAILABLE.
 */
export async function openLedger(url: string, runtime: Runtime): Promise<OpenedLedger> {
  if (isPostgres(url)) {
    const { openPostgresLedger } = await import("./postgres/ledger.ts"); // its driver is loaded only where it is used
    return inThread(await openPostgresLedger(url, runtime));
  }
  const path = ledgerPath(url);
  if (runtime.clock !== systemClock || path === IN_MEMORY) return inThread(await openSqliteLedger(path, runtime));
  const data: LedgerThreadData = { path };
  const thread = startThread<HostedLedger>("ledger", threadModule(import.meta.url, "sqlite/thread"), data);
  const { lanes, work, bytes, exceptions, bulks, updates, terminals, trail, access, history, restores } = thread.remote;
  const { alerts, retention, pauses, reconciles, fleet } = thread.remote;
  try {
    await thread.remote.opened();
  } catch (thrown) {
    await thread.stop();
    throw thrown;
  }
  let closing: Promise<void> | null = null;
  const close = async (): Promise<void> => {
    try {
      await thread.remote.close();
    } finally {
      await thread.stop();
    }
  };
  return {
    lanes,
    work,
    bytes: { read: bytes.read, open: bytes.open, [Symbol.asyncDispose]: async () => {} },
    exceptions,
    bulks,
    updates,
    terminals,
    trail,
    access,
    history,
    restores,
    reconciles,
    fleet,
    alerts,
    retention,
    pauses,
    ended: thread.ended,
    [Symbol.asyncDispose]: () => (closing ??= close()),
  };
}

function inThread(ledger: Ledger): OpenedLedger {
  const { promise: ended, resolve } = Promise.withResolvers<null>();
  const dispose = async (): Promise<void> => {
    await ledger[Symbol.asyncDispose]();
    resolve(null);
  };
  return { ...ledger, ended, [Symbol.asyncDispose]: dispose };
}

/** A reader of stored lines for another thread. Open the ledger first: a reader makes and migrates nothing. */
export async function openLedgerBytes(url: string): Promise<LedgerBytes> {
  if (!isPostgres(url)) return openSqliteBytes(ledgerPath(url), systemRuntime);
  const { openPostgresBytes } = await import("./postgres/ledger.ts");
  return openPostgresBytes(url, systemRuntime);
}

/** How the ledger's store is, for a person who looks while hubs work on it; null where there is nothing to look at (SQLite). */
export async function lookAtStore(url: string): Promise<UpkeepFacts | null> {
  if (!isPostgres(url)) return null;
  const { lookAtPostgres } = await import("./postgres/ledger.ts");
  return lookAtPostgres(url, systemRuntime);
}

const isPostgres = (url: string): boolean => /^postgres(ql)?:\/\//.test(url);

function ledgerPath(url: string): string {
  if (!url.startsWith("sqlite:") || url === "sqlite:") {
    throw new WaybillError("CONFIG_INVALID", "ledger must be sqlite: and a path, or postgres://host/database");
  }
  return url.slice("sqlite:".length);
}
