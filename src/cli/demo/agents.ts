import { join } from "node:path";
import { systemRuntime } from "../../base/runtime.ts";
import { Stop } from "../../base/stop.ts";
import { createLog } from "../../observe/log.ts";
import { readTerminalConfig } from "../../terminal/config.ts";
import { startTerminal } from "../../terminal/terminal.ts";
import { VERSION } from "../version.ts";
import { tellParent } from "./parent.ts";
import { shopAt, tillPath } from "./shop.ts";

/** Some of the demo's agents, ten to a process so that a chain of fifty fits a laptop; in a real one each runs beside its till. */
export type AgentsOrder = {
  readonly folder: string;
  readonly hub: string;
  /** Enrolment tokens by terminal; only for those that have no key yet. */
  readonly tokens: Readonly<Record<string, string>>;
  /** The shops from this one (from 0), so many. */
  readonly first: number;
  readonly shops: number;
};

async function run(order: AgentsOrder): Promise<void> {
  const log = createLog({ level: "error", form: "auto" });
  const stop = new Stop();
  process.once("disconnect", () => {
    void stop.end((what, thrown) => log.error({ what, error: thrown }, "close.failed")).then(() => process.exit(0));
  });
  const start = async (index: number): Promise<void> => {
    const shop = shopAt(index);
    const token = order.tokens[shop.terminal];
    const config = readTerminalConfig({
      hub: order.hub,
      terminal: shop.terminal,
      database: `sqlite:${tillPath(order.folder, shop.terminal)}`,
      state: join(order.folder, `${shop.terminal}.agent`),
      ...(token === undefined ? {} : { token }),
    });
    await startTerminal({
      config,
      runtime: systemRuntime,
      log: log.child({ terminal: shop.terminal }),
      stop,
      version: VERSION,
    });
  };
  await Promise.all(Array.from({ length: order.shops }, (_, i) => start(order.first + i)));
  tellParent({ started: order.shops });
}

process.on("SIGINT", () => undefined);
process.once("message", (order) => void run(order as AgentsOrder));
