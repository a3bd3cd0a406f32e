import { WaybillError, type FaultCode } from "../../base/errors.ts";
import type { Instant } from "../../base/clock.ts";
import {
  actor,
  seq,
  SYSTEM,
  termOf,
  updateId,
  updateIdOf,
  type Seq,
  type TerminalId,
  type UpdateId,
} from "../../base/ids.ts";
import { newUlid } from "../../base/runtime.ts";
import type { StoredUpdate, UpdateEntry, UpdateLog } from "../update-log.ts";
import { note } from "./events.ts";
import { currentLane } from "./lane-row.ts";
import { closeRefusals } from "./refusals.ts";
import { markRestored } from "./restores.ts";
import { isOf } from "../strands.ts";
import { isHeld } from "./seats.ts";
import { newestUpdates, reachOf } from "./spread.ts";
import type { Store } from "./store.ts";
import { beginStrand, leaveOut, strandsAt, toldStrands } from "./strands.ts";
import { storable, type Tx } from "./tx.ts";

export const updatesOn = (store: Store): UpdateLog => ({
  forward: (source, after, through, entries, seat) =>
    store.write(async (tx) => {
      // Whoever adds to the log holds its head until it has committed: ids become visible in their order.
      await lockHead(tx);
      if (seat && !(await isHeld(tx, seat))) return false;
      if ((await forwardedOf(tx, source)) !== after) return false;
      const ids = await add(tx, entries);
      await tx.run(
        "insert into forwarded (source, through) values ($1, $2) on conflict (source) do update set through = $2",
        source,
        through,
      );
      note(tx, "forwarded", SYSTEM, `${source} ${after + 1}–${through}${asText(ids)}`);
      return true;
    }),
  forwarded: (source) => store.read((tx) => forwardedOf(tx, source)),
  publish: (entries, by) =>
    store.write(async (tx) => {
      await lockHead(tx);
      const ids = await add(tx, entries);
      if (ids.length > 0) note(tx, "published", by, asText(ids).trim());
      return ids;
    }),
  read: (audiences, except, after, limitBytes, strand = null) =>
    store.read((tx) => read(tx, audiences, except, after, limitBytes, strand)),
  newest: (audience, limit, before) => store.read((tx) => newestUpdates(tx, audience, limit, before)),
  reach: (id, limit, after) => store.read((tx) => reachOf(tx, id, limit, after)),
  head: async () => (await store.read(headOf)).id,
  beginAgain: (terminal, after) => store.write((tx) => beginAgain(tx, terminal, after)),
  beginElsewhere: (terminal, after) => store.write((tx) => beginElsewhere(tx, terminal, after)),
  strands: () => store.read(toldStrands),
  beginTerm: (shown, why, lost = []) =>
    store.write(async (tx) => {
      await lockHead(tx);
      const { id } = await headOf(tx);
      if (shown <= id) return id;
      const begun = updateIdOf(termOf(shown) + 1, 0);
      await leaveOut(tx, id, lost);
      await tx.run("update update_head set id = $1", begun);
      note(tx, "term begun", SYSTEM, `after ${id}, since ${shown} was shown: ${why}`);
      return begun;
    }),
  attest: async (strand, seat) => {
    if (!seat) return; // another process could not tell how long it holds
    await store.write(async (tx) => {
      await lockHead(tx);
      if (!(await isHeld(tx, seat))) return;
      await beginStrand(tx, (await headOf(tx)).id, strand);
      await tx.run("update update_head set attested_seat = $1, attested_fence = $2", seat.name, seat.fence);
    });
  },
  attested: () =>
    store.read(async (tx) => {
      const holder = await tx.get(
        `select from update_head h join seat s on s.name = h.attested_seat and s.fence = h.attested_fence
         where s.held_until > $1`,
        tx.now(),
      );
      return holder !== undefined;
    }),
  acknowledge: (terminal, appliedThrough, refused) =>
    store.write((tx) => acknowledge(tx, terminal, appliedThrough, refused)),
  refusals: (terminal, limit) =>
    store.read((tx) =>
      tx.all<{ terminal: TerminalId; id: UpdateId; code: FaultCode; detail: string; at: Instant }>(
        `select terminal, update_id as id, code, detail, at from refusal
         where $1::text is null or terminal = $1 order by refusal.id desc limit $2`,
        terminal,
        limit,
      ),
    ),
});

