import type { Runtime } from "../base/runtime.ts";
import { openDatabase } from "../database/open.ts";
import { openLedgerBytes } from "../ledger/open.ts";
import { recordsBy } from "../observe/tracing.ts";
import { createLoader } from "../load/loader.ts";
import type { Central } from "./central.ts";
import { CentralStation } from "./central-station.ts";
import type { HubSettings } from "./settings.ts";

/** The central station over the databases of the settings, with connections of its own. @throws DATABASE_UNAVAILABLE */
export async function openCentral(settings: HubSettings, runtime: Pick<Runtime, "clock" | "random">): Promise<Central> {
  const database = await openDatabase(settings.centralUrl, { random: runtime.random });
  try {
    const bytes = await openLedgerBytes(settings.ledgerUrl);
    const loader = createLoader({
      database,
      bytes,
      rules: settings.rules,
      clock: runtime.clock,
      random: runtime.random,
      ...(settings.tracing?.url === undefined ? {} : { records: recordsBy(settings.tracing.ratio) }),
    });
    return new CentralStation({ database, bytes, loader, settings, runtime });
  } catch (thrown) {
    await database[Symbol.asyncDispose]();
    throw thrown;
  }
}
