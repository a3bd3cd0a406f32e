import { asWaybillError, WaybillError } from "../../base/errors.ts";
import {
  laneName,
  SYSTEM,
  type Actor,
  type Epoch,
  type TerminalId,
  type By,
  actorOf,
  byOf,
  requestTraceOf,
} from "../../base/ids.ts";
import type { Bulk, BulkItem, Bulks, BulkVerb, ExceptionFilter } from "../exceptions.ts";
import { changed, MOST_ITEMS, possible, shown, type BulkRow, type ItemRow } from "../bulk-rules.ts";
import { note } from "./events.ts";
import { filterValues, MATCHES } from "./exceptions.ts";
import { waitingBehindBulk } from "./followers.ts";
import { NOBODY_WAITS } from "../waiting.ts";
import { discardOne, requeueOne } from "./orders.ts";
import type { Store } from "./store.ts";

export const bulksOn = (store: Store): Bulks => ({
  preview: async (verb, filter, by) => store.write(() => preview(store, verb, filter, by)),
  start: async (id, by, reason) =>
    store.write(() => {
      const bulk = inState(store, id, ["previewed"]);
      store.run(
        "update bulk set state = 'running', made_by = ?, request_trace = ?, reason = ?, started_at = ? where id = ?",
        actorOf(by),
        requestTraceOf(by),
        reason,
        store.now(),
        id,
      );
      note(store, "bulk started", by, `bulk ${id}: ${bulk.verb} ${bulk.messages} message(s): ${reason}`);
      return known(store, id);
    }),
  cancel: async (id, by, reason) =>
    store.write(() => {
      const bulk = inState(store, id, ["previewed", "running"]);
      end(store, id, "cancelled", reason);
      note(store, "bulk cancelled", by, `bulk ${id} after ${bulk.ordered} of ${bulk.messages}: ${reason}`);
      return known(store, id);
    }),
  step: async (limit) => store.write(() => step(store, limit)),
  get: async (id) => find(store, id),
  list: async (limit) => store.all<BulkRow>(`${SELECT} order by id desc limit ?`, limit).map(shown),
  items: async (id, limit, after) => items(store, id, limit, after),
});

const SELECT = `select id, verb, state, made_by as "by", reason, filter, made_at as madeAt, started_at as startedAt,
  ended_at as endedAt, messages, terminals, beyond, waiting, ordered, skipped from bulk`;
function find(store: Store, id: number): Bulk | null {
  const row = store.get<BulkRow>(`${SELECT} where id = ?`, id);
  return row ? shown(row) : null;
}
function known(store: Store, id: number): Bulk {
  const bulk = find(store, id);
  if (!bulk) throw new WaybillError("NOT_FOUND", `there is no bulk act ${id}`);
  return bulk;
}
function inState(store: Store, id: number, states: readonly Bulk["state"][]): Bulk {
  const bulk = known(store, id);
  if (states.includes(bulk.state)) return bulk;
  throw new WaybillError("STATE_CONFLICT", `bulk act ${id} is ${bulk.state}`, { facts: { state: bulk.state } });
}

function preview(store: Store, verb: BulkVerb, given: ExceptionFilter, by: By): Bulk {
  const filter = possible(verb, given);
  const id = store.insert(
    `insert into bulk (verb, state, made_by, filter, made_at, messages, terminals, beyond, waiting)
     values (?, 'previewed', ?, ?, ?, 0, 0, 0, ?)`,
    verb,
    actorOf(by),
    JSON.stringify(filter),
    store.now(),
    JSON.stringify(NOBODY_WAITS),
  );
  store.run(
    `insert into bulk_item (bulk, n, lane, seq, was, attempts, revision)
     select ?8, row_number() over (order by e.id), e.lane, e.seq, e.state, e.attempts, e.revision
     from exception e join lane l on l.id = e.lane where ${MATCHES} and e.verb = 'load' order by e.id limit ?9`,
    ...filterValues(filter),
    id,
    MOST_ITEMS,
  );
  const all = store.get<{ n: number }>(
    `select count(*) as n from exception e join lane l on l.id = e.lane where ${MATCHES} and e.verb = 'load'`,
    ...filterValues(filter),
  );
  store.run(
    `update bulk set waiting = ?2, beyond = ?3 - i.messages, messages = i.messages, terminals = i.terminals
     from (select count(*) as messages, count(distinct l.terminal) as terminals
           from bulk_item i join lane l on l.id = i.lane where i.bulk = ?1) i
     where bulk.id = ?1`,
    id,
    JSON.stringify(waitingBehindBulk(store, id)),
    all?.n ?? 0,
  );
  return known(store, id);
}

