import { DatabaseSync } from "node:sqlite";
import { Client } from "pg";
import { instant, type Instant } from "../../src/base/clock.ts";
import { epoch, seq, terminalId, workerId, type Seq } from "../../src/base/ids.ts";
import { systemRuntime } from "../../src/base/runtime.ts";
import type { Ledger, LaneOutcome, Submission } from "../../src/ledger/port.ts";
import type { Keep } from "../../src/ledger/retention.ts";
import { ledgerAddress } from "../../src/ledger/postgres/address.ts";
import { openPostgresLedger } from "../../src/ledger/postgres/ledger.ts";
import { makePartitions } from "../../src/ledger/postgres/partitions.ts";
import { Store } from "../../src/ledger/postgres/store.ts";
import { openSqliteLedger } from "../../src/ledger/sqlite/ledger.ts";
import { CHAIN_START, chainNext } from "../../src/message/chain.ts";
import { setsAsText } from "../../src/ledger/key-sets.ts";

export const DAY_MS = 24 * 3_600_000;
export const KEEP: Keep = {
  messagesMs: 90 * DAY_MS,
  eventsMs: 400 * DAY_MS,
  updatesMs: 90 * DAY_MS,
  awayMs: 400 * DAY_MS,
  historyMs: 400 * DAY_MS,
};
/** Messages of one request; a run each, as a till sends that sells. */
export const PER_REQUEST = 25;
/** How far back the ledger reaches. */
const DAYS = 120;
/** Requests of a terminal between two loads. */
const ROUNDS_A_LOAD = 5;
const GROUP = 256;

export type Size = { readonly terminals: number; readonly messages: number };
export const nameOf = (terminal: number): string => `till-${String(terminal).padStart(5, "0")}`;
export const storeOf = (terminal: number): string => String(Math.floor(terminal / 5)).padStart(4, "0");

/** A terminal that sends the same sales in every run; its receipts are numbered from 1, as each store does. */
export class Sender {
  readonly terminal: string;
  readonly #searched: number;
  #after = 0;
  #chain: Uint8Array = CHAIN_START;

  /** @param searched so many values of each message are searchable */
  constructor(terminal: string, searched = 1) {
    this.terminal = terminal;
    this.#searched = searched;
  }

