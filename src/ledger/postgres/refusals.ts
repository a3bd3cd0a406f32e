import type { TerminalId, UpdateId } from "../../base/ids.ts";
import type { Change, Row } from "../../message/change.ts";
import type { Tx } from "./tx.ts";

type Entry = { readonly id: UpdateId; readonly changes: Uint8Array };

/**
 * Down carries state, so a newer row of a key makes an older refusal of it pointless: a refusal is closed when the updates
 * that the terminal has applied since write all the keys of the refused one. Costs nothing while nothing is refused.
 * @param from,through the updates that have been applied since the last acknowledgement: (from, through]
 */
export async function closeRefusals(tx: Tx, terminal: TerminalId, from: UpdateId, through: UpdateId): Promise<void> {
  const open = await tx.all<{ id: number; updateId: UpdateId; audience: string }>(
    `select r.id, r.update_id as "updateId", u.audience from refusal r join update_entry u on u.id = r.update_id
     where r.terminal = $1 and r.update_id <= $2`,
    terminal,
    through,
  );
  for (const refusal of open) {
    const waiting = keysOf(await entry(tx, refusal.updateId));
    const newer = await tx.all<Entry>(
      `select id, changes from update_entry
       where audience = $1 and id > $2 and id <= $3 and id not in (select update_id from refusal where terminal = $4) order by id`,
      refusal.audience,
      Math.max(from, refusal.updateId),
      through,
      terminal,
    );
    for (const later of newer) {
      for (const key of keysOf(later)) waiting.delete(key);
      if (waiting.size === 0) break;
    }
    if (waiting.size === 0) await tx.run("delete from refusal where id = $1", refusal.id);
  }
}

const entry = (tx: Tx, id: UpdateId): Promise<Entry | undefined> =>
  tx.get<Entry>("select id, changes from update_entry where id = $1", id);

function keysOf(of: Entry | undefined): Set<string> {
  if (!of) return new Set();
  const changes = JSON.parse(new TextDecoder().decode(of.changes)) as readonly Pick<Change, "table" | "key">[];
  const inOrder = (key: Row): unknown[] => Object.entries(key).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return new Set(changes.map(({ table, key }) => JSON.stringify([table, inOrder(key)])));
}
