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
import type { Store } from "./store.ts";
import { storable, type Tx } from "./tx.ts";

export const pausesOn = (store: Store): Pauses => ({
  list: () =>
    store.read((tx) =>
      tx.all<Pause>(
        `select kind, name, since, by, reason, fault, probe_at as "probeAt" from pause order by since, kind, name`,
      ),
    ),
  waiting: () =>
    store.read((tx) =>
      tx.all<{ route: string; messages: number }>(
        "select route, count(*) as messages from exception where route is not null and closed_at is null group by route",
      ),
    ),
  pause: (scope, by, reason) =>
    store.write(async (tx) => {
      await lockLanes(tx, scope);
      const known = await find(tx, scope);
      if (known && known.fault === null)
        throw new WaybillError("STATE_CONFLICT", `${scopeText(scope)} is paused already, by ${known.by}`);
      await tx.run(
        `insert into pause (kind, name, since, by, reason) values ($1, $2, $3, $4, $5)
         on conflict (kind, name) do update set since = $3, by = $4, reason = $5, fault = null, probe_at = null, probes = 0`,
        scope.kind,
        scope.name,
        tx.now(),
        actorOf(by),
        storable(reason),
      );
      note(tx, "paused", by, `${scopeText(scope)}: ${reason}`);
      await reconsiderAll(tx, scope);
    }),
  resume: async (scope, by, reason) => {
    await store.write(async (tx) => {
      await lockLanes(tx, scope);
      if (!(await find(tx, scope))) throw new WaybillError("NOT_FOUND", `${scopeText(scope)} is not paused`);
      await lift(tx, scope, by, reason);
      await reconsiderAll(tx, scope);
    });
    if (scope.kind === "route") await store.write((tx) => freeSome(tx, scope.name));
  },
  trip: (route, fault, reason, by) =>
    store.write(async (tx) => {
      const added = await tx.run(
        `insert into pause (kind, name, since, by, reason, fault, probe_at) values ('route', $1, $2, $3, $4, $5, $6)
         on conflict (kind, name) do nothing`,
        route,
        tx.now(),
        actorOf(by),
        storable(reason),
        fault,
        later(tx.now(), probeInMs(0)),
      );
      if (added > 0) note(tx, "route paused", by, `route ${route}: ${reason}`);
      return added > 0;
    }),
  probe: () => probe(store),
  inWork: () =>
    store.read(async (tx) => {
      const row = await tx.get<{ n: number }>("select count(*) as n from lane_out where leased_by is not null");
      return row?.n ?? 0;
    }),
});

/** The row, locked: two who pause or resume the same wait for each other. */
const find = (tx: Tx, { kind, name }: PauseScope): Promise<Pick<Pause, "by" | "fault"> | undefined> =>
  tx.get<Pick<Pause, "by" | "fault">>(
    "select by, fault from pause where kind = $1 and name = $2 for update",
    kind,
    name,
  );

async function lift(tx: Tx, scope: PauseScope, by: By, reason: string): Promise<void> {
  const gone = await tx.run("delete from pause where kind = $1 and name = $2", scope.kind, scope.name);
  if (gone > 0) note(tx, "resumed", by, `${scopeText(scope)}: ${reason}`);
}

/** The probe went through, or met something else: the fault of the route is mended. What waits is freed by the next `probe`. */
export async function liftTripped(tx: Tx, route: string, by: By): Promise<void> {
  const tripped = await tx.get("select from pause where kind = 'route' and name = $1 and fault is not null", route);
  if (tripped) await lift(tx, { kind: "route", name: route }, by, "the probe went through");
}

const LANES = `select l.id from lane l where $1 = 'terminal' and l.terminal = $2 or $1 = 'lane' and l.terminal || '/' || l.epoch = $2`;

/** Of all lanes concerned, in lane order: whoever claims or settles one of them is through, and the next finds what is written here. */
async function lockLanes(tx: Tx, { kind, name }: PauseScope): Promise<void> {
  if (kind === "terminal" || kind === "lane")
    await tx.run(`select from lane_out where lane in (${LANES}) order by lane for update`, kind, name);
}

