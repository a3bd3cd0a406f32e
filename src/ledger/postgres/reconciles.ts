import { WaybillError } from "../../base/errors.ts";
import { type TerminalId, actorOf } from "../../base/ids.ts";
import {
  KEPT,
  NOTHING_YET,
  orderedText,
  readReconcile,
  type Difference,
  type Reconcile,
  type ReconcileRow,
  type Reconciles,
} from "../reconciles.ts";
import { note } from "./events.ts";
import type { Store } from "./store.ts";
import { storable, type Tx } from "./tx.ts";

const COLUMNS =
  'id, terminal, work, state, ordered_by as by, reason, ordered_at as "orderedAt", ended_at as "endedAt", report';

export const reconcilesOn = (store: Store): Reconciles => ({
  order: (id, terminal, work, by, reason) =>
    store.write(async (tx) => {
      // Two who order at once: the second waits here, and then sees the first one's.
      await tx.all("select pg_advisory_xact_lock(hashtextextended('reconcile/' || $1, 0))", terminal);
      const known = await get(tx, id);
      if (known) return known;
      const open = await tx.get<{ id: string }>(
        "select id from reconcile where terminal = $1 and ended_at is null",
        terminal,
      );
      if (open)
        throw new WaybillError("STATE_CONFLICT", `${open.id} of terminal ${terminal} is not over`, {
          facts: { id: open.id },
        });
      const order: Reconcile = {
        id,
        terminal,
        work,
        state: "waiting",
        by: actorOf(by),
        reason,
        orderedAt: tx.now(),
        endedAt: null,
        report: NOTHING_YET,
      };
      await tx.run(
        `insert into reconcile (id, terminal, compares, work, state, ordered_by, reason, ordered_at, report)
         values ($1, $2, $3, $4, 'waiting', $5, $6, $7, $8)`,
        id,
        terminal,
        work.kind === "compare",
        JSON.stringify(work),
        actorOf(by),
        storable(reason),
        order.orderedAt,
        JSON.stringify(NOTHING_YET),
      );
      await tx.run(
        `delete from reconcile where terminal = $1 and ended_at is not null and id not in (
           select id from reconcile where terminal = $1 order by ordered_at desc, id desc limit $2)`,
        terminal,
        KEPT,
      );
      const kind = work.kind === "compare" ? "reconcile ordered" : "repair ordered";
      note(tx, kind, by, orderedText(id, terminal, work, reason));
      return order;
    }),
  claim: (worker, leaseMs) =>
    store.write(async (tx) => {
      const [claimed] = await tx.all<{ id: string }>(
        `update reconcile set state = 'running', worker = $1, leased_until = $2 + $3 where id = (
           select id from reconcile where ended_at is null and (leased_until <= $2 or worker = $1)
           order by ordered_at, id limit 1 for update skip locked) returning id`,
        worker,
        tx.now(),
        leaseMs,
      );
      if (!claimed) return null;
      const order = await get(tx, claimed.id);
      // Whoever had it before was killed: it is begun anew.
      if (order?.work.kind === "compare") await tx.run("delete from difference where reconcile = $1", claimed.id);
      return order;
    }),
  report: (id, worker, report, leaseMs) =>
    store.write(
      async (tx) =>
        (await tx.run(
          "update reconcile set report = $1, leased_until = $2 where id = $3 and worker = $4 and ended_at is null",
          storable(JSON.stringify(report)),
          tx.now() + leaseMs,
          id,
          worker,
        )) > 0,
    ),
  found: (id, differences) =>
    store.write(async (tx) => {
      await tx.run(
        `insert into difference (reconcile, n, found) select $1, d.n, d.found
         from unnest($2::integer[], $3::text[]) as d (n, found)
         on conflict (reconcile, n) do update set found = excluded.found`,
        id,
        differences.map(({ n }) => n),
        differences.map((one) => storable(JSON.stringify(one))),
      );
    }),
  end: (id, worker, state, report, told) =>
    store.write(async (tx) => {
      const ended = await tx.run(
        "update reconcile set state = $1, report = $2, ended_at = $3 where id = $4 and worker = $5 and ended_at is null",
        state,
        storable(JSON.stringify(report)),
        tx.now(),
        id,
        worker,
      );
      if (ended === 0) return false;
      const { by } = (await get(tx, id)) as Reconcile;
      note(tx, state === "done" ? "reconciled" : "reconcile failed", by, `${id}: ${told}`);
      return true;
    }),
  cancel: (id, by, reason) =>
    store.write(async (tx) => {
      const ended = await tx.run(
        "update reconcile set state = 'cancelled', ended_at = $1 where id = $2 and ended_at is null",
        tx.now(),
        id,
      );
      if (ended === 0) {
        const known = await get(tx, id);
        throw known
          ? new WaybillError("STATE_CONFLICT", `${id} is ${known.state} already`)
          : new WaybillError("NOT_FOUND", `there is no reconciliation ${id}`);
      }
      note(tx, "reconcile cancelled", by, `${id}: ${reason}`);
    }),
  get: (id) => store.read((tx) => get(tx, id)),
  list: (terminal, limit) =>
    store.read(async (tx) => {
      const rows = await tx.all<ReconcileRow>(
        `select ${COLUMNS} from reconcile where terminal = $1 order by ordered_at desc, id desc limit $2`,
        terminal,
        limit,
      );
      return rows.map(readReconcile);
    }),
  newest: (limit, before) =>
    store.read(async (tx) => {
      const rows = await tx.all<ReconcileRow>(
        `select ${COLUMNS} from reconcile where (ordered_at, id) < ($1, $2) order by ordered_at desc, id desc limit $3`,
        before?.orderedAt ?? Number.MAX_SAFE_INTEGER,
        storable(before?.id ?? ""),
        limit,
      );
      return rows.map(readReconcile);
    }),
  differences: (id, after, limit) =>
    store.read(async (tx) => {
      const rows = await tx.all<{ found: string }>(
        "select found from difference where reconcile = $1 and n > $2 order by n limit $3",
        id,
        after,
        limit,
      );
      return rows.map(({ found }) => JSON.parse(found) as Difference);
    }),
  due: (before, limit) =>
    store.read(async (tx) => {
      const rows = await tx.all<{ id: TerminalId }>(
        `select t.id from terminal t where t.state = 'enrolled' and not exists (
           select 1 from reconcile r where r.terminal = t.id and (r.ended_at is null or r.compares and r.ordered_at >= $1))
         order by t.id limit $2`,
        before,
        limit,
      );
      return rows.map(({ id }) => id);
    }),

  ask: (terminal, id, question) =>
    store.write(async (tx) => {
      await tx.run(
        `insert into question (terminal, id, question) values ($1, $2, $3)
         on conflict (terminal) do update set id = $2, question = $3, answer = null`,
        terminal,
        id,
        question,
      );
    }),
  asked: () =>
    store.read((tx) =>
      tx.all<{ terminal: TerminalId; id: string }>("select terminal, id from question where answer is null"),
    ),
  question: (terminal) =>
    store.read(
      async (tx) =>
        (await tx.get<{ id: string; question: string }>(
          "select id, question from question where terminal = $1 and answer is null",
          terminal,
        )) ?? null,
    ),
  answer: (terminal, id, answer) =>
    store.write(
      async (tx) =>
        (await tx.run("update question set answer = $1 where terminal = $2 and id = $3", answer, terminal, id)) > 0,
    ),
  answered: (terminal, id) =>
    store.read(async (tx) => {
      const sql = "select answer from question where terminal = $1 and id = $2";
      return (await tx.get<{ answer: string | null }>(sql, terminal, id))?.answer ?? null;
    }),
  withdraw: (terminal, id) =>
    store.write(async (tx) => {
      await tx.run("delete from question where terminal = $1 and id = $2", terminal, id);
    }),
});

async function get(tx: Tx, id: string): Promise<Reconcile | null> {
  const row = await tx.get<ReconcileRow>(`select ${COLUMNS} from reconcile where id = $1`, id);
  return row ? readReconcile(row) : null;
}
