import pc from "picocolors";
import { instantOf, type Instant } from "../../base/clock.ts";
import type { LoopStatus } from "../../terminal/loop.ts";
import type { TerminalStatus } from "../../terminal/state.ts";
import { count, duration, table } from "../print.ts";

/** The agent writes its status at least this often, and a little slack. */
const SILENT_MS = 60_000;
/** Rows refused here that are named. */
const ROWS_SHOWN = 10;

const messages = (n: number): string => (n === 1 ? "1 message" : `${count(n)} messages`);

/** What of the day has arrived, what waits and why: first as a shop would say it, then the figures. */
export function statusText(status: TerminalStatus, now: Instant): string {
  const { up, down } = status;
  const lines = [
    `${status.terminal} → ${status.hub}`,
    "",
    ...verdict(status, now),
    "",
    `  in the central database  ${loadedText(up)}`,
    `  stored at the hub        ${throughText(up.receivedThrough)}`,
    `  waiting here             ${messages(up.packedThrough - up.receivedThrough)}, and ${count(up.outboxRows)} changes not numbered yet`,
    `  updates applied here     through ${down.appliedThrough}`,
  ];
  if (down.stale > 0) lines.push("", ...staleText(status));
  const loops = Object.entries(status.loops).map(([name, loop]) => [
    name,
    loop.state,
    loop.since,
    loop.failures,
    errorText(loop.lastError),
  ]);
  lines.push("", table(["work", "state", "since", "failures", "last error"], loops));
  return lines.join("\n");
}

/** One to four sentences, the worst first. */
export function verdict(status: TerminalStatus, now: Instant): readonly string[] {
  const { up, loops } = status;
  const silentMs = now - (instantOf(status.writtenAt) ?? now);
  const waiting = up.packedThrough - up.receivedThrough + Math.min(up.outboxRows, 1);
  const open = up.open.dead + up.open.held + up.open.retrying;
  const loading = up.receivedThrough - up.loadedThrough;
  const told: string[] = [];
  if (silentMs > SILENT_MS)
    told.push(
      pc.red(`The agent is not running: it last said something ${duration(silentMs)} ago.`),
      "What is sold meanwhile is kept in this database, and sent when the agent runs again.",
    );
  if (waiting > 0) {
    const since = up.oldestAt === null ? null : instantOf(up.oldestAt);
    const age = since === null ? "" : `, the oldest for ${duration(now - since)}`;
    const { state, lastError } = loops.submit;
    told.push(pc.yellow(`Not all has left this machine yet${age}.`));
    if (state === "failing" && lastError)
      told.push(`Sending fails: ${errorText(lastError)}. It is tried again by itself.`);
    if (state === "blocked" && lastError)
      told.push(pc.red(`The hub refuses it: ${errorText(lastError)}. ${lastError.hint}`));
  }
  if (up.open.dead > 0)
    told.push(
      pc.yellow(
        `${messages(up.open.dead)} ${up.open.dead === 1 ? "was" : "were"} refused by the central database: head office sees them and decides. Nothing is lost.`,
      ),
    );
  const others = up.open.held + up.open.retrying;
  if (others > 0)
    told.push(
      `${messages(others)} ${others === 1 ? "waits" : "wait"} at the hub for that, or ${others === 1 ? "is" : "are"} tried again by itself.`,
    );
  if (loading > 0)
    told.push(`${messages(loading)} ${loading === 1 ? "is" : "are"} stored at the hub and not loaded yet.`);
  // Of what was sold since the agent ended nobody knows.
  if (silentMs > SILENT_MS) return told;
  if (up.packedThrough === 0 && waiting === 0) told.push("Nothing was sold here yet, as far as the agent has seen.");
  else if (waiting === 0 && loading === 0 && open === 0)
    told.push(pc.green("Everything sold here until now is in the central database."));
  else if (waiting === 0) told.push("Everything sold here until now is stored at the hub, durably.");
  return told;
}

const throughText = (through: number): string => (through === 0 ? "nothing yet" : `through message ${through}`);

/** The watermark passes what was refused: that is said with it, or a shop would believe that all of it is there. */
function loadedText({ loadedThrough, open }: TerminalStatus["up"]): string {
  const parts = Object.entries(open).filter(([, n]) => n > 0);
  if (parts.length === 0) return throughText(loadedThrough);
  return `${throughText(loadedThrough)}, but for ${parts.map(([state, n]) => `${n} ${state}`).join(", ")}`;
}

function staleText({ down }: TerminalStatus): readonly string[] {
  const shown = down.staleRows.slice(0, ROWS_SHOWN);
  const more = down.stale - shown.length;
  return [
    pc.yellow(
      `${down.stale === 1 ? "1 row here is" : `${count(down.stale)} rows here are`} not what the centre says, since this database refused the update:`,
    ),
    ...shown.map(({ table: name, code, detail }) => `  ${name}  ${code}  ${detail}`),
    ...(more > 0 ? [`  and ${count(more)} more`] : []),
  ];
}

const errorText = (error: LoopStatus["lastError"]): string => (error === null ? "" : `${error.code}: ${error.what}`);
