import { newUlid } from "../../base/runtime.ts";
import type { UpdateId } from "../../base/ids.ts";
import type { StrandPlace } from "../strands.ts";
import type { LostIds, Strand } from "../update-log.ts";
import type { Tx } from "./tx.ts";

/** @param asked a name that the id may have had in ids that this log lost */
export async function strandsAt(tx: Tx, id: UpdateId, asked: string | null): Promise<StrandPlace> {
  const place = await tx.get<StrandPlace>(
    `select
       (select name from update_strand where through_id is null and first_id <= $1 order by first_id desc limit 1) as at,
       (select name from update_strand where through_id is null and first_id <= $1 + 1 order by first_id desc limit 1) as onward,
       (select min(first_id) from update_strand where through_id is null and first_id > $1 + 1) as until,
       exists (select from update_strand where name = $2 and first_id <= $1 and through_id >= $1) as lost`,
    id,
    asked,
  );
  return { at: null, onward: null, until: null, lost: false, ...place };
}

export const toldStrands = (tx: Tx): Promise<Strand[]> =>
  tx.all<Strand>(
    "select first_id as first, name from update_strand where told and through_id is null order by first_id",
  );

/** Ids above the head are given under this name; one that waited there was not used. */
export async function beginStrand(tx: Tx, head: UpdateId, name: string): Promise<void> {
  if ((await toldStrands(tx)).at(-1)?.name === name) return;
  await tx.run("delete from update_strand where first_id > $1 and through_id is null", head);
  await tx.run("insert into update_strand (first_id, name, told) values ($1, $2, true)", head + 1, name);
}

/** Ids above the head are left out: they have a name that nobody was ever told, but for those of which it is known what they were. */
export async function leaveOut(tx: Tx, head: UpdateId, lost: readonly LostIds[]): Promise<void> {
  await tx.run("delete from update_strand where first_id > $1", head);
  // Told again after a term was begun, by whoever was killed before the next step: the log has them below its head by now.
  const insert = `insert into update_strand as s (first_id, name, told, through_id) values ($1, $2, true, $3)
    on conflict (first_id, name) do update set through_id = greatest(s.through_id, excluded.through_id)
      where s.through_id is not null`;
  for (const { first, name, through } of lost) await tx.run(insert, first, name, through);
  const name = newUlid(tx.now(), tx.random);
  await tx.run("insert into update_strand (first_id, name, told) values ($1, $2, false)", head + 1, name);
}

/** Names of ids that no cursor can show any more. */
export async function dropStrands(tx: Tx, gone: UpdateId): Promise<void> {
  await tx.run(
    `delete from update_strand where coalesce(through_id, 0) <= $1 and first_id < (
       select max(first_id) from update_strand where through_id is null and first_id <= $1)`,
    gone,
  );
}
