import { parentPort, workerData } from "node:worker_threads";
import { DatabaseSync } from "node:sqlite";

/**
 * A till at work, for a worker thread with a connection of its own: one sale after another under BEGIN IMMEDIATE, until it is
 * told to stop. It asks for the lock every millisecond instead of using SQLite's growing waits, so that what it measures is how
 * long others held it. In the end it tells what it sold and how long it had to wait at worst.
 */
export type Takings = {
  readonly sales: number;
  readonly longestWaitMs: number;
  /** Waits above 100 ms. */
  readonly longWaits: number;
  /** Errors other than "the lock is taken": BUSY_SNAPSHOT among them. */
  readonly errors: readonly string[];
};

const SQLITE_BUSY = 5;
const pause = new Int32Array(new SharedArrayBuffer(4));
const wait = (ms: number): void => void Atomics.wait(pause, 0, 0, ms);

/** A longer time between two looks is the machine's, which did not let the till look: nobody knows whether the lock was free. */
const LOOK_MS = 10;

/** Gives the milliseconds for which the lock was seen to be held by others. */
function beginImmediate(db: DatabaseSync): number {
  let waitedMs = 0;
  for (let looked = performance.now(); ;) {
    try {
      db.exec("begin immediate");
      return waitedMs;
    } catch (thrown) {
      const busy = thrown instanceof Error && "errcode" in thrown && thrown.errcode === SQLITE_BUSY;
      if (!busy) throw thrown;
    }
    wait(1);
    const now = performance.now();
    waitedMs += Math.min(now - looked, LOOK_MS);
    looked = now;
  }
}

function sell(path: string, stopped: () => boolean): Takings {
  const db = new DatabaseSync(path, { timeout: 0 });
  db.exec("pragma synchronous = normal");
  const sale = db.prepare("insert into sale (id, total) values (?, ?)");
  const priceOf = db.prepare("select price from price where sku = ?");
  const errors: string[] = [];
  let sales = 0;
  let longestWaitMs = 0;
  let longWaits = 0;
  while (!stopped()) {
    try {
      const waited = beginImmediate(db);
      longestWaitMs = Math.max(longestWaitMs, waited);
      if (waited > 100) longWaits += 1;
      sale.run(`S-${sales + 1}`, String(priceOf.get(`sku-${sales % 1_000}`)?.["price"]));
      db.exec("commit");
      sales += 1;
    } catch (thrown) {
      if (db.isTransaction) db.exec("rollback");
      errors.push(thrown instanceof Error ? thrown.message : String(thrown));
      if (errors.length > 20) break;
    }
    wait(4);
  }
  db.close();
  return { sales, longestWaitMs, longWaits, errors };
}

const { path, stop } = workerData as { path: string; stop: SharedArrayBuffer };
const flag = new Int32Array(stop);
parentPort?.postMessage(sell(path, () => Atomics.load(flag, 0) === 1));
