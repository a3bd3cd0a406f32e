import type { Command } from "commander";
import { systemRuntime } from "../../base/runtime.ts";
import { openDatabase } from "../../database/open.ts";
import type { Database } from "../../database/port.ts";
import type { GlobalOptions } from "../options.ts";
import type { Output } from "../print.ts";

type CaptureOptions = GlobalOptions & { readonly database: string; readonly lose?: boolean };

export function addCapture(program: Command, output: Output): void {
  const capture = program
    .command("capture")
    .description("take Waybill's triggers off a database for a migration, put them back, or remove everything")
    .addHelpText(
      "after",
      "\nExample, around an application's migration:\n  waybill capture off --database sqlite:/srv/till/till.db\n  …migrate…\n  waybill capture on --database sqlite:/srv/till/till.db",
    );
  const say = (command: Command, did: string): void => {
    const options = command.optsWithGlobals<CaptureOptions>();
    output.out(options.json ? JSON.stringify({ done: command.name() }) : did);
  };
  const on = (name: string, meaning: string): Command =>
    capture.command(name).description(meaning).requiredOption("--database <url>", 'such as "sqlite:/srv/till/till.db"');

  on("off", "take the triggers off; changes made until `on` are found by comparing tables").action(
    async (_: unknown, command: Command) => {
      await using database = await openHere(command.optsWithGlobals<CaptureOptions>().database);
      await database.capture.switch("off");
      say(command, "Triggers are off. Put them back with `waybill capture on` as soon as the migration is done.");
    },
  );
  on("on", "put the triggers back and send the tables as they are now").action(async (_: unknown, command: Command) => {
    await using database = await openHere(command.optsWithGlobals<CaptureOptions>().database);
    await database.capture.switch("on");
    say(command, "Triggers are back; the agent sends the tables as they are now.");
  });
  on("remove", "remove triggers and tables of Waybill from the database")
    .option("--lose", "also when changes wait that nobody has received yet")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<CaptureOptions>();
      await using database = await openHere(options.database);
      await database.capture.remove({ lose: options.lose === true });
      say(command, "Nothing of Waybill is left in the database.");
    });
}

const openHere = (url: string): Promise<Database> => openDatabase(url, { random: systemRuntime.random });
