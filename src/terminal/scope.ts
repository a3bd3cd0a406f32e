import { z } from "zod";
import { WaybillError } from "../base/errors.ts";
import type { CapturePlan, Database } from "../database/port.ts";
import type { Log } from "../observe/log.ts";
import { manifest, type Manifest } from "../wire/manifest.ts";
import type { TerminalConfig } from "./config.ts";
import type { HubClient } from "./hub-client.ts";
import type { Station } from "./station.ts";

/** The hub's manifest as last heard, kept so that the agent works from its start while the hub is away. */
const kept = z.object({ manifest, etag: z.string().nullable() });
const FACT = "manifest";

/** What the hub asks for and this terminal's own list allows. */
export type Scope = {
  readonly up: readonly string[];
  readonly down: ReadonlySet<string>;
  readonly limits: Manifest["limits"];
};

export function scopeOf({ tables, limits }: Manifest, allowed: TerminalConfig["tables"]): Scope {
  const mine = tables.filter(({ name }) => allowed === "all" || allowed.includes(name));
  return {
    up: mine.filter(({ direction }) => direction !== "down").map(({ name }) => name),
    down: new Set(mine.filter(({ direction }) => direction !== "up").map(({ name }) => name)),
    limits,
  };
}

export type ScopeParts = {
  readonly station: Station;
  readonly client: HubClient;
  readonly log: Log;
  readonly config: Pick<TerminalConfig, "tables" | "quietGapMs">;
};

/** Keeps this terminal's triggers in step with what the hub asks for, within what the terminal allows. */
export class ScopeKeeper {
  readonly #parts: ScopeParts;
  #etag: string | null = null;
  #scope: Scope | null = null;
  #missing = false;

  constructor(parts: ScopeParts) {
    this.#parts = parts;
  }

  /** Null until a manifest is known. */
  get scope(): Scope | null {
    return this.#scope;
  }

  /** Takes over the manifest of the last run, if there is one. */
  async recall(): Promise<void> {
    const { station } = this.#parts;
    const text = await station.use((database) => database.capture.recall(FACT));
    const read = text === null ? null : kept.safeParse(JSON.parse(text));
    // Written by another version: the hub is asked for it again.
    if (read?.success) await this.#adopt(read.data.manifest, read.data.etag);
  }

  /** Asks the hub. */
  async refresh(): Promise<void> {
    const { client, station, log } = this.#parts;
    const answer = await client.manifest(this.#etag);
    if (answer === null) return;
    await this.#adopt(answer.manifest, answer.etag);
    await station.use((database) => database.capture.remember(FACT, JSON.stringify(answer)));
    log.info({ tables: answer.manifest.tables.length, audiences: answer.manifest.audiences }, "terminal.manifest");
  }

  async #adopt(heard: Manifest, etag: string | null): Promise<void> {
    const { station, log, config } = this.#parts;
    const scope = scopeOf(heard, config.tables);
    const plan: CapturePlan = { role: "terminal", tables: scope.up, quietGapMs: config.quietGapMs };
    const report = await station.use(async (database) => {
      await database.load.install();
      return database.capture.install(plan);
    });
    for (const { table, why } of report.refused) log.warn({ table, why }, "terminal.table-refused");
    this.#scope = scope;
    this.#etag = etag;
  }

  /**
   * Puts tables into the lane as they are that have not been in this epoch: rows from before the capture, and all rows
   * after a restore. A table that is not here yet is looked for again at the next call. Crash: the rest is found again.
   */
  async resyncOwed(): Promise<void> {
    const { station, log } = this.#parts;
    const { epoch } = station.marks;
    if (this.#scope === null || epoch === null) return;
    this.#missing = false;
    for (const table of this.#scope.up) {
      const found = await station.use((database) => beginResync(database, table, epoch));
      if (found === "begun") log.info({ table }, "resync.started");
      if (found === "not here") this.#missing = true;
    }
  }

  /** Looks for the tables that were not here the last time; costs nothing when all were. @returns true when it looked */
  async resyncMissing(): Promise<boolean> {
    if (!this.#missing) return false;
    await this.resyncOwed();
    return true;
  }
}

/** Holds the epoch in which the table was last put into the lane as a whole. */
const resyncFact = (table: string): string => `resync:${table}`;

async function beginResync(
  { capture }: Database,
  table: string,
  epoch: string,
): Promise<"begun" | "not owed" | "not here"> {
  if ((await capture.recall(resyncFact(table))) === epoch) return "not owed";
  try {
    await capture.resync(table, null);
  } catch (thrown) {
    if (thrown instanceof WaybillError && thrown.code === "TABLE_UNKNOWN") return "not here"; // said when the manifest was taken over
    throw thrown;
  }
  await capture.remember(resyncFact(table), epoch);
  return "begun";
}
