import { later, type Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { actor, epoch as asEpoch, type Epoch, type TerminalId } from "../../base/ids.ts";
import { newUlid } from "../../base/runtime.ts";
import { CHAIN_START } from "../../message/chain.ts";
import { note } from "./events.ts";
import { markRestored, takeAllowance } from "./restores.ts";
import { currentLane } from "./lane-row.ts";
import type { Store } from "./store.ts";

/** How long a second install of one terminal waits for an operator: two tills from one image must not take turns. */
const INSTALL_QUIET_MS = 60 * 60 * 1000;

type Opened = { readonly install: string | null; readonly openedAt: Instant; readonly previous: Epoch | null };

/** See the port; within the caller's transaction. */
export function openEpoch(
  store: Store,
  terminal: TerminalId,
  previous: Epoch | null,
  install: string,
  reason: string,
  named?: Epoch,
  since: "set back" | "goes on" = "set back",
): Epoch {
  const current = currentLane(store, terminal);
  const allowed = takeAllowance(store, terminal, install);
  if (current && !allowed) {
    const opened = store.get<Opened>(
      `select l.install, l.opened_at as openedAt, p.epoch as previous
       from lane l left join lane p on p.terminal = l.terminal and p.ordinal = l.ordinal - 1 where l.id = ?`,
      current.id,
    );
    // The answer to the same call was lost.
    if (opened && opened.install === install && opened.previous === previous) return current.epoch;
    const contested = opened && opened.install !== null && opened.install !== install;
    if (contested && store.now() < later(opened.openedAt, INSTALL_QUIET_MS)) {
      throw new WaybillError(
        "EPOCH_WAITS",
        `install ${install} of terminal ${terminal} came within an hour of another install`,
        {
          facts: { epoch: current.epoch },
        },
      );
    }
  }
  if ((current?.epoch ?? null) !== previous && !allowed) {
    const what = `terminal ${terminal} is in epoch ${current?.epoch ?? "none"}, not ${previous ?? "none"}`;
    throw new WaybillError("EPOCH_CLOSED", what, { facts: { epoch: current?.epoch ?? null } });
  }
  const taken = store.get("select 1 from lane where terminal = ? and epoch = ?", terminal, named ?? null) !== undefined;
  const opened = named === undefined || taken ? asEpoch(newUlid(store.now(), store.random)) : named;
  const lane = beginLane(store, terminal, opened, { install, reason });
  if (current && since === "set back") markRestored(store, terminal, lane, reason);
  return opened;
}

/** Makes a lane the terminal's current one and ends the one before; gives its row id. */
export function beginLane(
  store: Store,
  terminal: TerminalId,
  epoch: Epoch,
  by: { readonly install: string; readonly reason: string } | null = null,
): number {
  const now = store.now();
  const who = actor(`terminal:${terminal}`);
  const before = currentLane(store, terminal);
  if (before) {
    store.run("update lane set ended_at = ? where id = ?", now, before.id);
    note(store, "epoch ended", who, `${epoch} took its place`, before.id);
  }
  const id = store.insert(
    "insert into lane (terminal, epoch, ordinal, install, opened_at) values (?, ?, ?, ?, ?)",
    terminal,
    epoch,
    (before?.ordinal ?? 0) + 1,
    by?.install ?? null,
    now,
  );
  store.run("insert into lane_in (lane, chain) values (?, ?)", id, CHAIN_START);
  store.run("insert into lane_out (lane) values (?)", id);
  note(store, "epoch opened", who, by ? `install ${by.install}: ${by.reason}` : "by its first message", id);
  return id;
}
