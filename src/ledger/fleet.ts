import type { Instant } from "../base/clock.ts";
import { laneName, type Epoch, type LaneName, type TerminalId, type UpdateId } from "../base/ids.ts";

/** How a terminal is, in the order in which a person should look. */
export const HEALTHS = ["trouble", "away", "waiting", "well", "revoked"] as const;
/**
 * `trouble`: it has dead letters. `revoked`: its key is. `away`: not heard of for `AWAY_MS`. `waiting`: messages of it are held, or
 * tried again. The first that holds counts; `well`: none does.
 */
export type FleetHealth = (typeof HEALTHS)[number];
export const AWAY_MS = 2 * 60_000;

export type TerminalLine = {
  readonly terminal: TerminalId;
  readonly tags: Readonly<Record<string, string>>;
  readonly health: FleetHealth;
  readonly lane: LaneName | null;
  readonly received: number;
  readonly loaded: number;
  readonly waiting: number;
  readonly retrying: number;
  readonly held: number;
  readonly dead: number;
  readonly lagMs: number | null;
  readonly lastSeenAt: Instant | null;
  readonly appliedThrough: UpdateId;
};
export type FleetFilter = {
  /** A part of the name, or of the value of any tag, whatever the case of its letters. */
  readonly text?: string;
  /** Tags it has, with just these values. */
  readonly tags?: Readonly<Record<string, string>>;
  readonly health?: FleetHealth;
};
export type FleetSummary = Readonly<Record<FleetHealth, number>> & {
  /** Those to look at first, at most `FIRST`. */
  readonly first: readonly TerminalLine[];
};
export const FIRST = 6;

/** Messages of a terminal that came, and that were loaded, from `at` on for `SLOT_MS`. */
export type DaySlot = { readonly at: Instant; readonly received: number; readonly loaded: number };
export const SLOT_MS = 10 * 60_000;
export const DAY_MS = 24 * 3_600_000;

/** The terminals as people look at them. Costs as much as there are terminals and lanes, never messages. */
export interface Fleet {
  /** In the order of their names, behind `after`. */
  page(filter: FleetFilter, limit: number, after: TerminalId | null): Promise<readonly TerminalLine[]>;
  of(terminal: TerminalId): Promise<TerminalLine | null>;
  summary(): Promise<FleetSummary>;
  /** The last day, oldest first; slots in which nothing happened are left out. Costs as much as there were events of it. */
  day(terminal: TerminalId): Promise<readonly DaySlot[]>;
}

/** A line as a statement gives it, with the epoch of the lane that is open. */
export type LineRow = Omit<TerminalLine, "lane" | "tags"> & { readonly tags: string; readonly epoch: Epoch | null };
export const lineOf = ({ epoch, tags, ...line }: LineRow): TerminalLine => ({
  ...line,
  tags: JSON.parse(tags) as TerminalLine["tags"],
  lane: epoch === null ? null : laneName(line.terminal, epoch),
});

/** Rows of a count by health. */
export type HealthCount = { readonly health: FleetHealth; readonly terminals: number };
export const countsOf = (rows: readonly HealthCount[]): Record<FleetHealth, number> => ({
  ...{ trouble: 0, away: 0, waiting: 0, well: 0, revoked: 0 },
  ...Object.fromEntries(rows.map(({ health, terminals }) => [health, terminals])),
});
