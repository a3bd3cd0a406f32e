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
import { newestUpdates, reachOf } from "./spread.ts";
import type { Store } from "./store.ts";
import { beginStrand, leaveOut, strandsAt, toldStrands } from "./strands.ts";

export const updatesOn = (store: Store): UpdateLog => ({
  ...attesting(store),
  forward: async (source, after, through, entries) =>
    store.write(() => {
      const known = forwardedOf(store, source);
      if (known !== after) return false;
      const ids = add(store, entries);
      store.run(
        "insert into forwarded (source, through) values (?1, ?2) on conflict (source) do update set through = ?2",
        source,
        through,
      );
      note(store, "forwarded", SYSTEM, `${source} ${after + 1}–${through}${asText(ids)}`);
      return true;
    }),
  forwarded: async (source) => forwardedOf(store, source),
  publish: async (entries, by) =>
    store.write(() => {
      const ids = add(store, entries);
      if (ids.length > 0) note(store, "published", by, asText(ids).trim());
      return ids;
    }),
  read: async (audiences, except, after, limitBytes, strand) =>
    read(store, audiences, except, after, limitBytes, strand ?? null),
  newest: async (audience, limit, before) => newestUpdates(store, audience, limit, before),
  reach: async (id, limit, after) => reachOf(store, id, limit, after),
  head: async () => headOf(store).id,
  beginAgain: async (terminal, after) => store.write(() => beginAgain(store, terminal, after)),
  beginElsewhere: async (terminal, after) => store.write(() => beginElsewhere(store, terminal, after)),
  strands: async () => toldStrands(store),
  beginTerm: async (shown, why, lost = []) =>
    store.write(() => {
      const { id } = headOf(store);
      if (shown <= id) return id;
      const begun = updateIdOf(termOf(shown) + 1, 0);
      leaveOut(store, id, lost);
      store.run("update update_head set id = ?", begun);
      note(store, "term begun", SYSTEM, `after ${id}, since ${shown} was shown: ${why}`);
      return begun;
    }),
  acknowledge: async (terminal, appliedThrough, refused) =>
    store.write(() => acknowledge(store, terminal, appliedThrough, refused)),
  refusals: async (terminal, limit) =>
    store.all<{ terminal: TerminalId; id: UpdateId; code: FaultCode; detail: string; at: Instant }>(
      `select terminal, update_id as id, code, detail, at from refusal
       where ?1 is null or terminal = ?1 order by refusal.id desc limit ?2`,
      terminal,
      limit,
    ),
});

/** A file is not exchanged while a process has it open: that it was compared need not outlive the process. */
function attesting(store: Store): Pick<UpdateLog, "attest" | "attested"> {
  let attested = false;
  return {
    attest: async (strand) => {
      store.write(() => beginStrand(store, headOf(store).id, strand));
      attested = true;
    },
    attested: async () => attested,
  };
}

const forwardedOf = (store: Store, source: string): Seq =>
  store.get<{ through: Seq }>("select through from forwarded where source = ?", source)?.through ?? seq(0);

type Head = { readonly id: UpdateId; readonly goneThrough: UpdateId };
function headOf(store: Store): Head {
  const head = store.get<Head>("select id, gone_through as goneThrough from update_head");
  if (!head) throw new WaybillError("INTERNAL", "the update log has no head");
  return head;
}

const asText = (ids: readonly UpdateId[]): string =>
  ids.length > 0 ? ` as updates ${ids[0]}–${ids.at(-1)}` : " for nobody";