async function forwardedOf(tx: Tx, source: string): Promise<Seq> {
  const row = await tx.get<{ through: Seq }>("select through from forwarded where source = $1", source);
  return row?.through ?? seq(0);
}

const lockHead = (tx: Tx): Promise<unknown> => tx.run("select from update_head for update");

type Head = { readonly id: UpdateId; readonly goneThrough: UpdateId };
async function headOf(tx: Tx): Promise<Head> {
  const head = await tx.get<Head>('select id, gone_through as "goneThrough" from update_head');
  if (!head) throw new WaybillError("INTERNAL", "the update log has no head");
  return head;
}

const asText = (ids: readonly UpdateId[]): string =>
  ids.length > 0 ? ` as updates ${ids[0]}–${ids.at(-1)}` : " for nobody";

/** The caller holds the head. The entries' changes travel as one value and are cut by the server. */
async function add(tx: Tx, entries: readonly UpdateEntry[]): Promise<UpdateId[]> {
  if (entries.length === 0) return [];
  const first = (await headOf(tx)).id + 1;
  let end = 0;
  await Promise.all([
    tx.run("update update_head set id = id + $1", entries.length),
    tx.run(
      `insert into update_entry (id, audience, tx, at, origin, trace, count, bytes, changes)
       select $1::bigint + e.place - 1, e.audience, e.tx, e.at, e.origin, e.trace, e.count, e.bytes,
              substring($10::bytea from (e.ends - e.bytes)::int + 1 for e.bytes::int)
       from unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[])
         with ordinality as e (audience, tx, at, origin, trace, count, bytes, ends, place)`,
      first,
      entries.map(({ audience }) => audience),
      entries.map((entry) => entry.tx),
      entries.map(({ at }) => at),
      entries.map(({ origin }) => origin),
      entries.map(({ trace }) => trace),
      entries.map(({ count }) => count),
      entries.map(({ changes }) => changes.byteLength),
      entries.map(({ changes }) => (end += changes.byteLength)),
      Buffer.concat(entries.map(({ changes }) => changes)),
    ),
  ]);
  return entries.map((_, at) => updateId(first + at));
}

type Candidate = { readonly id: UpdateId; readonly tx: string; readonly bytes: number };
/** How many entries of one audience are looked at for one page. */
const LOOK = 1_000;

/**
 * The head is read before the entries and nothing is written between, so `through` is true: every entry for the audiences
 * up to it is in this page or in one before.
 */
async function read(
  tx: Tx,
  audiences: readonly string[],
  except: TerminalId,
  given: UpdateId,
  limitBytes: number,
  strand: string | null,
): ReturnType<UpdateLog["read"]> {
  const head = await headOf(tx);
  const after = given < head.goneThrough && (await beganBehind(tx, except, head)) ? head.goneThrough : given;
  const facts = { oldest: head.goneThrough + 1, head: head.id };
  if (after < head.goneThrough || (after > head.id && strand === null)) {
    const what = `the update log has ${head.goneThrough + 1} to ${head.id}, not what comes after ${after}`;
    throw new WaybillError("CURSOR_GONE", what, { facts });
  }
  const place = await strandsAt(tx, after, strand);
  if (after > head.id || (after === given && strand !== null && !isOf(place, strand)))
    throw new WaybillError("CURSOR_GONE", `update ${after} of this log is not of ${strand}`, {
      facts: { ...facts, other: true },
    });
  const end = updateId(Math.min(head.id, (place.until ?? Number.MAX_SAFE_INTEGER) - 1)); // one strand at a time
  let complete: number = end; // every candidate up to here has been seen
  const found: Candidate[] = [];
  for (const audience of new Set(audiences)) {
    const rows = await tx.all<Candidate>(
      `select id, tx, bytes from update_entry
       where audience = $1 and id > $2 and (origin is null or origin <> $3) order by id limit $4`,
      audience,
      after,
      except,
      LOOK,
    );
    found.push(...rows);
    if (rows.length === LOOK) complete = Math.min(complete, rows.at(-1)?.id ?? complete);
  }
  const candidates = found.filter(({ id }) => id <= complete).toSorted((a, b) => a.id - b.id);
  const taken = candidates.slice(0, pageLength(candidates, limitBytes));
  const cut = taken.length < candidates.length;
  const through = updateId(cut ? (taken.at(-1)?.id ?? after) : complete);
  return {
    through,
    more: cut || complete < head.id,
    updates: await entriesOf(tx, taken),
    strand: through === after ? place.at : place.onward,
  };
}

