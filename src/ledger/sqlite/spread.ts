import type { UpdateId } from "../../base/ids.ts";
import { reachPage, readReachPlace, type PublishedUpdate, type Reached, type ReachRow } from "../spread.ts";
import type { Store } from "./store.ts";

/**
 * Whether terminal `t` awaits or has entry `e`: it is in the audience, did not write it itself, and was enrolled before it
 * (a later one gets the rows with its first snapshot).
 */
const IS_FOR = `t.state = 'enrolled' and t.began_after < e.id and t.id is not e.origin and (
  e.audience = 'all' or e.audience = 'terminal:' || t.id or
  t.tags ->> ('$."' || substr(e.audience, 1, instr(e.audience, ':') - 1) || '"') = substr(e.audience, instr(e.audience, ':') + 1))`;

export const newestUpdates = (
  store: Store,
  audience: string | null,
  limit: number,
  before: UpdateId | null,
): PublishedUpdate[] =>
  store.all<PublishedUpdate>(
    `with page as (
       select id, audience, tx, at, origin, trace, count, bytes from update_entry
       where id < ?1 and (?2 is null or audience = ?2) order by id desc limit ?3),
     -- Each terminal's audiences once, however many updates go to them.
     belongs as materialized (
       select id, applied_through, delivered_through, began_after, audience from (
         select t.*, 'all' as audience from terminal t
         union all select t.*, 'terminal:' || t.id from terminal t
         union all select t.*, g.key || ':' || g.value from terminal t, json_each(t.tags) g)
       where state = 'enrolled' and audience in (select audience from page)),
     refused as materialized (select distinct terminal, update_id from refusal where update_id in (select id from page))
     select e.*, count(t.id) as reach, count(r.terminal) as refused,
            coalesce(sum(r.terminal is null and t.applied_through >= e.id), 0) as applied,
            coalesce(sum(r.terminal is null and t.applied_through < e.id and t.delivered_through >= e.id), 0) as delivered
     from page e
     left join belongs t on t.audience = e.audience and t.began_after < e.id and t.id is not e.origin
     left join refused r on r.terminal = t.id and r.update_id = e.id
     group by e.id order by e.id desc`,
    before ?? Number.MAX_SAFE_INTEGER,
    audience,
    limit,
  );

export function reachOf(
  store: Store,
  id: UpdateId,
  limit: number,
  after: string | null,
): {
  readonly rows: readonly Reached[];
  readonly next: string | null;
} {
  const [through, terminal] = readReachPlace(after);
  const rows = store.all<ReachRow>(
    `select t.id as terminal, t.applied_through as appliedThrough, t.delivered_through as deliveredThrough,
            t.last_seen_at as lastSeenAt, r.code, r.detail, r.at
     from update_entry e join terminal t on ${IS_FOR}
     left join (select terminal, update_id, min(id) as it from refusal group by terminal, update_id) f
       on f.terminal = t.id and f.update_id = e.id
     left join refusal r on r.id = f.it
     where e.id = ?1 and (t.applied_through, t.id) > (?2, ?3)
     order by t.applied_through, t.id limit ?4`,
    id,
    through,
    terminal,
    limit,
  );
  return reachPage(rows, id, limit);
}