function step(store: Store, limit: number): boolean {
  const bulk = store.get<{ id: number; verb: BulkVerb; by: Actor; requestTrace: string | null; reason: string }>(
    `select id, verb, made_by as "by", request_trace as requestTrace, reason from bulk where state = 'running' order by id limit 1`,
  );
  if (!bulk) return false;
  const next = store.all<ItemRow>(
    `select i.n, l.terminal, l.epoch, i.seq, i.was, i.attempts, i.revision, coalesce(e.state, 'loaded') as state, e.attempts as attemptsNow,
            e.revision as revisionNow
     from bulk b join bulk_item i on i.bulk = b.id and i.n > b.ordered + b.skipped
     left join exception e on e.lane = i.lane and e.seq = i.seq join lane l on l.id = i.lane
     where b.id = ? order by i.n limit ?`,
    bulk.id,
    limit,
  );
  const reason = `${bulk.reason} (bulk ${bulk.id})`;
  const by = byOf(bulk.by, bulk.requestTrace);
  const counts = { ordered: 0, skipped: 0 };
  for (const item of next) {
    const why = changed(item) ?? refusedBy(() => order(store, bulk.verb, item, by, reason));
    const outcome = why === null ? "ordered" : "skipped";
    counts[outcome]++;
    store.run(
      "update bulk_item set outcome = ?, why = ? where bulk = ? and n = ?",
      outcome,
      why ?? "",
      bulk.id,
      item.n,
    );
  }
  store.run(
    "update bulk set ordered = ordered + ?, skipped = skipped + ? where id = ?",
    counts.ordered,
    counts.skipped,
    bulk.id,
  );
  if (next.length === limit) return true;
  end(store, bulk.id, "done", null);
  const { ordered, skipped } = known(store, bulk.id);
  note(store, "bulk done", SYSTEM, `bulk ${bulk.id}: ${ordered} ordered, ${skipped} left alone`);
  return store.get("select 1 from bulk where state = 'running' limit 1") !== undefined;
}

function order(store: Store, verb: BulkVerb, item: ItemRow, by: By, reason: string): void {
  const lane = laneName(item.terminal, item.epoch);
  if (verb === "requeue") requeueOne(store, lane, item.seq, by, reason, null);
  else discardOne(store, lane, item.seq, by, reason);
}

function refusedBy(work: () => void): string | null {
  try {
    work();
    return null;
  } catch (thrown) {
    const error = asWaybillError(thrown);
    if (error.code !== "STATE_CONFLICT") throw error;
    return error.what;
  }
}

function end(store: Store, id: number, state: "done" | "cancelled", reason: string | null): void {
  store.run(
    "update bulk set state = ?, ended_at = ?, reason = coalesce(reason, ?) where id = ?",
    state,
    store.now(),
    reason,
    id,
  );
}

function items(store: Store, id: number, limit: number, after: number): BulkItem[] {
  return store
    .all<Omit<BulkItem, "lane"> & { readonly terminal: TerminalId; readonly epoch: Epoch }>(
      `select i.n, l.terminal, l.epoch, i.seq, i.outcome, i.why, coalesce(e.state, 'loaded') as now
       from bulk_item i join lane l on l.id = i.lane left join exception e on e.lane = i.lane and e.seq = i.seq
       where i.bulk = ? and i.n > ? order by i.n limit ?`,
      id,
      after,
      limit,
    )
    .map(({ terminal, epoch, ...item }) => ({ ...item, lane: laneName(terminal, epoch) }));
}
