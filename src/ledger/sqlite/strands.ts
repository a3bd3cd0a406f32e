import { newUlid } from "../../base/runtime.ts";
import type { UpdateId } from "../../base/ids.ts";
import type { StrandPlace } from "../strands.ts";
import type { LostIds, Strand } from "../update-log.ts";
import type { Store } from "./store.ts";

/** @param asked a name that the id may have had in ids that this log lost */
export function strandsAt(store: Store, id: UpdateId, asked: string | null): StrandPlace {
  const place = store.get<Omit<StrandPlace, "lost"> & { lost: number }>(
    `select
       (select name from update_strand where through_id is null and first_id <= ?1 order by first_id desc limit 1) as at,
       (select name from update_strand where through_id is null and first_id <= ?1 + 1 order by first_id desc limit 1) as onward,
       (select min(first_id) from update_strand where through_id is null and first_id > ?1 + 1) as until,
       exists (select 1 from update_strand where name = ?2 and first_id <= ?1 and through_id >= ?1) as lost`,
    id,
    asked,
  );
  return { at: null, onward: null, until: null, ...place, lost: place?.lost === 1 };
}

export const toldStrands = (store: Store): Strand[] =>
  store.all<Strand>(
    "select first_id as first, name from update_strand where told = 1 and through_id is null order by first_id",
  );

/** Ids above the head are given under this name; one that waited there was not used. */
export function beginStrand(store: Store, head: UpdateId, name: string): void {
  if (toldStrands(store).at(-1)?.name === name) return;
  store.run("delete from update_strand where first_id > ? and through_id is null", head);
  store.run("insert into update_strand (first_id, name, told) values (?, ?, 1)", head + 1, name);
}

/** Ids above the head are left out: they have a name that nobody was ever told, but for those of which it is known what they were. */
export function leaveOut(store: Store, head: UpdateId, lost: readonly LostIds[]): void {
  store.run("delete from update_strand where first_id > ?", head);
  // Told again after a term was begun, by whoever was killed before the next step: the log has them below its head by now.
  const insert = `insert into update_strand (first_id, name, told, through_id) values (?, ?, 1, ?)
    on conflict (first_id, name) do update set through_id = max(through_id, excluded.through_id) where through_id is not null`;
  for (const { first, name, through } of lost) store.run(insert, first, name, through);
  const name = newUlid(store.now(), store.random);
  store.run("insert into update_strand (first_id, name, told) values (?, ?, 0)", head + 1, name);
}

/** Names of ids that no cursor can show any more. */
export function dropStrands(store: Store, gone: UpdateId): void {
  store.run(
    `delete from update_strand where coalesce(through_id, 0) <= ?1 and first_id < (
       select max(first_id) from update_strand where through_id is null and first_id <= ?1)`,
    gone,
  );
}
