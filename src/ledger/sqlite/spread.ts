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
const REFUSES = "exists (select 1 from refusal r where r.terminal = t.id and r.update_id = e.id)";

export const newestUpdates = (
  store: Store,
  audience: string | null,
  limit: number,
  before: UpdateId | null,
): PublishedUpdate[] =>
  store.all<PublishedUpdate>(
    `select e.id, e.audience, e.tx, e.at, e.origin, e.trace, e.count, e.bytes,
            (select count(*) from terminal t where ${IS_FOR}) as reach,
            (select count(*) from terminal t where t.applied_through >= e.id and ${IS_FOR} and not ${REFUSES}) as applied,
            (select count(*) from terminal t where ${REFUSES} and ${IS_FOR}) as refused
     from update_entry e where e.id < ?1 and (?2 is null or e.audience = ?2) order by e.id desc limit ?3`,
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
    `select t.id as terminal, t.applied_through as appliedThrough, t.last_seen_at as lastSeenAt, r.code, r.detail, r.at
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
