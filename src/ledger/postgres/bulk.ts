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
import { lockTerminals } from "./due.ts";
import { note } from "./events.ts";
import { filterValues, MATCHES } from "./exceptions.ts";
import { waitingBehindBulk } from "./followers.ts";
import { NOBODY_WAITS } from "../waiting.ts";
import { discardOne, requeueOne } from "./orders.ts";
import type { Store } from "./store.ts";
import { json, storable, type Tx } from "./tx.ts";

export const bulksOn = (store: Store): Bulks => ({
  preview: (verb, filter, by) => store.write((tx) => preview(tx, verb, filter, by)),
  start: (id, by, reason) =>
    store.write(async (tx) => {
      const bulk = await inState(tx, id, ["previewed"]);
      await tx.run(
        "update bulk set state = 'running', made_by = $1, request_trace = $2, reason = $3, started_at = $4 where id = $5",
        actorOf(by),
        requestTraceOf(by),
        storable(reason),
        tx.now(),
        id,
      );
      note(tx, "bulk started", by, `bulk ${id}: ${bulk.verb} ${bulk.messages} message(s): ${reason}`);
      return known(tx, id);
    }),
  cancel: (id, by, reason) =>
    store.write(async (tx) => {
      const bulk = await inState(tx, id, ["previewed", "running"]);
      await end(tx, id, "cancelled", reason);
      note(tx, "bulk cancelled", by, `bulk ${id} after ${bulk.ordered} of ${bulk.messages}: ${reason}`);
      return known(tx, id);
    }),
  step: (limit) => store.write((tx) => step(tx, limit)),
  get: (id) => store.read((tx) => find(tx, id)),
  list: (limit) =>
    store.read(async (tx) => (await tx.all<BulkRow>(`${SELECT} order by id desc limit $1`, limit)).map(shown)),
  items: (id, limit, after) => store.read((tx) => items(tx, id, limit, after)),
});

const SELECT = `select id, verb, state, made_by as "by", reason, filter, made_at as "madeAt", started_at as "startedAt",
  ended_at as "endedAt", messages, terminals, beyond, waiting, ordered, skipped from bulk`;
async function find(tx: Tx, id: number): Promise<Bulk | null> {
  const row = await tx.get<BulkRow>(`${SELECT} where id = $1`, id);
  return row ? shown(row) : null;
}
async function known(tx: Tx, id: number): Promise<Bulk> {
  const bulk = await find(tx, id);
  if (!bulk) throw new WaybillError("NOT_FOUND", `there is no bulk act ${id}`);
  return bulk;
}
async function inState(tx: Tx, id: number, states: readonly Bulk["state"][]): Promise<Bulk> {
  // Locked: another process may be at its next step.
  await tx.run("select from bulk where id = $1 for update", id);
  const bulk = await known(tx, id);
  if (states.includes(bulk.state)) return bulk;
  throw new WaybillError("STATE_CONFLICT", `bulk act ${id} is ${bulk.state}`, { facts: { state: bulk.state } });
}

async function preview(tx: Tx, verb: BulkVerb, given: ExceptionFilter, by: By): Promise<Bulk> {
  const filter = possible(verb, given);
  const made = await tx.get<{ id: number }>(
    `insert into bulk (verb, state, made_by, filter, made_at, messages, terminals, beyond, waiting)
     values ($1, 'previewed', $2, $3::jsonb, $4, 0, 0, 0, $5::jsonb) returning id`,
    verb,
    actorOf(by),
    json(filter),
    tx.now(),
    json(NOBODY_WAITS),
  );
  const id = made?.id ?? 0;
  await tx.run(
    `insert into bulk_item (bulk, n, lane, seq, was, attempts, revision)
     select $8::bigint, row_number() over (order by e.id), e.lane, e.seq, e.state, e.attempts, e.revision
     from exception e join lane l on l.id = e.lane where ${MATCHES} and e.verb = 'load' order by e.id limit $9`,
    ...filterValues(filter),
    id,
    MOST_ITEMS,
  );
  const all = await tx.get<{ n: number }>(
    `select count(*) as n from exception e join lane l on l.id = e.lane where ${MATCHES} and e.verb = 'load'`,
    ...filterValues(filter),
  );
  await tx.run(
    `update bulk set waiting = $2::jsonb, beyond = $3::bigint - i.messages, messages = i.messages, terminals = i.terminals
     from (select count(*) as messages, count(distinct l.terminal) as terminals
           from bulk_item i join lane l on l.id = i.lane where i.bulk = $1) i
     where bulk.id = $1`,
    id,
    json(await waitingBehindBulk(tx, id)),
    all?.n ?? 0,
  );
  return known(tx, id);
}

