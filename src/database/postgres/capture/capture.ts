import { WaybillError } from "../../../base/errors.ts";
import { seq } from "../../../base/ids.ts";
import type { Random } from "../../../base/runtime.ts";
import { CHAIN_START } from "../../../message/chain.ts";
import type { Capture, CaptureState, PackOutcome } from "../../port.ts";
import { LOAD, SNAPSHOT, type Connection } from "../connection.ts";
import { readCursor } from "../cursor.ts";
import { hasOurs, type Catalog } from "../describe.ts";
import { momentOf } from "../values.ts";
import { Installer } from "./install.ts";
import { Outgoing } from "./outgoing.ts";
import { Packer, WAITS } from "./pack.ts";
import { requestResync, resendRows, resyncs, stepResync } from "./resync.ts";
import { chainAfter, readLines, readPosition } from "./store.ts";
import { hasTables, makeTables } from "./tables.ts";

/** The capturing half of the adapter. */
export function postgresCapture(connection: Connection, catalog: Catalog, random: Random): Capture {
  const installer = new Installer(connection, catalog);
  const packer = new Packer(connection, random);
  const outgoing = new Outgoing(connection);
  const watch = new Watch(connection);
  /** The schema whose triggers were last found sound. */
  let soundSchema: string | null = null;
  let isInstalled = false;

  const mend = async (): Promise<readonly string[]> => {
    const { version } = await catalog.now();
    if (version === soundSchema) return [];
    const remade = await installer.mend();
    soundSchema = version; // as it was before: what came since, our own mending too, is looked at once more
    return remade;
  };
  const isThere = async (): Promise<boolean> => {
    isInstalled ||= await hasTables(connection);
    return isInstalled;
  };
  const installed = async (): Promise<void> => {
    if (!(await isThere())) throw new WaybillError("STATE_CONFLICT", "capture is not installed in this database");
  };

  return {
    install: async (plan) => {
      soundSchema = null;
      return installer.install(plan);
    },
    remove: async (options) => {
      isInstalled = false;
      await installer.remove(options);
    },
    switch: async (state) => {
      await installed();
      await installer.switch(state);
    },
    changed: async () => (await isThere()) && watch.changed(),
    pack: async (limits): Promise<PackOutcome> => {
      await installed();
      const remade = await mend();
      const packed = await packer.run(limits, outgoing.withMarks);
      const { epoch, packedThrough, receivedThrough } = outgoing.withMarks(await readPosition(connection));
      return {
        epoch,
        packedThrough,
        receivedThrough,
        packedMessages: packed.messages,
        packedChanges: packed.changes,
        more: packed.more,
        remade,
      };
    },
    lines: async (after, limitBytes) => {
      await installed();
      return readLines(connection, await readPosition(connection), after, limitBytes);
    },
    acknowledge: async (marks) => outgoing.acknowledge(marks),
    flush: async (kept) => {
      await installed();
      await outgoing.flush(kept);
    },
    beginEpoch: async (epoch, from) => {
      await installed();
      return outgoing.beginEpoch(epoch, from);
    },
    resync: async (table, aim) => {
      await installed();
      await requestResync(connection, catalog, table, aim);
    },
    resyncStep: async (pageRows) => {
      await installed();
      return stepResync(connection, catalog, pageRows);
    },
    resend: async (table, keys, aim) => {
      await installed();
      return resendRows(connection, catalog, table, keys, aim);
    },
    rewind: async (receivedThrough) => {
      await installed();
      await outgoing.rewind(receivedThrough);
    },
    state: async () => connection.transaction(SNAPSHOT, () => readState(connection, outgoing)),
    remember: async (name, value) => remember(connection, [[name, value]]),
    recall: async (name) => (await recall(connection, [name])).get(name) ?? null,
    rememberAll: async (facts) => remember(connection, facts),
    recallAll: async (names) => recall(connection, names),
  };
}

async function remember(connection: Connection, facts: readonly (readonly [string, string])[]): Promise<void> {
  const known = await recall(
    connection,
    facts.map(([name]) => name),
  );
  const news = new Map(facts.filter(([name, value]) => known.get(name) !== value));
  if (news.size === 0) return; // never writes when there is nothing to write
  const present = await hasTables(connection);
  await connection.transaction(LOAD, async () => {
    if (!present) await makeTables(connection);
    await connection.run(
      `insert into public.waybill_fact (name, value) select * from unnest($1::text[], $2::text[])
       on conflict (name) do update set value = excluded.value`,
      [...news.keys()],
      [...news.values()],
    );
  });
}

async function recall(connection: Connection, names: readonly string[]): Promise<Map<string, string>> {
  const facts = new Map<string, string>();
  if (names.length === 0 || !(await hasOurs(connection, "waybill_fact"))) return facts;
  const rows = await connection.query("select name, value from public.waybill_fact where name = any ($1)", names);
  for (const [name, value] of rows) if (typeof name === "string" && typeof value === "string") facts.set(name, value);
  return facts;
}

async function readState(connection: Connection, outgoing: Outgoing): Promise<CaptureState> {
  const cursor = await readCursor(connection, await hasOurs(connection, "waybill_cursor"));
  if (!(await hasTables(connection))) return { ...NOT_INSTALLED, cursor };
  const position = outgoing.withMarks(await readPosition(connection));
  const { epoch, packedThrough, chain, receivedThrough, loadedThrough, droppedThrough, droppedChain } = position;
  const [[rows, at] = []] = await connection.query("select count(*), min(at) from public.waybill_outbox");
  return {
    epoch,
    packedThrough,
    chain,
    receivedThrough,
    loadedThrough,
    // The other side may have been restored to before what is kept here: what can be sent then begins at `oldest`.
    receivedChain:
      receivedThrough < droppedThrough ? droppedChain : await chainAfter(connection, position, receivedThrough),
    oldest: seq(droppedThrough + 1),
    outboxRows: Number(rows),
    oldestAt: at ? momentOf(at) : null,
    cursor,
    resyncing: await resyncs(connection),
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

/** Tells whether anything was committed that concerns us: rows in the outbox, or a trigger that is gone or new. */
class Watch {
  readonly #connection: Connection;
  #seen = "";
  #triggers = "";

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async changed(): Promise<boolean> {
    // The snapshot's text moves with every transaction on the server: rows that were there already are not told twice.
    const [[waits, snapshot, triggers] = []] = await this.#connection.query(
      `select ${WAITS}, pg_current_snapshot()::text,
         (select concat(count(*), '/', sum(t.oid::bigint)) from pg_trigger t where t.tgname = '!waybill_row')`,
    );
    const changed = (waits === "t" && snapshot !== this.#seen) || triggers !== this.#triggers;
    this.#seen = snapshot ?? "";
    this.#triggers = triggers ?? "";
    return changed;
  }
}
