import type { UpdateId } from "../../base/ids.ts";
import type { UpdateLog } from "../update-log.ts";
import { reachPage, readReachPlace, type PublishedUpdate, type ReachRow } from "../spread.ts";
import { storable, type Tx } from "./tx.ts";

/**
 * Whether terminal `t` awaits or has entry `e`: it is in the audience, did not write it itself, and was enrolled before it
 * (a later one gets the rows with its first snapshot).
 */
const IS_FOR = `t.state = 'enrolled' and t.began_after < e.id and t.id is distinct from e.origin and (
  e.audience = 'all' or e.audience = 'terminal:' || t.id or
  t.tags ->> split_part(e.audience, ':', 1) = substr(e.audience, strpos(e.audience, ':') + 1))`;

export const newestUpdates = (
  tx: Tx,
  audience: string | null,
  limit: number,
  before: UpdateId | null,
): Promise<PublishedUpdate[]> =>
  tx.all<PublishedUpdate>(
    `with page as (
       select id, audience, tx, at, origin, trace, count, bytes from update_entry
       where id < $1 and ($2::text is null or audience = $2) order by id desc limit $3),
     refused as (select distinct terminal, update_id from refusal where update_id in (select id from page))
     select e.*, s.* from page e cross join lateral (
       select count(*) as reach, count(r.terminal) as refused,
              count(*) filter (where r.terminal is null and t.applied_through >= e.id) as applied,
              count(*) filter (
                where r.terminal is null and t.applied_through < e.id and t.delivered_through >= e.id) as delivered
       from terminal t left join refused r on r.terminal = t.id and r.update_id = e.id where ${IS_FOR}) s
     order by e.id desc`,
    before ?? Number.MAX_SAFE_INTEGER,
    audience === null ? null : storable(audience),
    limit,
  );

export async function reachOf(
  tx: Tx,
  id: UpdateId,
  limit: number,
  after: string | null,
): ReturnType<UpdateLog["reach"]> {
  const [through, terminal] = readReachPlace(after);
  const rows = await tx.all<ReachRow>(
    `select t.id as terminal, t.applied_through as "appliedThrough", t.delivered_through as "deliveredThrough",
            t.last_seen_at as "lastSeenAt", r.code, r.detail, r.at
     from update_entry e join terminal t on ${IS_FOR}
     left join lateral (
       select code, detail, at from refusal where terminal = t.id and update_id = e.id order by id limit 1) r on true
     where e.id = $1 and (t.applied_through, t.id) > ($2, $3)
     order by t.applied_through, t.id limit $4`,
    id,
    through,
    storable(terminal),
    limit,
  );
  return reachPage(rows, id, limit);
}