function add(store: Store, entries: readonly UpdateEntry[]): UpdateId[] {
  if (entries.length === 0) return [];
  const first = headOf(store).id + 1;
  store.run("update update_head set id = id + ?", entries.length);
  return entries.map((entry, at) => {
    store.run(
      `insert into update_entry (id, audience, tx, at, origin, trace, count, bytes, changes) values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      first + at,
      entry.audience,
      entry.tx,
      entry.at,
      entry.origin,
      entry.trace,
      entry.count,
      entry.changes.byteLength,
      entry.changes,
    );
    return updateId(first + at);
  });
}

type Candidate = { readonly id: UpdateId; readonly tx: string; readonly bytes: number };
/** How many entries of one audience are looked at for one page. */
const LOOK = 1_000;

/**
 * The head is read before the entries and nothing is written between, so `through` is true: every entry for the audiences
 * up to it is in this page or in one before.
 */
function read(
  store: Store,
  audiences: readonly string[],
  except: TerminalId,
  given: UpdateId,
  limitBytes: number,
  strand: string | null,
): Awaited<ReturnType<UpdateLog["read"]>> {
  const head = headOf(store);
  const after = given < head.goneThrough && beganBehind(store, except, head) ? head.goneThrough : given;
  const facts = { oldest: head.goneThrough + 1, head: head.id };
  if (after < head.goneThrough || (after > head.id && strand === null)) {
    const what = `the update log has ${head.goneThrough + 1} to ${head.id}, not what comes after ${after}`;
    throw new WaybillError("CURSOR_GONE", what, { facts });
  }
  const place = strandsAt(store, after, strand);
  if (after > head.id || (after === given && strand !== null && !isOf(place, strand)))
    throw new WaybillError("CURSOR_GONE", `update ${after} of this log is not of ${strand}`, {
      facts: { ...facts, other: true },
    });
  const end = updateId(Math.min(head.id, (place.until ?? Number.MAX_SAFE_INTEGER) - 1)); // one strand at a time
  let complete: number = end; // every candidate up to here has been seen
  const found: Candidate[] = [];
  for (const audience of new Set(audiences)) {
    const rows = store.all<Candidate>(
      `select id, tx, bytes from update_entry indexed by update_audience
       where audience = ? and id > ? and (origin is null or origin <> ?) order by id limit ?`,
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
    updates: taken.map(({ id }) => entryOf(store, id)),
    strand: through === after ? place.at : place.onward,
  };
}

/** What is not kept any more was before the terminal's time: it got it with the rows as they were. */
const beganBehind = (store: Store, terminal: TerminalId, { goneThrough }: Head): boolean =>
  store.get("select 1 from terminal where id = ? and began_after >= ?", terminal, goneThrough) !== undefined;

function beginAgain(store: Store, terminal: TerminalId, after: UpdateId): boolean {
  const head = headOf(store);
  if (after >= head.goneThrough) return false;
  const begun = "update terminal set began_after = ? where id = ? and began_after < ?";
  if (store.run(begun, head.id, terminal, head.goneThrough) === 0) return false;
  const why = `updates ${after + 1}–${head.goneThrough}, which it has not seen, are no longer kept`;
  const lane = currentLane(store, terminal);
  if (lane) markRestored(store, terminal, lane.id, why);
  note(store, "began again", SYSTEM, `${terminal} goes on behind them: ${why}`, lane?.id);
  return true;
}

function beginElsewhere(
  store: Store,
  terminal: TerminalId,
  after: UpdateId,
): Awaited<ReturnType<UpdateLog["beginElsewhere"]>> {
  const { id } = headOf(store);
  store.run(
    "update terminal set began_after = ?, rows_owed = ? where id = ?",
    id,
    newUlid(store.now(), store.random),
    terminal,
  );
  const why = `it shows update ${after} of a history that neither this log nor the centre has`;
  const lane = currentLane(store, terminal);
  if (lane) markRestored(store, terminal, lane.id, why);
  note(store, "began elsewhere", SYSTEM, `${terminal} goes on behind ${id} and gets all rows: ${why}`, lane?.id);
  return { head: id, strand: strandsAt(store, id, null).at };
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

function entryOf(store: Store, id: UpdateId): StoredUpdate {
  const entry = store.get<StoredUpdate>(
    "select id, audience, tx, at, origin, trace, changes, count from update_entry where id = ?",
    id,
  );
  if (!entry) throw new WaybillError("INTERNAL", `update ${id} is gone while it is read`);
  return entry;
}

function acknowledge(
  store: Store,
  terminal: TerminalId,
  appliedThrough: UpdateId,
  refused: Parameters<UpdateLog["acknowledge"]>[2],
): void {
  const before = store.get<{ through: UpdateId }>(
    "select applied_through as through from terminal where id = ?",
    terminal,
  );
  if (!before) throw new WaybillError("NOT_FOUND", `there is no terminal ${terminal}`);
  // Not only upwards: a terminal restored from yesterday's image takes yesterday's updates again.
  store.run(
    "update terminal set applied_through = ?1, delivered_through = max(delivered_through, ?1) where id = ?2",
    appliedThrough,
    terminal,
  );
  for (const { id, code, detail } of refused) {
    const fresh = store.run(
      "insert into refusal (terminal, update_id, code, detail, at) values (?, ?, ?, ?, ?) on conflict do nothing",
      terminal,
      id,
      code,
      detail,
      store.now(),
    );
    if (fresh > 0) note(store, "update refused", actor(`terminal:${terminal}`), `update ${id}: ${code} ${detail}`);
  }
  if (appliedThrough > before.through) closeRefusals(store, terminal, before.through, appliedThrough);
}
