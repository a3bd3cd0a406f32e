import type { Instant } from "../base/clock.ts";
import type { Waiting } from "./exceptions.ts";

/** What waits behind some messages, directly or through others: the questions both engines ask, and the answer made of theirs. */

export const NOBODY_WAITS: Waiting = { messages: 0, terminals: 0, since: null, keys: [] };

/** @param heads a query of `lane, seq`: behind whom; they themselves are not counted */
const waitingOf = (heads: string): string => `
  with recursive head (lane, seq) as (${heads}),
  reached (lane, seq) as (
    select lane, seq from head
    union
    select e.lane, e.seq from reached r join exception e
      on e.behind_lane = r.lane and e.behind_seq = r.seq and e.behind_lane is not null
     and e.closed_at is null and e.state = 'held'),
  waiting as (select lane, seq from reached except select lane, seq from head)`;

export type WaitingRow = { readonly on: string; readonly messages: number; readonly since: Instant };
/** Gives `WaitingRow`s, most messages first. */
export const waitingByKey = (heads: string): string => `
  ${waitingOf(heads)} select e.behind_on as "on", count(*) as messages, min(e.since) as since
  from waiting w join exception e on e.lane = w.lane and e.seq = w.seq group by e.behind_on order by messages desc`;
/** Gives one row, `n`. */
export const waitingTerminals = (heads: string): string =>
  `${waitingOf(heads)} select count(distinct l.terminal) as n from waiting w join lane l on l.id = w.lane`;

export const waitingFrom = (rows: readonly WaitingRow[], terminals: number): Waiting => ({
  messages: rows.reduce((sum, { messages }) => sum + messages, 0),
  terminals,
  since: rows.reduce<Instant | null>((first, { since }) => (first !== null && first < since ? first : since), null),
  keys: rows.slice(0, 10).map(({ on, messages }) => ({ on, messages })),
});
