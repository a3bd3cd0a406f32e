import { later, type Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { actor, epoch as asEpoch, type Epoch, type TerminalId } from "../../base/ids.ts";
import { newUlid } from "../../base/runtime.ts";
import { CHAIN_START } from "../../message/chain.ts";
import { note } from "./events.ts";
import { markRestored, takeAllowance } from "./restores.ts";
import { currentLane } from "./lane-row.ts";
import type { Tx } from "./tx.ts";

/** How long a second install of one terminal waits for an operator: two tills from one image must not take turns. */
const INSTALL_QUIET_MS = 60 * 60 * 1000;

type Opened = { readonly install: string | null; readonly openedAt: Instant; readonly previous: Epoch | null };

/** See the port; within the caller's transaction. */
export async function openEpoch(
  tx: Tx,
  terminal: TerminalId,
  previous: Epoch | null,
  install: string,
  reason: string,
  named?: Epoch,
  since: "set back" | "goes on" = "set back",
): Promise<Epoch> {
  // An append to the lane that may end is waited for, and the next one finds it ended.
  await tx.run(
    `select from lane_in i join lane l on l.id = i.lane where l.terminal = $1 order by i.lane for update of i`,
    terminal,
  );
  const current = await currentLane(tx, terminal);
  const allowed = await takeAllowance(tx, terminal, install);
  if (current && !allowed) {
    const opened = await tx.get<Opened>(
      `select l.install, l.opened_at as "openedAt", p.epoch as previous
       from lane l left join lane p on p.terminal = l.terminal and p.ordinal = l.ordinal - 1 where l.id = $1`,
      current.id,
    );
    // The answer to the same call was lost.
    if (opened && opened.install === install && opened.previous === previous) return current.epoch;
    const contested = opened && opened.install !== null && opened.install !== install;
    if (contested && tx.now() < later(opened.openedAt, INSTALL_QUIET_MS)) {
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
  const taken =
    (await tx.get("select 1 from lane where terminal = $1 and epoch = $2", terminal, named ?? null)) !== undefined;
  const opened = named === undefined || taken ? asEpoch(newUlid(tx.now(), tx.random)) : named;
  const lane = await beginLane(tx, terminal, opened, { install, reason });
  if (current && since === "set back") await markRestored(tx, terminal, lane, reason);
  return opened;
}

/** Makes a lane the terminal's current one and ends the one before; gives its row id. */
export async function beginLane(
  tx: Tx,
  terminal: TerminalId,
  epoch: Epoch,
  by: { readonly install: string; readonly reason: string } | null = null,
): Promise<number> {
  const now = tx.now();
  const who = actor(`terminal:${terminal}`);
  // Two that begin the same lanes in different orders would wait for each other in a ring. It comes after all locks on rows,
  // and whoever has it waits for nobody.
  await tx.run("select pg_advisory_xact_lock(1463962696, hashtext(current_schema()))");
  const before = await currentLane(tx, terminal);
  if (before) {
    await tx.run("update lane set ended_at = $1 where id = $2", now, before.id);
    note(tx, "epoch ended", who, `${epoch} took its place`, before.id);
  }
  const made = await tx.get<{ id: number }>(
    "insert into lane (terminal, epoch, ordinal, install, opened_at) values ($1, $2, $3, $4, $5) returning id",
    terminal,
    epoch,
    (before?.ordinal ?? 0) + 1,
    by?.install ?? null,
    now,
  );
  if (!made) throw new WaybillError("INTERNAL", `the lane of terminal ${terminal} was not stored`);
  const { id } = made;
  await tx.run("insert into lane_in (lane, chain) values ($1, $2)", id, CHAIN_START);
  await tx.run("insert into lane_out (lane) values ($1)", id);
  note(tx, "epoch opened", who, by ? `install ${by.install}: ${by.reason}` : "by its first message", id);
  return id;
}
