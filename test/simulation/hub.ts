import { DatabaseSync } from "node:sqlite";
import type { Database } from "../../src/database/port.ts";
import { Connection } from "../../src/database/sqlite/connection.ts";
import { sqliteDatabase } from "../../src/database/sqlite/open.ts";
import { createHubApi, type HubApi } from "../../src/hub/api/api.ts";
import { UpdateSignal } from "../../src/hub/api/update-signal.ts";
import { CentralStation } from "../../src/hub/central-station.ts";
import { Engine } from "../../src/hub/engine.ts";
import type { HubSettings } from "../../src/hub/settings.ts";
import type { LedgerBytes } from "../../src/ledger/bytes.ts";
import type { Ledger } from "../../src/ledger/port.ts";
import { openSqliteBytes, openSqliteLedger } from "../../src/ledger/sqlite/ledger.ts";
import { createLoader } from "../../src/load/loader.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import type { CallFaults, Life } from "./life.ts";
import type { LedgerParts } from "./shared-ledger.ts";
import type { Server } from "./network.ts";
import { tellTime } from "./time.ts";

export type HubFaults = { readonly ledger: CallFaults; readonly central: CallFaults };

/** One life of the hub: the real parts, put together as `startHub` does it, without threads and sockets. */
export class HubProcess implements Server {
  readonly life: Life;
  /** Untouched by faults, for whoever looks from outside. */
  readonly ledger: Ledger;
  readonly bytes: LedgerBytes;
  readonly engine: Engine;
  readonly #api: HubApi;
  readonly #database: Database;
  /** It answers requests: the engine has started. */
  open = false;

  private constructor(
    life: Life,
    raw: { ledger: Ledger; bytes: LedgerBytes; database: Database },
    settings: HubSettings,
    faults: HubFaults,
  ) {
    this.life = life;
    this.ledger = raw.ledger;
    this.bytes = raw.bytes;
    this.#database = raw.database;
    const { runtime, log } = life;
    const ledger = life.mortal(raw.ledger, faults.ledger);
    const bytes = life.mortal(raw.bytes, faults.ledger, "bytes");
    const database = life.mortal(raw.database, faults.central, "central");
    const metrics = new Metrics();
    const { clock, random } = runtime;
    const loader = createLoader({ database, bytes, rules: settings.rules, clock, random });
    const central = new CentralStation({ database, bytes, loader, settings, runtime });
    const updates = new UpdateSignal();
    const onPublished = (audiences: readonly string[]): void => updates.ring(audiences);
    this.engine = new Engine({ ledger, central, settings, runtime, log, metrics, onPublished });
    this.#api = createHubApi({
      ledger,
      settings,
      runtime,
      log,
      metrics,
      updates,
      capacity: async () => ({ backlogBytes: 0, freeDiskBytes: Number.MAX_SAFE_INTEGER }),
      compared: () => this.engine.compared(),
      wake: {
        received: () => this.engine.received(),
        enrolled: (terminal) => void this.engine.enrolled(terminal),
      },
    });
  }

  static async boot(
    paths: { readonly ledger: string; readonly central: string },
    settings: HubSettings,
    life: Life,
    faults: HubFaults,
    given: LedgerParts | null,
  ): Promise<HubProcess> {
    const ledger = given?.ledger ?? (await openSqliteLedger(paths.ledger, life.runtime));
    const bytes = given?.bytes ?? (await openSqliteBytes(paths.ledger, life.runtime));
    const connection = new Connection(paths.central, { busyMs: 0 });
    tellTime(connection.db, life.runtime.clock);
    return new HubProcess(
      life,
      { ledger, bytes, database: sqliteDatabase(connection, life.runtime) },
      settings,
      faults,
    );
  }

  /** @throws what ends a hub's start for good */
  async start(): Promise<void> {
    await this.engine.start(new AbortController().signal);
    this.open = true;
  }

  handle(...call: Parameters<HubApi["handle"]>): ReturnType<HubApi["handle"]> {
    return this.#api.handle(...call);
  }

  /** The process is gone: its open transactions are rolled back, its locks let go, and none of its code goes on. */
  async kill(): Promise<void> {
    this.life.kill();
    this.open = false;
    for (const each of [this.#database, this.bytes, this.ledger]) await each[Symbol.asyncDispose]();
  }
}

export const reader = (path: string): DatabaseSync => new DatabaseSync(path, { readOnly: true, timeout: 0 });