  next(count: number, at: number): Submission {
    const [after, first] = [this.#after, this.#chain];
    const texts: Buffer[] = [];
    const chains = new Uint8Array(32 * count);
    const time = new Date(at).toISOString();
    let end = 0;
    const lines = Array.from({ length: count }, (_, i) => {
      const n = after + i + 1;
      const id = `${this.terminal}-${n}`;
      const text = Buffer.from(
        `{"seq":${n},"at":"${time}","changes":[{"table":"sale","op":"insert","key":{"sale_id":"${id}"},"row":{"sale_id":"${id}","receipt":"${n}","store_id":"${this.terminal}","sold_at":"${time}","cashier":"cashier ${n % 4}","total":"${10 + (n % 90)}.50"}}]}\n`,
      );
      this.#chain = chainNext(this.#chain, text.subarray(0, -1));
      chains.set(this.#chain, 32 * i);
      end += text.byteLength;
      texts.push(text);
      const search = Array.from({ length: this.#searched }, (__, k) => (k === 0 ? String(n) : `${id}/${k}`));
      return { seq: seq(n), part: 0, more: false, end, at: instant(at), changes: 1, search };
    });
    this.#after += count;
    return {
      ...{ terminal: terminalId(this.terminal), epoch: epoch("e1"), after: seq(after), part: 0, chain: first },
      ...{ oldest: null, body: Uint8Array.from(Buffer.concat(texts)), lines, chains },
    };
  }
}

/** A ledger whose clock stands where it is put. */
type Stage = AsyncDisposable & {
  readonly ledger: Ledger;
  at(now: number): Promise<void>;
  /** All terminals at once: through the port each would be two commits. */
  enrol(terminals: number): Promise<void>;
};

/** The index of searchable values is made at the end, in one sweep. Gives what makes it. */
function aside(path: string): () => void {
  const run = (sql: string): void => {
    using file = new DatabaseSync(path, { timeout: 10_000 });
    file.exec(sql);
  };
  run("drop index message_key_value");
  return () => run(SEARCH_INDEX);
}
const SEARCH_INDEX = "create unique index message_key_value on message_key (value, terminal, lane, seq)";

async function stageOf(url: string, begins: number): Promise<Stage> {
  if (url.startsWith("sqlite:")) {
    let now: Instant = instant(begins);
    const parts = { random: systemRuntime.random, clock: { now: () => now, elapsed: () => now } };
    const ledger = await openSqliteLedger(url.slice("sqlite:".length), parts);
    const at = async (time: number): Promise<void> => void (now = instant(time));
    const enrol = async (terminals: number): Promise<void> => {
      using file = new DatabaseSync(url.slice("sqlite:".length), { timeout: 10_000 });
      file.exec(`with n (i) as (select 1 union all select i + 1 from n where i < ${terminals})
        insert into terminal (id, tags, state, key_hash, token_hash, enrolled_at, last_seen_at)
        select printf('till-%05d', i), json_object('store', printf('%04d', i / 5)), 'enrolled', cast(printf('key %028d', i) as blob),
               cast(printf('key %028d', i) as blob), ${begins}, ${Date.now()} from n`);
    };
    const index = aside(url.slice("sqlite:".length));
    return {
      ledger,
      at,
      enrol,
      [Symbol.asyncDispose]: async () => {
        await ledger[Symbol.asyncDispose]();
        index();
      },
    };
  }
  const address = ledgerAddress(url);
  const ledger = await openPostgresLedger(url, systemRuntime);
  const store = new Store(address, systemRuntime, 1);
  const admin = new Client({ connectionString: address.connection });
  await admin.connect();
  await admin.query(`set search_path = "${address.schema}"`);
  await admin.query("drop index message_key_value");
  const clock = (body: string): Promise<unknown> =>
    admin.query(`create or replace function ledger_now() returns bigint language sql volatile as '${body}'`);
  return {
    ledger,
    at: async (time) => {
      await clock(`select ${time}::bigint`);
      await makePartitions(store);
    },
    enrol: async (terminals) => {
      await admin.query(`insert into terminal (id, tags, state, key_hash, token_hash, enrolled_at, last_seen_at)
        select 'till-' || lpad(i::text, 5, '0'), jsonb_build_object('store', lpad((i / 5)::text, 4, '0')), 'enrolled',
               convert_to('key ' || lpad(i::text, 28, '0'), 'UTF8'), convert_to('key ' || lpad(i::text, 28, '0'), 'UTF8'), ${begins}, ${Date.now()}
        from generate_series(1, ${terminals}) i`);
    },
    [Symbol.asyncDispose]: async () => {
      await clock("select (extract(epoch from clock_timestamp()) * 1000)::bigint");
      await admin.query(SEARCH_INDEX);
      await admin.query("analyze");
      await admin.end();
      await store.close();
      await ledger[Symbol.asyncDispose]();
    },
  };
}

/** Makes the ledger through its own port, in one process: everything is as a hub would have made it, only sooner. */
export async function generate(url: string, size: Size, say: (text: string) => void): Promise<void> {
  const now = Date.now();
  const rounds = Math.ceil(size.messages / size.terminals / PER_REQUEST);
  const timeOf = (round: number): number => Math.floor(now - DAYS * DAY_MS * (1 - round / rounds));
  await using stage = await stageOf(url, timeOf(0));
  const { ledger } = stage;
  await stage.at(timeOf(0));
  await stage.enrol(size.terminals);
  const senders = Array.from({ length: size.terminals }, (_, i) => new Sender(nameOf(i + 1)));
  for (let round = 1; round <= rounds; round++) {
    const at = timeOf(round);
    await stage.at(at);
    for (let from = 0; from < senders.length; from += GROUP) {
      const answers = await ledger.lanes.append(
        senders.slice(from, from + GROUP).map((each) => each.next(PER_REQUEST, at)),
      );
      const refused = answers.find((answer) => "refused" in answer);
      if (refused) throw new Error(JSON.stringify(refused));
    }
    if (round % ROUNDS_A_LOAD === 0 || round === rounds) {
      await load(ledger);
      await ledger.retention.step("messages", KEEP, 0, 1); // as a pass would, notes how far the lanes are
    }
    say(`${round} of ${rounds} rounds`);
  }
}

/** Loads all there is, but for one message of every second lane, which ends dead. */
async function load(ledger: Ledger): Promise<void> {
  for (;;) {
    const claims = await ledger.work.claim(workerId("bench"), { lanes: 500, messages: 10_000, bytes: 1 << 30 }, 60_000);
    if (claims.length === 0) return;
    await ledger.work.settle(
      claims.map(({ lane, fence, through, version }, i): LaneOutcome => ({
        ...{ lane, fence, loadedThrough: through, version: version + 1, closed: [], events: [], lagMs: 40 },
        exceptions: i % 2 === 0 ? [] : [dead(through)],
      })),
    );
  }
}
const FAULTS = ["NULL_REFUSED", "PARENT_MISSING", "UNIQUE_VIOLATED", "CHECK_VIOLATED"] as const;
const dead = (n: Seq): LaneOutcome["exceptions"][number] => ({
  ...{ seq: n, state: "dead", attempts: 1, retryInMs: null, behind: null, route: null, tables: ["sale"] },
  fault: FAULTS[n % FAULTS.length] ?? "NULL_REFUSED",
  detail: `sale ${n}: the centre refused a row`,
  sets: setsAsText({ writes: [`sale ${n}`], adds: [], creates: [], deletes: [], parents: [] }),
});
