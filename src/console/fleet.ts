import type { Instant } from "../base/clock.ts";
import type { TerminalId } from "../base/ids.ts";
import type { TerminalLine, Trail } from "../ledger/port.ts";

/** How a terminal is, in the order in which a person should look. */
export const HEALTHS = ["trouble", "away", "waiting", "well"] as const;
export type FleetHealth = (typeof HEALTHS)[number];
export type FleetLine = TerminalLine & { readonly health: FleetHealth };
export type FleetPage = { readonly terminals: readonly FleetLine[]; readonly next: TerminalId | null };
export type FleetSummary = Readonly<Record<FleetHealth, number>> & {
  /** From commit at the terminal to commit at the centre, of each terminal's newest message, in milliseconds. */
  readonly lag: { readonly typicalMs: number; readonly slowestMs: number } | null;
  /** Those to look at first, at most six. */
  readonly first: readonly FleetLine[];
};

/** Terminals by name; all that is needed of the ledger. */
type Lines = Pick<Trail, "byTerminal">;

const AWAY_MS = 2 * 60_000;
const PAGE = 1_000;
/** Lines looked at for one page of answers; a filter that few meet is answered in several pages. */
const MOST_LOOKED_AT = 20_000;
const SHOWN_FIRST = 6;

export function healthOf(line: TerminalLine, now: Instant): FleetHealth {
  if (line.dead > 0) return "trouble";
  if (line.lastSeenAt === null || now - line.lastSeenAt > AWAY_MS) return "away";
  return line.retrying + line.held > 0 ? "waiting" : "well";
}

/** Terminals whose name holds `text`, in order of their names. `next` is where the following page begins. */
export async function findTerminals(
  trail: Lines,
  now: Instant,
  filter: { readonly text: string; readonly health: FleetHealth | null },
  limit: number,
  after: TerminalId | null,
): Promise<FleetPage> {
  const terminals: FleetLine[] = [];
  let position = after;
  // Without a health to look for, every line is one of the answer.
  const size = filter.health === null ? Math.min(limit, PAGE) : PAGE;
  for (let looked = 0; looked < MOST_LOOKED_AT; looked += size) {
    const page = await trail.byTerminal(size, position, filter.text);
    for (const line of page) {
      position = line.terminal;
      const health = healthOf(line, now);
      if ((filter.health ?? health) !== health) continue;
      terminals.push({ ...line, health });
      if (terminals.length === limit) return { terminals, next: position };
    }
    if (page.length < size) return { terminals, next: null };
  }
  return { terminals, next: position };
}

export async function summarise(trail: Lines, now: Instant): Promise<FleetSummary> {
  const counts = { trouble: 0, away: 0, waiting: 0, well: 0 };
  const lags: number[] = [];
  let first: FleetLine[] = [];
  let position: TerminalId | null = null;
  for (;;) {
    const page: readonly TerminalLine[] = await trail.byTerminal(PAGE, position);
    const lines = page.map((line) => ({ ...line, health: healthOf(line, now) }));
    for (const line of lines) {
      counts[line.health]++;
      if (line.lagMs !== null && line.health !== "away") lags.push(line.lagMs);
    }
    first = [...first, ...lines.filter((line) => line.health !== "well")].toSorted(worstFirst).slice(0, SHOWN_FIRST);
    position = page.at(-1)?.terminal ?? null;
    if (page.length < PAGE) break;
  }
  const sorted = lags.toSorted((a, b) => a - b);
  const typicalMs = sorted[Math.floor(sorted.length / 2)];
  const slowestMs = sorted.at(-1);
  const lag = typicalMs === undefined || slowestMs === undefined ? null : { typicalMs, slowestMs };
  return { ...counts, lag, first };
}

const worstFirst = (a: FleetLine, b: FleetLine): number =>
  HEALTHS.indexOf(a.health) - HEALTHS.indexOf(b.health) || b.dead - a.dead || a.terminal.localeCompare(b.terminal);
