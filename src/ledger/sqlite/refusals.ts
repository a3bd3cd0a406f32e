import type { TerminalId, UpdateId } from "../../base/ids.ts";
import type { Change, Row } from "../../message/change.ts";
import type { Store } from "./store.ts";

type Entry = { readonly id: UpdateId; readonly changes: Uint8Array };

/**
 * Down carries state, so a newer row of a key makes an older refusal of it pointless: a refusal is closed when the updates
 * that the terminal has applied since write all the keys of the refused one. Costs nothing while nothing is refused.
 * @param from,through the updates that have been applied since the last acknowledgement: (from, through]
 */
export function closeRefusals(store: Store, terminal: TerminalId, from: UpdateId, through: UpdateId): void {
  const open = store.all<{ id: number; updateId: UpdateId; audience: string }>(
    `select r.id, r.update_id as updateId, u.audience from refusal r join update_entry u on u.id = r.update_id
     where r.terminal = ?1 and r.update_id <= ?2`,
    terminal,
    through,
  );
  for (const refusal of open) {
    const waiting = keysOf(entry(store, refusal.updateId));
    const newer = store.each<Entry>(
      `select id, changes from update_entry
       where audience = ? and id > ? and id <= ? and id not in (select update_id from refusal where terminal = ?) order by id`,
      refusal.audience,
      Math.max(from, refusal.updateId),
      through,
      terminal,
    );
    for (const later of newer) {
      for (const key of keysOf(later)) waiting.delete(key);
      if (waiting.size === 0) break;
    }
    if (waiting.size === 0) store.run("delete from refusal where id = ?", refusal.id);
  }
}

const entry = (store: Store, id: UpdateId): Entry | undefined =>
  store.get<Entry>("select id, changes from update_entry where id = ?", id);

function keysOf(of: Entry | undefined): Set<string> {
  if (!of) return new Set();
  const changes = JSON.parse(new TextDecoder().decode(of.changes)) as readonly Pick<Change, "table" | "key">[];
  const inOrder = (key: Row): unknown[] => Object.entries(key).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return new Set(changes.map(({ table, key }) => JSON.stringify([table, inOrder(key)])));
}
