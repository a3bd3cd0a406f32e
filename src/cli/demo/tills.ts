import { systemRuntime } from "../../base/runtime.ts";
import { isoOf } from "../../base/clock.ts";
import { tellParent } from "./parent.ts";
import { shopAt, tillPath } from "./shop.ts";
import { Till } from "./till.ts";

/** The demo's shops ring up sales in a process of their own, as the tills of a chain do. Told by its parent over IPC; ends with it. */
export type TillsOrder = {
  readonly folder: string;
  readonly shops: number;
  readonly salesPerSecond: number;
  readonly mistakes: boolean;
};
export type TillsReport = { readonly sales: number; readonly rows: number };

const MISTAKE_EVERY_MS = 20_000;
const VOID_AFTER_MS = 4_000;
const TICK_MS = 20;

function run(order: TillsOrder): void {
  const { clock, timers, random } = systemRuntime;
  const tills = Array.from({ length: order.shops }, (_, i) => {
    const shop = shopAt(i);
    return new Till(
      tillPath(order.folder, shop.terminal),
      shop,
      () => random.next(),
      () => isoOf(clock.now()),
    );
  });
  let sales = 0;
  let rows = 0;
  let owed = 0;
  let last = clock.elapsed();
  let mistakeAt = last + MISTAKE_EVERY_MS / 4;
  let voidAt = Number.POSITIVE_INFINITY;
  const clumsy = tills[Math.min(2, tills.length - 1)];

  const ring = timers.every(
    TICK_MS,
    () => {
      const now = clock.elapsed();
      // Behind by more than a second (the machine slept): do not catch up in one burst.
      owed = Math.min(owed + ((now - last) / 1000) * order.salesPerSecond, order.salesPerSecond);
      last = now;
      for (; owed >= 1; owed--) {
        rows += tills[Math.floor(random.next() * tills.length)]?.sell() ?? 0;
        sales++;
      }
      if (order.mistakes && now >= mistakeAt) {
        clumsy?.sellNothing();
        mistakeAt = now + MISTAKE_EVERY_MS;
        voidAt = now + VOID_AFTER_MS;
      }
      if (now >= voidAt) {
        clumsy?.voidMistake();
        voidAt = Number.POSITIVE_INFINITY;
      }
    },
    (thrown) => {
      process.stderr.write(`the demo's tills: ${String(thrown)}\n`);
    },
  );
  const report = timers.every(
    500,
    () => {
      tellParent({ sales, rows } satisfies TillsReport);
    },
    () => process.exit(0),
  );
  process.on("disconnect", () => {
    ring[Symbol.dispose]();
    report[Symbol.dispose]();
    for (const till of tills) till.close();
    process.exit(0);
  });
}

// Ctrl-C reaches the whole process group; the parent decides when the shops close.
process.on("SIGINT", () => undefined);
process.once("message", (order) => run(order as TillsOrder));
