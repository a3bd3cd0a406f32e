import type { Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { laneName, type Actor, type Epoch, type Seq, type TerminalId, actorOf } from "../../base/ids.ts";
import { MOST_ASKS } from "../contest.ts";
import type { EpochAsk, MissingRange, Restores } from "../restores.ts";
import { note } from "./events.ts";
import type { Store } from "./store.ts";

export const restoresOn = (store: Store): Restores => ({
  missing: async (terminal, limit) => missing(store, terminal, limit),
  restored: async (terminal, limit) =>
    store
      .all<{ terminal: TerminalId; epoch: Epoch; at: Instant; reason: string }>(
        `select r.terminal, l.epoch, r.at, r.reason from restored r join lane l on l.id = r.lane
         where ?1 is null or r.terminal = ?1 order by r.at desc, r.terminal limit ?2`,
        terminal,
        limit,
      )
      .map(({ epoch, ...row }) => ({ ...row, lane: laneName(row.terminal, epoch) })),
  settled: async (terminal, by, why) =>
    store.write(() => {
      if (store.run("delete from restored where terminal = ?", terminal) === 0) return false;
      note(store, "restore settled", by, `${terminal}: ${why}`);
      return true;
    }),
  asks: async (terminal, limit) =>
    store.all<EpochAsk>(
      `select terminal, install, previous, reason, asked_at as askedAt, allowed_by as allowedBy from epoch_ask
       where ?1 is null or terminal = ?1 order by asked_at desc, install limit ?2`,
      terminal,
      limit,
    ),
  allow: async (terminal, install, by, reason) =>
    store.write(() => {
      const known = store.run(
        "update epoch_ask set allowed_by = ? where terminal = ? and install = ?",
        actorOf(by),
        terminal,
        install,
      );
      if (known === 0)
        throw new WaybillError("NOT_FOUND", `install ${install} of terminal ${terminal} asks for nothing`);
      note(store, "epoch allowed", by, `install ${install} of ${terminal}: ${reason}`);
    }),
});

/** Remembers a refused call, once for each install. */
export function rememberAsk(store: Store, ask: Omit<EpochAsk, "askedAt" | "allowedBy">): void {
  const fresh = store.run(
    `insert into epoch_ask (terminal, install, previous, reason, asked_at) values (?, ?, ?, ?, ?) on conflict do nothing`,
    ask.terminal,
    ask.install,
    ask.previous,
    ask.reason,
    store.now(),
  );
  if (fresh === 0) return;
  store.run(
    `delete from epoch_ask where terminal = ?1 and allowed_by is null and install not in (
       select install from epoch_ask where terminal = ?1 order by asked_at desc, install limit ?2)`,
    ask.terminal,
    MOST_ASKS,
  );
  note(store, "epoch asked", `terminal:${ask.terminal}` as Actor, `install ${ask.install}: ${ask.reason}`);
}

/** Gives who let this install take over, and forgets that it asked. */
export function takeAllowance(store: Store, terminal: TerminalId, install: string): boolean {
  const allowed = "terminal = ? and install = ? and allowed_by is not null";
  return store.run(`delete from epoch_ask where ${allowed}`, terminal, install) > 0;
}

export function markRestored(store: Store, terminal: TerminalId, lane: number, reason: string): void {
  store.run(
    `insert into restored (terminal, lane, at, reason) values (?1, ?2, ?3, ?4)
     on conflict (terminal) do update set lane = ?2, at = ?3, reason = ?4`,
    terminal,
    lane,
    store.now(),
    reason,
  );
}

/** Open messages whose line is not stored, and ranges that never came. A gap is a run without bytes. */
function missing(store: Store, terminal: TerminalId | null, limit: number): MissingRange[] {
  type Row = Omit<MissingRange, "lane"> & { terminal: TerminalId; epoch: Epoch; from: Seq };
  return store
    .all<Row>(
      `select l.terminal, l.epoch, m."from", m.through, m.state, m.notedAt
       from (
         select lane, from_seq as "from", through_seq as through, 'lost' as state, noted_at as notedAt from missing
         union all
         select e.lane, e.seq, e.seq, e.state, e.since from exception e join lane_in i on i.lane = e.lane
         where e.closed_at is null and e.revision is null and e.seq <= i.received_through and coalesce((
           select r.bytes from run r where r.lane = e.lane and r.through_seq >= e.seq
           order by r.through_seq, r.through_part limit 1), 0) = 0) m
       join lane l on l.id = m.lane
       where ?1 is null or l.terminal = ?1
       order by l.terminal, l.ordinal, m."from" limit ?2`,
      terminal,
      limit,
    )
    .map(({ terminal: of, epoch, ...row }) => ({ lane: laneName(of, epoch), ...row }));
}
