import type { Command } from "commander";
import { systemRuntime } from "../../base/runtime.ts";
import { createLog, type LogLevel } from "../../observe/log.ts";
import { serveConsole } from "../../console/console.ts";
import { startHub } from "../../hub/hub.ts";
import { HUB_ROLES, readRoles } from "../../hub/roles.ts";
import { configSource, type GlobalOptions } from "../options.ts";
import type { Output } from "../print.ts";
import { untilStopped } from "../process.ts";

type HubCommandOptions = GlobalOptions & {
  readonly port?: string;
  readonly host?: string;
  readonly roles?: string;
  readonly log: LogLevel;
};

export function addHub(program: Command, output: Output): void {
  program
    .command("hub")
    .description("run the hub: take messages in, load them, publish updates")
    .option("--host <address>", "address to listen on, instead of the config's")
    .option("--port <n>", "port to listen on, instead of the config's")
    .option(
      "--roles <list>",
      `what this process does, of ${HUB_ROLES.join(",")}; several hubs share a PostgreSQL ledger`,
    )
    .option("--log <level>", "debug, info, warn or error", "info")
    .addHelpText(
      "after",
      "\nSIGTERM and Ctrl-C stop in order: no new requests, running batches finish, leases are given back.\nKilling it loses nothing either. Example:\n  waybill hub --config waybill.config.ts",
    )
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<HubCommandOptions>();
      const source = configSource(options);
      const log = createLog({ level: options.log, form: options.json ? "json" : "auto" });
      const { stop, ended } = untilStopped(log);
      const overrides = {
        ...source.overrides,
        ...(options.port === undefined ? {} : { port: Number(options.port) }),
        ...(options.host === undefined ? {} : { host: options.host }),
      };
      const hub = await startHub({
        source: { path: source.path, overrides },
        runtime: systemRuntime,
        log,
        stop,
        ...(options.roles === undefined ? {} : { roles: readRoles(options.roles) }),
        browser: serveConsole,
      });
      output.out(
        options.json ? JSON.stringify({ address: hub.address }) : `The hub answers at ${hub.address}. Ctrl-C stops it.`,
      );
      // Before there is an operator there is nothing to protect, and somebody must be able to begin. Later the hub's own screen
      // is proof enough; a log file would be read by others, too.
      const isNew = await hub.isNew();
      if (options.json && isNew) log.info({ link: await hub.signInLink("setup") }, "setup.offered");
      else if (!options.json && isNew)
        output.out(`Nobody can sign in yet. Make the first operator here: ${await hub.signInLink("setup")}`);
      else if (!options.json && process.stdout.isTTY)
        output.out(`The console, signed in once: ${await hub.signInLink()}`);
      await ended;
    });
}
