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

const COLUMNS =
  "id, terminal, work, state, ordered_by as by, reason, ordered_at as orderedAt, ended_at as endedAt, report";

export const reconcilesOn = (store: Store): Reconciles => ({
  order: async (id, terminal, work, by, reason) =>
    store.write(() => {
      const known = get(store, id);
      if (known) return known;
      const open = store.get<{ id: string }>(
        "select id from reconcile where terminal = ? and ended_at is null",
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
        orderedAt: store.now(),
        endedAt: null,
        report: NOTHING_YET,
      };
      store.run(
        `insert into reconcile (id, terminal, compares, work, state, ordered_by, reason, ordered_at, report)
         values (?, ?, ?, ?, 'waiting', ?, ?, ?, ?)`,
        id,
        terminal,
        work.kind === "compare" ? 1 : 0,
        JSON.stringify(work),
        actorOf(by),
        reason,
        order.orderedAt,
        JSON.stringify(NOTHING_YET),
      );
      store.run(
        `delete from reconcile where terminal = ?1 and ended_at is not null and id not in (
           select id from reconcile where terminal = ?1 order by ordered_at desc, id desc limit ?2)`,
        terminal,
        KEPT,
      );
      const kind = work.kind === "compare" ? "reconcile ordered" : "repair ordered";
      note(store, kind, by, orderedText(id, terminal, work, reason));
      return order;
    }),
  claim: async (worker, leaseMs) =>
    store.write(() => {
      const now = store.now();
      const free = store.get<{ id: string }>(
        "select id from reconcile where ended_at is null and (leased_until <= ? or worker = ?) order by ordered_at, id limit 1",
        now,
        worker,
      );
      if (!free) return null;
      store.run(
        "update reconcile set state = 'running', worker = ?, leased_until = ? where id = ?",
        worker,
        now + leaseMs,
        free.id,
      );
      const claimed = get(store, free.id);
      // Whoever had it before was killed: it is begun anew.
      if (claimed?.work.kind === "compare") store.run("delete from difference where reconcile = ?", free.id);
      return claimed;
    }),
  report: async (id, worker, report, leaseMs) =>
    store.write(
      () =>
        store.run(
          "update reconcile set report = ?, leased_until = ? where id = ? and worker = ? and ended_at is null",
          JSON.stringify(report),
          store.now() + leaseMs,
          id,
          worker,
        ) > 0,
    ),
  found: async (id, differences) =>
    store.write(() => {
      for (const difference of differences)
        store.run(
          "insert or replace into difference (reconcile, n, found) values (?, ?, ?)",
          id,
          difference.n,
          JSON.stringify(difference),
        );
    }),
  end: async (id, worker, state, report, told) =>
    store.write(() => {
      const ended = store.run(
        "update reconcile set state = ?, report = ?, ended_at = ? where id = ? and worker = ? and ended_at is null",
        state,
        JSON.stringify(report),
        store.now(),
        id,
        worker,
      );
      if (ended === 0) return false;
      const { by } = get(store, id) as Reconcile;
      note(store, state === "done" ? "reconciled" : "reconcile failed", by, `${id}: ${told}`);
      return true;
    }),
  cancel: async (id, by, reason) =>
    store.write(() => {
      const ended = store.run(
        "update reconcile set state = 'cancelled', ended_at = ? where id = ? and ended_at is null",
        store.now(),
        id,
      );
      if (ended === 0) {
        const known = get(store, id);
        throw known
          ? new WaybillError("STATE_CONFLICT", `${id} is ${known.state} already`)
          : new WaybillError("NOT_FOUND", `there is no reconciliation ${id}`);
      }
      note(store, "reconcile cancelled", by, `${id}: ${reason}`);
    }),
  get: async (id) => get(store, id),
  list: async (terminal, limit) =>
    store
      .all<ReconcileRow>(
        `select ${COLUMNS} from reconcile where terminal = ? order by ordered_at desc, id desc limit ?`,
        terminal,
        limit,
      )
      .map(readReconcile),
  newest: async (limit, before) =>
    store
      .all<ReconcileRow>(
        `select ${COLUMNS} from reconcile where (ordered_at, id) < (?1, ?2) order by ordered_at desc, id desc limit ?3`,
        before?.orderedAt ?? Number.MAX_SAFE_INTEGER,
        before?.id ?? "",
        limit,
      )
      .map(readReconcile),
  differences: async (id, after, limit) =>
    store
      .all<{ found: string }>(
        "select found from difference where reconcile = ? and n > ? order by n limit ?",
        id,
        after,
        limit,
      )
      .map(({ found }) => JSON.parse(found) as Difference),
  due: async (before, limit) =>
    store
      .all<{ id: TerminalId }>(
        `select t.id from terminal t where t.state = 'enrolled' and not exists (
           select 1 from reconcile r where r.terminal = t.id and (r.ended_at is null or r.compares = 1 and r.ordered_at >= ?))
         order by t.id limit ?`,
        before,
        limit,
      )
      .map(({ id }) => id),

  ask: async (terminal, id, question) =>
    store.write(() => {
      store.run(
        "insert or replace into question (terminal, id, question, answer) values (?, ?, ?, null)",
        terminal,
        id,
        question,
      );
    }),
  asked: async () =>
    store.all<{ terminal: TerminalId; id: string }>("select terminal, id from question where answer is null"),
  question: async (terminal) =>
    store.get<{ id: string; question: string }>(
      "select id, question from question where terminal = ? and answer is null",
      terminal,
    ) ?? null,
  answer: async (terminal, id, answer) =>
    store.write(
      () => store.run("update question set answer = ? where terminal = ? and id = ?", answer, terminal, id) > 0,
    ),
  answered: async (terminal, id) =>
    store.get<{ answer: string | null }>("select answer from question where terminal = ? and id = ?", terminal, id)
      ?.answer ?? null,
  withdraw: async (terminal, id) =>
    store.write(() => {
      store.run("delete from question where terminal = ? and id = ?", terminal, id);
    }),
});

function get(store: Store, id: string): Reconcile | null {
  const row = store.get<ReconcileRow>(`select ${COLUMNS} from reconcile where id = ?`, id);
  return row ? readReconcile(row) : null;
}