const NEXT = `select i.* from bulk b join bulk_item i on i.bulk = b.id and i.n > b.ordered + b.skipped
  where b.id = $1 order by i.n limit $2`;

async function step(tx: Tx, limit: number): Promise<boolean> {
  const bulk = await tx.get<{ id: number; verb: BulkVerb; by: Actor; requestTrace: string | null; reason: string }>(
    `select id, verb, made_by as "by", request_trace as "requestTrace", reason from bulk where state = 'running' order by id limit 1 for update`,
  );
  if (!bulk) return false;
  const named = await tx.all<{ terminal: TerminalId; epoch: Epoch }>(
    `select distinct l.terminal, l.epoch from (${NEXT}) i join lane l on l.id = i.lane`,
    bulk.id,
    limit,
  );
  await lockTerminals(
    tx,
    named.map(({ terminal, epoch }) => laneName(terminal, epoch)),
  );
  const next = await tx.all<ItemRow>(
    `select i.n, l.terminal, l.epoch, i.seq, i.was, i.attempts, i.revision, coalesce(e.state, 'loaded') as state, e.attempts as "attemptsNow",
            e.revision as "revisionNow"
     from (${NEXT}) i left join exception e on e.lane = i.lane and e.seq = i.seq join lane l on l.id = i.lane order by i.n`,
    bulk.id,
    limit,
  );
  const reason = `${bulk.reason} (bulk ${bulk.id})`;
  const by = byOf(bulk.by, bulk.requestTrace);
  const counts = { ordered: 0, skipped: 0 };
  for (const item of next) {
    const why = changed(item) ?? (await refusedBy(() => order(tx, bulk.verb, item, by, reason)));
    const outcome = why === null ? "ordered" : "skipped";
    counts[outcome]++;
    await tx.run(
      "update bulk_item set outcome = $1, why = $2 where bulk = $3 and n = $4",
      outcome,
      why ?? "",
      bulk.id,
      item.n,
    );
  }
  await tx.run(
    "update bulk set ordered = ordered + $1, skipped = skipped + $2 where id = $3",
    counts.ordered,
    counts.skipped,
    bulk.id,
  );
  if (next.length === limit) return true;
  await end(tx, bulk.id, "done", null);
  const { ordered, skipped } = await known(tx, bulk.id);
  note(tx, "bulk done", SYSTEM, `bulk ${bulk.id}: ${ordered} ordered, ${skipped} left alone`);
  return (await tx.get("select 1 from bulk where state = 'running' limit 1")) !== undefined;
}

async function order(tx: Tx, verb: BulkVerb, item: ItemRow, by: By, reason: string): Promise<void> {
  const lane = laneName(item.terminal, item.epoch);
  if (verb === "requeue") await requeueOne(tx, lane, item.seq, by, reason, null);
  else await discardOne(tx, lane, item.seq, by, reason);
}

async function refusedBy(work: () => Promise<void>): Promise<string | null> {
  try {
    await work();
    return null;
  } catch (thrown) {
    const error = asWaybillError(thrown);
    if (error.code !== "STATE_CONFLICT") throw error;
    return error.what;
  }
}

async function end(tx: Tx, id: number, state: "done" | "cancelled", reason: string | null): Promise<void> {
  await tx.run(
    "update bulk set state = $1, ended_at = $2, reason = coalesce(reason, $3) where id = $4",
    state,
    tx.now(),
    reason === null ? null : storable(reason),
    id,
  );
}

async function items(tx: Tx, id: number, limit: number, after: number): Promise<BulkItem[]> {
  const rows = await tx.all<Omit<BulkItem, "lane"> & { readonly terminal: TerminalId; readonly epoch: Epoch }>(
    `select i.n, l.terminal, l.epoch, i.seq, i.outcome, i.why, coalesce(e.state, 'loaded') as now
       from bulk_item i join lane l on l.id = i.lane left join exception e on e.lane = i.lane and e.seq = i.seq
       where i.bulk = $1 and i.n > $2 order by i.n limit $3`,
    id,
    after,
    limit,
  );
  return rows.map(({ terminal, epoch, ...item }) => ({ ...item, lane: laneName(terminal, epoch) }));
}
