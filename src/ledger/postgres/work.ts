import { later } from "../../base/clock.ts";
import { actor, seq, type Epoch, type LaneName, type Seq, type TerminalId } from "../../base/ids.ts";
import { pageOfMarks } from "../marks.ts";
import type { Work } from "../port.ts";
import { adoptLane } from "./adopt.ts";
import { claimedLate, claimLanes } from "./claim.ts";
import { lockTerminals, reconsider } from "./due.ts";
import { record, recordOne } from "./events.ts";
import { lanesNamed, nameOf } from "./lane-row.ts";
import { settleLanes } from "./settle.ts";
import type { Store } from "./store.ts";
import type { Tx } from "./tx.ts";

type Held = Parameters<Work["renew"]>[0];

export const workOn = (store: Store): Work => ({
  claim: (worker, limit, leaseMs) => {
    store.setBack.leaseMs = leaseMs;
    return store.write((tx) => claimLanes(tx, worker, limit, leaseMs));
  },
  renew: (held, leaseMs) => store.write((tx) => renew(tx, held, leaseMs)),
  settle: (outcomes) => store.write((tx) => settleLanes(tx, outcomes)),
  release: (held, retryInMs, why) => store.write((tx) => handBack(tx, held, retryInMs, why)),
  adopt: (lane, fence, centre) => store.write((tx) => adoptLane(tx, lane, fence, centre)),
  nextDue: () =>
    store.read(async (tx) => {
      // Not min(): this is the first row of the index `lane_due`, by any plan.
      const row = await tx.get<{ at: number }>(
        `select work_at as at from lane_out
         where work_at is not null and not exists (select from pause where kind = 'everything')
         order by work_at limit 1`,
      );
      return row === undefined ? null : Math.max(0, row.at - tx.now());
    }),
  marks: (limit, after) =>
    store.read(async (tx) => {
      type Row = {
        id: number;
        terminal: TerminalId;
        epoch: Epoch;
        loadedThrough: Seq;
        version: number;
        leased: boolean;
      };
      const rows = await tx.all<Row>(
        `select l.id, l.terminal, l.epoch, o.loaded_through as "loadedThrough", o.version, o.leased_by is not null as leased
         from lane l join lane_out o on o.lane = l.id where l.id > $1 order by l.id limit $2`,
        after ?? 0,
        limit,
      );
      return pageOfMarks(rows, limit);
    }),
  doubt: (lanes) => store.write((tx) => doubt(tx, lanes)),
});

async function doubt(tx: Tx, lanes: readonly LaneName[]): Promise<void> {
  if (lanes.length === 0) return;
  const [, rows] = await Promise.all([lockTerminals(tx, lanes), lanesNamed(tx, lanes)]);
  const ids = [...rows.values()].map(({ id }) => id);
  await tx.run("update lane_out set doubted = true where lane = any ($1)", ids);
  await reconsider(tx, ids, tx.now());
}

async function renew(tx: Tx, held: Held, leaseMs: number): Promise<readonly LaneName[]> {
  if (held.length === 0) return [];
  const names = held.map(({ lane }) => lane);
  const [, rows] = await Promise.all([lockTerminals(tx, names), lanesNamed(tx, names)]);
  const kept = held.flatMap(({ lane: name, fence }) => {
    const lane = rows.get(name);
    return lane && lane.leasedBy !== null && lane.fence === fence ? [lane] : [];
  });
  await tx.run(
    "update lane_out set leased_until = $1, work_at = $1 where lane = any ($2)",
    later(tx.now(), leaseMs),
    kept.map(({ id }) => id),
  );
  const mine = new Set(kept.map(nameOf));
  return names.filter((name) => !mine.has(name));
}

/** Nothing is judged, so a suspect lane stays as suspect as it was. */
async function handBack(tx: Tx, held: Held, retryInMs: number, why: string): Promise<void> {
  if (held.length === 0) return;
  const names = held.map(({ lane }) => lane);
  const [, rows] = await Promise.all([lockTerminals(tx, names), lanesNamed(tx, names)]);
  const now = tx.now();
  const given: number[] = [];
  for (const { lane: name, fence } of held) {
    const lane = rows.get(name);
    if (!lane || lane.leasedBy === null || lane.fence !== fence) continue;
    given.push(lane.id);
    const by = actor(`worker:${lane.leasedBy}`);
    if (lane.claimedThrough > lane.loadedThrough) {
      const from = seq(lane.loadedThrough + 1);
      const { id, claimedThrough: through } = lane;
      record(tx, { lane: id, from, through, kind: "handed back", by, detail: why });
    }
    for (const { n } of await claimedLate(tx, lane)) recordOne(tx, lane.id, n, "handed back", by, why);
  }
  await tx.run(
    `update lane_out set leased_by = null, leased_until = null, claimed_through = loaded_through, claimed_items = 0,
       not_before = $1 where lane = any ($2)`,
    later(now, retryInMs),
    given,
  );
  await reconsider(tx, given, now);
}
