import { systemClock, type Clock } from "../../../base/clock.ts";
import { WaybillError } from "../../../base/errors.ts";
import { seq } from "../../../base/ids.ts";
import { systemTimers, type Random, type Timers } from "../../../base/runtime.ts";
import { CHAIN_START } from "../../../message/chain.ts";
import type { Capture, CaptureState, PackOutcome } from "../../port.ts";
import type { Connection } from "../connection.ts";
import { readCursor } from "../cursor.ts";
import { schemaVersion, type Catalog } from "../describe.ts";
import { isoOfJulian } from "./encode.ts";
import { Installer } from "./install.ts";
import { Outgoing } from "./outgoing.ts";
import { Packer } from "./pack.ts";
import { requestResync, resendRows, resyncs, stepResync } from "./resync.ts";
import { chainAfter, readLines, readPlan, readPosition } from "./store.ts";
import { hasTables, makeTables } from "./tables.ts";

/** The capturing half of the adapter. `pace` is for the pauses between steps; the simulation brings its own. */
export function sqliteCapture(
  connection: Connection,
  catalog: Catalog,
  random: Random,
  pace: { readonly clock: Clock; readonly timers: Timers } = { clock: systemClock, timers: systemTimers },
): Capture {
  const installer = new Installer(connection, catalog);
  const packer = new Packer(connection, { ...pace, random });
  const outgoing = new Outgoing(connection, pace);
  const watch = new Watch(connection);
  /** The schema whose triggers were last found sound. */
  let soundSchema = -1;

  const mend = (): readonly string[] => {
    const seen = schemaVersion(connection);
    if (seen === soundSchema) return [];
    const remade = installer.mend();
    soundSchema = seen; // as it was before: what came since, our own mending too, is looked at once more
    return remade;
  };
  const installed = (): void => {
    if (!hasTables(connection))
      throw new WaybillError("STATE_CONFLICT", `${connection.path}: capture is not installed`);
  };

  return {
    install: async (plan) => installer.install(plan),
    remove: async (options) => installer.remove(options),
    switch: async (state) => {
      installed();
      installer.switch(state);
    },
    changed: async () => watch.changed(),
    pack: async (limits): Promise<PackOutcome> => {
      installed();
      return watch.ownWork(async () => {
        const remade = mend();
        const quietGapMs = readPlan(connection)?.quietGapMs ?? Number.POSITIVE_INFINITY;
        const packed = await packer.run(limits, quietGapMs, outgoing.withMarks);
        const { epoch, packedThrough, receivedThrough } = outgoing.withMarks(readPosition(connection));
        return {
          epoch,
          packedThrough,
          receivedThrough,
          packedMessages: packed.messages,
          packedChanges: packed.changes,
          more: packed.more,
          remade,
        };
      });
    },
    lines: async (after, limitBytes) => {
      installed();
      return connection.snapshot(() => readLines(connection, readPosition(connection), after, limitBytes));
    },
    acknowledge: async (marks) => outgoing.acknowledge(marks),
    flush: async (kept) => {
      installed();
      await watch.ownWork(() => outgoing.flush(kept));
    },
    beginEpoch: async (epoch, from) => {
      installed();
      return outgoing.beginEpoch(epoch, from);
    },
    resync: async (table, aim) => {
      installed();
      requestResync(connection, catalog, table, aim);
    },
    resyncStep: async (pageRows) => {
      installed();
      return stepResync(connection, catalog, pageRows);
    },
    resend: async (table, keys, aim) => {
      installed();
      return resendRows(connection, catalog, table, keys, aim);
    },
    rewind: async (receivedThrough) => {
      installed();
      outgoing.rewind(receivedThrough);
    },
    state: async () => connection.snapshot(() => readState(connection, catalog, outgoing)),
    remember: async (name, value) => remember(connection, [[name, value]]),
    recall: async (name) => recall(connection, [name]).get(name) ?? null,
    rememberAll: async (facts) => remember(connection, facts),
    recallAll: async (names) => recall(connection, names),
  };
}

function remember(connection: Connection, facts: readonly (readonly [string, string])[]): void {
  const known = recall(
    connection,
    facts.map(([name]) => name),
  );
  const news = facts.filter(([name, value]) => known.get(name) !== value);
  if (news.length === 0) return; // never writes when there is nothing to write
  connection.immediate(() => {
    makeTables(connection);
    const statement = connection.statement("insert or replace into waybill_fact (name, value) values (?, ?)");
    for (const fact of news) statement.run(...fact);
  });
}

function recall(connection: Connection, names: readonly string[]): Map<string, string> {
  const facts = new Map<string, string>();
  if (names.length === 0 || !hasTables(connection)) return facts;
  const statement = connection.statement("select f.value from waybill_fact as f where f.name = ?");
  for (const name of names) {
    const value = statement.get(name)?.["value"];
    if (typeof value === "string") facts.set(name, value);
  }
  return facts;
}

function readState(connection: Connection, catalog: Catalog, outgoing: Outgoing): CaptureState {
  const cursor = readCursor(connection, catalog.has("waybill_cursor"));
  if (!hasTables(connection)) return { ...NOT_INSTALLED, cursor };
  const position = outgoing.withMarks(readPosition(connection));
  const { epoch, packedThrough, chain, receivedThrough, loadedThrough, droppedThrough, droppedChain } = position;
  const outbox = connection
    .statement(
      "select count(*) as n, (select o.at from waybill_outbox as o order by o.id limit 1) as at from waybill_outbox",
    )
    .get();
  return {
    epoch,
    packedThrough,
    chain,
    receivedThrough,
    loadedThrough,
    // The other side may have been restored to before what is kept here: what can be sent then begins at `oldest`.
    receivedChain: receivedThrough < droppedThrough ? droppedChain : chainAfter(connection, position, receivedThrough),
    oldest: seq(droppedThrough + 1),
    outboxRows: Number(outbox?.["n"] ?? 0),
    oldestAt: typeof outbox?.["at"] === "number" ? isoOfJulian(outbox["at"]) : null,
    cursor,
    resyncing: resyncs(connection),
  };
}

const NOT_INSTALLED: Omit<CaptureState, "cursor"> = {
  epoch: null,
  packedThrough: seq(0),
  chain: CHAIN_START,
  receivedThrough: seq(0),
  loadedThrough: seq(0),
  receivedChain: CHAIN_START,
  oldest: seq(1),
  outboxRows: 0,
  oldestAt: null,
  resyncing: [],
};

/** Tells whether anything was committed: by another connection (SQLite counts that), or by this one outside of capture. */
class Watch {
  readonly #connection: Connection;
  #version = -1;
  #total = -1;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  changed(): boolean {
    const version = Number(this.#connection.statement("pragma main.data_version").get()?.["data_version"]);
    const total = this.#own();
    const changed = version !== this.#version || total !== this.#total;
    this.#version = version;
    this.#total = total;
    return changed;
  }

  /** What `work` writes itself is nothing new. */
  async ownWork<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#own();
    try {
      return await work();
    } finally {
      this.#total += this.#own() - before;
    }
  }

  #own(): number {
    return Number(this.#connection.statement("select total_changes() as n").get()?.["n"]);
  }
}