/** What is not kept any more was before the terminal's time: it got it with the rows as they were. */
const beganBehind = async (tx: Tx, terminal: TerminalId, { goneThrough }: Head): Promise<boolean> =>
  (await tx.get("select from terminal where id = $1 and began_after >= $2", terminal, goneThrough)) !== undefined;

async function beginAgain(tx: Tx, terminal: TerminalId, after: UpdateId): Promise<boolean> {
  const head = await headOf(tx);
  if (after >= head.goneThrough) return false;
  const begun = "update terminal set began_after = $1 where id = $2 and began_after < $3";
  if ((await tx.run(begun, head.id, terminal, head.goneThrough)) === 0) return false;
  const why = `updates ${after + 1}–${head.goneThrough}, which it has not seen, are no longer kept`;
  const lane = await currentLane(tx, terminal);
  if (lane) await markRestored(tx, terminal, lane.id, why);
  note(tx, "began again", SYSTEM, `${terminal} goes on behind them: ${why}`, lane?.id);
  return true;
}

async function beginElsewhere(tx: Tx, terminal: TerminalId, after: UpdateId): ReturnType<UpdateLog["beginElsewhere"]> {
  const { id } = await headOf(tx);
  await tx.run(
    "update terminal set began_after = $1, rows_owed = $2 where id = $3",
    id,
    newUlid(tx.now(), tx.random),
    terminal,
  );
  const why = `it shows update ${after} of a history that neither this log nor the centre has`;
  const lane = await currentLane(tx, terminal);
  if (lane) await markRestored(tx, terminal, lane.id, why);
  note(tx, "began elsewhere", SYSTEM, `${terminal} goes on behind ${id} and gets all rows: ${why}`, lane?.id);
  return { head: id, strand: (await strandsAt(tx, id, null)).at };
}

/** About so many bytes, at least one entry; ends between two central transactions unless one alone is larger than the page. */
function pageLength(candidates: readonly Candidate[], limitBytes: number): number {
  let bytes = 0;
  let wholeTransactions = 0;
  for (const [at, { tx, bytes: size }] of candidates.entries()) {
    if (at > 0 && candidates[at - 1]?.tx !== tx) wholeTransactions = at;
    bytes += size;
    if (at > 0 && bytes > limitBytes) return wholeTransactions > 0 ? wholeTransactions : at;
  }
  return candidates.length;
}

const entriesOf = (tx: Tx, taken: readonly Candidate[]): Promise<StoredUpdate[]> =>
  tx.all<StoredUpdate>(
    `select id, audience, tx, at, origin, trace, changes, count from update_entry where id = any ($1::bigint[]) order by id`,
    taken.map(({ id }) => id),
  );

async function acknowledge(
  tx: Tx,
  terminal: TerminalId,
  appliedThrough: UpdateId,
  refused: Parameters<UpdateLog["acknowledge"]>[2],
): Promise<void> {
  const before = await tx.get<{ through: UpdateId }>(
    "select applied_through as through from terminal where id = $1 for update",
    terminal,
  );
  if (!before) throw new WaybillError("NOT_FOUND", `there is no terminal ${terminal}`);
  // Not only upwards: a terminal restored from yesterday's image takes yesterday's updates again.
  await tx.run(
    "update terminal set applied_through = $1, delivered_through = greatest(delivered_through, $1) where id = $2",
    appliedThrough,
    terminal,
  );
  for (const { id, code, detail } of refused) {
    const fresh = await tx.run(
      "insert into refusal (terminal, update_id, code, detail, at) values ($1, $2, $3, $4, $5) on conflict do nothing",
      terminal,
      id,
      code,
      storable(detail),
      tx.now(),
    );
    if (fresh > 0) note(tx, "update refused", actor(`terminal:${terminal}`), `update ${id}: ${code} ${detail}`);
  }
  if (appliedThrough > before.through) await closeRefusals(tx, terminal, before.through, appliedThrough);
}
