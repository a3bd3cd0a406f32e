import type { Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { laneName, type Actor, type Epoch, type TerminalId, actorOf } from "../../base/ids.ts";
import { MOST_ASKS } from "../contest.ts";
import type { EpochAsk, MissingRange, Restores } from "../restores.ts";
import { note } from "./events.ts";
import type { Store } from "./store.ts";
import type { Tx } from "./tx.ts";

export const restoresOn = (store: Store): Restores => ({
  missing: (terminal, limit) => store.read((tx) => missing(tx, terminal, limit)),
  restored: (terminal, limit) =>
    store.read(async (tx) => {
      type Row = { terminal: TerminalId; epoch: Epoch; at: Instant; reason: string };
      const rows = await tx.all<Row>(
        `select r.terminal, l.epoch, r.at, r.reason from restored r join lane l on l.id = r.lane
         where $1::text is null or r.terminal = $1 order by r.at desc, r.terminal limit $2`,
        terminal,
        limit,
      );
      return rows.map(({ epoch, ...row }) => ({ ...row, lane: laneName(row.terminal, epoch) }));
    }),
  settled: (terminal, by, why) =>
    store.write(async (tx) => {
      if ((await tx.run("delete from restored where terminal = $1", terminal)) === 0) return false;
      note(tx, "restore settled", by, `${terminal}: ${why}`);
      return true;
    }),
  asks: (terminal, limit) =>
    store.read((tx) =>
      tx.all<EpochAsk>(
        `select terminal, install, previous, reason, asked_at as "askedAt", allowed_by as "allowedBy" from epoch_ask
         where $1::text is null or terminal = $1 order by asked_at desc, install limit $2`,
        terminal,
        limit,
      ),
    ),
  allow: (terminal, install, by, reason) =>
    store.write(async (tx) => {
      const known = await tx.run(
        "update epoch_ask set allowed_by = $1 where terminal = $2 and install = $3",
        actorOf(by),
        terminal,
        install,
      );
      if (known === 0)
        throw new WaybillError("NOT_FOUND", `install ${install} of terminal ${terminal} asks for nothing`);
      note(tx, "epoch allowed", by, `install ${install} of ${terminal}: ${reason}`);
    }),
});

/** Remembers a refused call, once for each install. */
export async function rememberAsk(tx: Tx, ask: Omit<EpochAsk, "askedAt" | "allowedBy">): Promise<void> {
  const fresh = await tx.run(
    `insert into epoch_ask (terminal, install, previous, reason, asked_at) values ($1, $2, $3, $4, $5) on conflict do nothing`,
    ask.terminal,
    ask.install,
    ask.previous,
    ask.reason,
    tx.now(),
  );
  if (fresh === 0) return;
  await tx.run(
    `delete from epoch_ask where terminal = $1 and allowed_by is null and install not in (
       select install from epoch_ask where terminal = $1 order by asked_at desc, install limit $2)`,
    ask.terminal,
    MOST_ASKS,
  );
  note(tx, "epoch asked", `terminal:${ask.terminal}` as Actor, `install ${ask.install}: ${ask.reason}`);
}

/** Gives who let this install take over, and forgets that it asked. */
export async function takeAllowance(tx: Tx, terminal: TerminalId, install: string): Promise<boolean> {
  const allowed = "terminal = $1 and install = $2 and allowed_by is not null";
  return (await tx.run(`delete from epoch_ask where ${allowed}`, terminal, install)) > 0;
}

export async function markRestored(tx: Tx, terminal: TerminalId, lane: number, reason: string): Promise<void> {
  await tx.run(
    `insert into restored (terminal, lane, at, reason) values ($1, $2, $3, $4)
     on conflict (terminal) do update set lane = $2, at = $3, reason = $4`,
    terminal,
    lane,
    tx.now(),
    reason,
  );
}

/** Open messages whose line is not stored, and ranges that never came. A gap is a run without bytes. */
async function missing(tx: Tx, terminal: TerminalId | null, limit: number): Promise<MissingRange[]> {
  type Row = Omit<MissingRange, "lane"> & { terminal: TerminalId; epoch: Epoch };
  const rows = await tx.all<Row>(
    `select l.terminal, l.epoch, m."from", m.through, m.state, m.at as "notedAt"
     from (
       select lane, from_seq as "from", through_seq as through, 'lost' as state, noted_at as at from missing
       union all
       select e.lane, e.seq, e.seq, e.state, e.since from exception e join lane_in i on i.lane = e.lane
       where e.closed_at is null and e.revision is null and e.seq <= i.received_through and coalesce((
         select r.bytes from run r where r.lane = e.lane and r.through_seq >= e.seq
         order by r.through_seq, r.through_part limit 1), 0) = 0) m
     join lane l on l.id = m.lane
     where $1::text is null or l.terminal = $1
     order by l.terminal, l.ordinal, m."from" limit $2`,
    terminal,
    limit,
  );
  return rows.map(({ terminal: of, epoch, ...row }) => ({ lane: laneName(of, epoch), ...row }));
}
