import { later } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { SYSTEM, type Actor } from "../../base/ids.ts";
import { probeInMs, scopeText, type Pause, type Pauses, type PauseScope } from "../pauses.ts";
import { reconsider } from "./due.ts";
import { note } from "./events.ts";
import type { Store } from "./store.ts";

export const pausesOn = (store: Store): Pauses => ({
  list: async () =>
    store.all<Pause>(
      `select p.kind, p.name, p.since, p.by, p.reason, p.fault, p.probe_at as probeAt,
              (select count(*) from exception e where p.kind = 'route' and e.route = p.name and e.closed_at is null) as waiting
       from pause p order by p.since, p.kind, p.name`,
    ),
  pause: async (scope, by, reason) =>
    store.write(() => {
      const known = find(store, scope);
      if (known && known.fault === null)
        throw new WaybillError("STATE_CONFLICT", `${scopeText(scope)} is paused already, by ${known.by}`);
      store.run(
        "insert or replace into pause (kind, name, since, by, reason) values (?, ?, ?, ?, ?)",
        scope.kind,
        scope.name,
        store.now(),
        by,
        reason,
      );
      note(store, "paused", by, `${scopeText(scope)}: ${reason}`);
      reconsiderAll(store, scope);
    }),
  resume: async (scope, by, reason) =>
    store.write(() => {
      if (!find(store, scope)) throw new WaybillError("NOT_FOUND", `${scopeText(scope)} is not paused`);
      lift(store, scope, by, reason);
      if (scope.kind === "route") freeRoute(store, scope.name);
      else reconsiderAll(store, scope);
    }),
  trip: async (route, fault, reason, by) =>
    store.write(() => {
      const added = store.run(
        `insert or ignore into pause (kind, name, since, by, reason, fault, probe_at) values ('route', ?, ?, ?, ?, ?, ?)`,
        route,
        store.now(),
        by,
        reason,
        fault,
        later(store.now(), probeInMs(0)),
      );
      if (added > 0) note(store, "route paused", by, `route ${route}: ${reason}`);
      return added > 0;
    }),
  probe: async () => (hasProbeWork(store) ? store.write(() => probe(store)) : false),
  inWork: async () =>
    store.get<{ n: number }>("select count(*) as n from lane_out where leased_by is not null")?.n ?? 0,
});

const find = (store: Store, { kind, name }: PauseScope): Pick<Pause, "by" | "fault"> | undefined =>
  store.get<Pick<Pause, "by" | "fault">>("select by, fault from pause where kind = ? and name = ?", kind, name);

function lift(store: Store, scope: PauseScope, by: Actor, reason: string): void {
  store.run("delete from pause where kind = ? and name = ?", scope.kind, scope.name);
  note(store, "resumed", by, `${scopeText(scope)}: ${reason}`);
}

/** The probe went through, or met something else: the fault of the route is mended. What waits is freed by the next `probe`. */
export function liftTripped(store: Store, route: string, by: Actor): void {
  const tripped = store.get("select 1 from pause where kind = 'route' and name = ? and fault is not null", route);
  if (tripped) lift(store, { kind: "route", name: route }, by, "the probe went through");
}

/** Everything is asked at the claim alone: no lane need be touched for it. */
function reconsiderAll(store: Store, { kind, name }: PauseScope): void {
  if (kind !== "terminal" && kind !== "lane") return;
  const lanes = store.all<{ id: number }>(
    kind === "terminal"
      ? "select id from lane where terminal = ?"
      : "select id from lane where terminal || '/' || epoch = ?",
    name,
  );
  for (const { id } of lanes) reconsider(store, id, store.now());
}

/** Held messages whose route is paused no more: it was resumed, also while they were on their way here. */
const STRAY = `from exception where route is not null and closed_at is null
  and route not in (select name from pause where kind = 'route')`;
const PROBE_DUE = "from pause where kind = 'route' and probe_at <= ?";

const hasProbeWork = (store: Store): boolean =>
  store.get(`select 1 ${PROBE_DUE}`, store.now()) !== undefined || store.get(`select 1 ${STRAY} limit 1`) !== undefined;

function probe(store: Store): boolean {
  const now = store.now();
  let work = false;
  for (const { route } of store.all<{ route: string }>(`select distinct route ${STRAY}`)) {
    freeRoute(store, route);
    work = true;
  }
  for (const { name, probes } of store.all<{ name: string; probes: number }>(`select name, probes ${PROBE_DUE}`, now)) {
    const oldest = store.get<{ lane: number; seq: number }>(
      "select lane, seq from exception where route = ? and closed_at is null and verb = 'load' order by id limit 1",
      name,
    );
    if (!oldest) {
      lift(store, { kind: "route", name }, SYSTEM, "nothing waits for it any more; the next message tries it");
      continue;
    }
    store.run(
      "update pause set probes = probes + 1, probe_at = ? where kind = 'route' and name = ?",
      later(now, probeInMs(probes + 1)),
      name,
    );
    store.run("update exception set due_at = ? where lane = ? and seq = ?", now, oldest.lane, oldest.seq);
    reconsider(store, oldest.lane, now);
    work = true;
  }
  return work;
}

function freeRoute(store: Store, route: string): void {
  const now = store.now();
  const lanes = store.all<{ lane: number }>(
    "select distinct lane from exception where route = ? and closed_at is null",
    route,
  );
  store.run(
    "update exception set route = null, due_at = case when due_at is null then null else min(due_at, ?1) end where route = ?2 and closed_at is null",
    now,
    route,
  );
  for (const { lane } of lanes) reconsider(store, lane, now);
}