/** Everything and routes are asked at the claim alone: no lane need be touched for them. */
async function reconsiderAll(tx: Tx, { kind, name }: PauseScope): Promise<void> {
  if (kind !== "terminal" && kind !== "lane") return;
  const lanes = await tx.all<{ id: number }>(LANES, kind, name);
  await reconsider(
    tx,
    lanes.map(({ id }) => id),
    tx.now(),
  );
}

/** Routes that messages wait for and that are paused no more; one step through the index for each route, however many wait. */
const STRAYS = `
  with recursive waited (route) as (
    (select route from exception where route is not null order by route limit 1)
    union all
    select (select e.route from exception e where e.route > w.route order by e.route limit 1)
    from waited w where w.route is not null)
  select route from waited
  where route is not null and not exists (select from pause where kind = 'route' and name = route)`;
const PROBES = "select name from pause where kind = 'route' and probe_at <= $1 order by name";

async function probe(store: Store): Promise<boolean> {
  const { strays, due } = await store.read(async (tx) => {
    const [strays, due] = await Promise.all([
      tx.all<{ route: string }>(STRAYS),
      tx.all<{ name: string }>(PROBES, tx.now()),
    ]);
    return { strays, due };
  });
  let work = false;
  // Each in a transaction of its own: lanes are locked first and pauses last, as everywhere, also when there are several.
  for (const { route } of strays) work = (await store.write((tx) => freeSome(tx, route))) || work;
  for (const { name } of due) work = (await store.write((tx) => probeRoute(tx, name))) || work;
  return work;
}

async function probeRoute(tx: Tx, name: string): Promise<boolean> {
  const now = tx.now();
  const seen = await tx.get<{ probes: number }>("select probes from pause where kind = 'route' and name = $1", name);
  if (!seen) return false;
  const untried = probesUntried(seen.probes);
  const first = (await firstWaiting(tx, name, untried)) ?? (await firstWaiting(tx, name, !untried));
  if (first) await tx.run("select from lane_out where lane = $1 for update", first.lane);
  const pause = await tx.get<{ since: Instant; probes: number }>(
    `select since, probes from pause where kind = 'route' and name = $1 and probe_at <= $2 for update skip locked`,
    name,
    now,
  );
  if (!pause) return false; // another process probes it
  if (!first && now - pause.since > FORGET_MS) {
    const reason = "nothing waits for it any more; the next message tries it";
    await lift(tx, { kind: "route", name }, SYSTEM, reason);
    return false;
  }
  await tx.run(
    "update pause set probes = probes + 1, probe_at = $1 where kind = 'route' and name = $2",
    later(now, probeInMs(pause.probes + 1)),
    name,
  );
  if (!first) return false;
  await tx.run(
    "update exception set due_at = $1 where lane = $2 and seq = $3 and route = $4",
    now,
    first.lane,
    first.seq,
    name,
  );
  await reconsider(tx, [first.lane], now);
  return true;
}

const firstWaiting = (tx: Tx, route: string, untried: boolean): Promise<{ lane: number; seq: number } | undefined> =>
  tx.get<{ lane: number; seq: number }>(
    `select lane, seq from exception where route = $1 and closed_at is null and verb = 'load'
       and fault is ${untried ? "null" : "not null"} order by id limit 1`,
    route,
  );

/** True: some were freed. */
async function freeSome(tx: Tx, route: string): Promise<boolean> {
  const now = tx.now();
  const some = await tx.all<{ id: number; lane: number }>(
    "select id, lane from exception where route = $1 order by id limit $2",
    route,
    FREED_AT_ONCE,
  );
  const lanes = [...new Set(some.map(({ lane }) => lane))];
  await tx.run("select from lane_out where lane = any ($1) order by lane for update", lanes);
  await tx.run(
    `update exception set route = null, due_at = case when closed_at is null then least(due_at, $1::bigint) end
     where id = any ($2) and route = $3`,
    now,
    some.map(({ id }) => id),
    route,
  );
  await reconsider(tx, lanes, now);
  return some.length > 0;
}
