import { later } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { SYSTEM, type Actor } from "../../base/ids.ts";
import { probeInMs, scopeText, type Pause, type Pauses, type PauseScope } from "../pauses.ts";
import { reconsider } from "./due.ts";
import { note } from "./events.ts";
import type { Store } from "./store.ts";
import { storable, type Tx } from "./tx.ts";

export const pausesOn = (store: Store): Pauses => ({
  list: () =>
    store.read((tx) =>
      tx.all<Pause>(
        `select p.kind, p.name, p.since, p.by, p.reason, p.fault, p.probe_at as "probeAt",
                (select count(*) from exception e where p.kind = 'route' and e.route = p.name and e.closed_at is null) as waiting
         from pause p order by p.since, p.kind, p.name`,
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
        by,
        storable(reason),
      );
      note(tx, "paused", by, `${scopeText(scope)}: ${reason}`);
      await reconsiderAll(tx, scope);
    }),
  resume: (scope, by, reason) =>
    store.write(async (tx) => {
      await lockLanes(tx, scope);
      if (!(await find(tx, scope))) throw new WaybillError("NOT_FOUND", `${scopeText(scope)} is not paused`);
      await lift(tx, scope, by, reason);
      if (scope.kind === "route") await freeRoute(tx, scope.name);
      else await reconsiderAll(tx, scope);
    }),
  trip: (route, fault, reason, by) =>
    store.write(async (tx) => {
      const added = await tx.run(
        `insert into pause (kind, name, since, by, reason, fault, probe_at) values ('route', $1, $2, $3, $4, $5, $6)
         on conflict (kind, name) do nothing`,
        route,
        tx.now(),
        by,
        storable(reason),
        fault,
        later(tx.now(), probeInMs(0)),
      );
      if (added > 0) note(tx, "route paused", by, `route ${route}: ${reason}`);
      return added > 0;
    }),
  probe: async () => ((await store.read(hasProbeWork)) ? store.write(probe) : false),
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

async function lift(tx: Tx, scope: PauseScope, by: Actor, reason: string): Promise<void> {
  const gone = await tx.run("delete from pause where kind = $1 and name = $2", scope.kind, scope.name);
  if (gone > 0) note(tx, "resumed", by, `${scopeText(scope)}: ${reason}`);
}

/** The probe went through, or met something else: the fault of the route is mended. What waits is freed by the next `probe`. */
export async function liftTripped(tx: Tx, route: string, by: Actor): Promise<void> {
  const tripped = await tx.get("select from pause where kind = 'route' and name = $1 and fault is not null", route);
  if (tripped) await lift(tx, { kind: "route", name: route }, by, "the probe went through");
}

const LANES = `select l.id from lane l where $1 = 'terminal' and l.terminal = $2 or $1 = 'lane' and l.terminal || '/' || l.epoch = $2`;
const WAITING = "select lane from exception where route = $1 and closed_at is null";

/** Of all lanes concerned, in lane order: whoever claims or settles one of them is through, and the next finds what is written here. */
async function lockLanes(tx: Tx, { kind, name }: PauseScope): Promise<void> {
  if (kind === "route") await lockWaiting(tx, name);
  else if (kind !== "everything")
    await tx.run(`select from lane_out where lane in (${LANES}) order by lane for update`, kind, name);
}
const lockWaiting = (tx: Tx, route: string): Promise<number> =>
  tx.run(`select from lane_out where lane in (${WAITING}) order by lane for update`, route);

/** Everything is asked at the claim alone: no lane need be touched for it. */
async function reconsiderAll(tx: Tx, { kind, name }: PauseScope): Promise<void> {
  if (kind !== "terminal" && kind !== "lane") return;
  const lanes = await tx.all<{ id: number }>(LANES, kind, name);
  await reconsider(
    tx,
    lanes.map(({ id }) => id),
    tx.now(),
  );
}

/** Held messages whose route is paused no more: it was resumed, also while they were on their way here. */
const STRAY = `from exception where route is not null and closed_at is null
  and route not in (select name from pause where kind = 'route')`;
const PROBE_DUE = "from pause where kind = 'route' and probe_at <= $1";

async function hasProbeWork(tx: Tx): Promise<boolean> {
  const [due, stray] = await Promise.all([tx.get(`select ${PROBE_DUE}`, tx.now()), tx.get(`select ${STRAY} limit 1`)]);
  return due !== undefined || stray !== undefined;
}

async function probe(tx: Tx): Promise<boolean> {
  const now = tx.now();
  let work = false;
  for (const { route } of await tx.all<{ route: string }>(`select distinct route ${STRAY}`)) {
    await lockWaiting(tx, route);
    await freeRoute(tx, route);
    work = true;
  }
  const due = await tx.all<{ name: string; probes: number }>(
    `select name, probes ${PROBE_DUE} order by name for update skip locked`,
    now,
  );
  for (const { name, probes } of due) {
    const oldest = await tx.get<{ lane: number; seq: number }>(
      "select lane, seq from exception where route = $1 and closed_at is null and verb = 'load' order by id limit 1",
      name,
    );
    if (!oldest) {
      await lift(tx, { kind: "route", name }, SYSTEM, "nothing waits for it any more; the next message tries it");
      continue;
    }
    await tx.run(
      "update pause set probes = probes + 1, probe_at = $1 where kind = 'route' and name = $2",
      later(now, probeInMs(probes + 1)),
      name,
    );
    await tx.run("select from lane_out where lane = $1 for update", oldest.lane);
    await tx.run(
      "update exception set due_at = $1 where lane = $2 and seq = $3 and route = $4",
      now,
      oldest.lane,
      oldest.seq,
      name,
    );
    await reconsider(tx, [oldest.lane], now);
    work = true;
  }
  return work;
}

/** The caller holds the locks of the lanes. */
async function freeRoute(tx: Tx, route: string): Promise<void> {
  const now = tx.now();
  const lanes = await tx.all<{ lane: number }>(
    "select distinct lane from exception where route = $1 and closed_at is null",
    route,
  );
  await tx.run(
    "update exception set route = null, due_at = least(due_at, $1) where route = $2 and closed_at is null and due_at is not null",
    now,
    route,
  );
  await reconsider(
    tx,
    lanes.map(({ lane }) => lane),
    now,
  );
}
