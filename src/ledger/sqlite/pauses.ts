import { later, type Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { SYSTEM, type By, actorOf } from "../../base/ids.ts";
import {
  FORGET_MS,
  FREED_AT_ONCE,
  probeInMs,
  probesUntried,
  scopeText,
  type Pause,
  type Pauses,
  type PauseScope,
} from "../pauses.ts";
import { reconsider } from "./due.ts";
import { note } from "./events.ts";
import { pausedRoutes } from "./paused.ts";
import type { Store } from "./store.ts";

export const pausesOn = (store: Store): Pauses => ({
  list: async () =>
    store.all<Pause>(
      "select kind, name, since, by, reason, fault, probe_at as probeAt from pause order by since, kind, name",
    ),
  waiting: async () =>
    store.all<{ route: string; messages: number }>(
      "select route, count(*) as messages from exception where route is not null and closed_at is null group by route",
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
        actorOf(by),
        reason,
      );
      note(store, "paused", by, `${scopeText(scope)}: ${reason}`);
      reconsiderAll(store, scope);
    }),
  resume: async (scope, by, reason) =>
    store.write(() => {
      if (!find(store, scope)) throw new WaybillError("NOT_FOUND", `${scopeText(scope)} is not paused`);
      lift(store, scope, by, reason);
      if (scope.kind === "route") freeSome(store, scope.name);
      else reconsiderAll(store, scope);
    }),
  trip: async (route, fault, reason, by) =>
    store.write(() => {
      const added = store.run(
        `insert or ignore into pause (kind, name, since, by, reason, fault, probe_at) values ('route', ?, ?, ?, ?, ?, ?)`,
        route,
        store.now(),
        actorOf(by),
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

function lift(store: Store, scope: PauseScope, by: By, reason: string): void {
  store.run("delete from pause where kind = ? and name = ?", scope.kind, scope.name);
  note(store, "resumed", by, `${scopeText(scope)}: ${reason}`);
}

/** The probe went through, or met something else: the fault of the route is mended. What waits is freed by the next `probe`. */
export function liftTripped(store: Store, route: string, by: By): void {
  const tripped = store.get("select 1 from pause where kind = 'route' and name = ? and fault is not null", route);
  if (tripped) lift(store, { kind: "route", name: route }, by, "the probe went through");
}

/** Everything and routes are asked at the claim alone: no lane need be touched for them. */
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

/** Routes that messages wait for: one step through the index for each, however many wait. */
function* waitedFor(store: Store): Generator<string> {
  for (let after = ""; ;) {
    const row = store.get<{ route: string | null }>("select min(route) as route from exception where route > ?", after);
    if (!row || row.route === null) return;
    yield (after = row.route);
  }
}
/** What waits for a route that is paused no more: it was resumed, also while messages were on their way here. */
const strays = (store: Store): string[] => {
  const paused = new Set(pausedRoutes(store));
  return [...waitedFor(store)].filter((route) => !paused.has(route));
};
const dueProbes = (store: Store): { name: string; since: Instant; probes: number }[] =>
  store.all("select name, since, probes from pause where kind = 'route' and probe_at <= ?", store.now());

const hasProbeWork = (store: Store): boolean => dueProbes(store).length > 0 || strays(store).length > 0;

function probe(store: Store): boolean {
  let work = false;
  for (const route of strays(store)) work = freeSome(store, route) || work;
  for (const { name, since, probes } of dueProbes(store)) {
    const now = store.now();
    const first = firstWaiting(store, name, probesUntried(probes)) ?? firstWaiting(store, name, !probesUntried(probes));
    if (!first && now - since > FORGET_MS) {
      lift(store, { kind: "route", name }, SYSTEM, "nothing waits for it any more; the next message tries it");
      continue;
    }
    store.run(
      "update pause set probes = probes + 1, probe_at = ? where kind = 'route' and name = ?",
      later(now, probeInMs(probes + 1)),
      name,
    );
    if (!first) continue;
    store.run("update exception set due_at = ? where lane = ? and seq = ?", now, first.lane, first.seq);
    reconsider(store, first.lane, now);
    work = true;
  }
  return work;
}

const firstWaiting = (store: Store, route: string, untried: boolean): { lane: number; seq: number } | undefined =>
  store.get<{ lane: number; seq: number }>(
    `select lane, seq from exception where route = ? and closed_at is null and verb = 'load'
       and fault is ${untried ? "null" : "not null"} order by id limit 1`,
    route,
  );

/** True: some were freed. */
function freeSome(store: Store, route: string): boolean {
  const now = store.now();
  const some = store.all<{ id: number; lane: number }>(
    "select id, lane from exception where route = ? order by id limit ?",
    route,
    FREED_AT_ONCE,
  );
  for (const { id } of some)
    store.run(
      "update exception set route = null, due_at = case when closed_at is null then min(due_at, ?1) end where id = ?2",
      now,
      id,
    );
  for (const lane of new Set(some.map((each) => each.lane))) reconsider(store, lane, now);
  return some.length > 0;
}
