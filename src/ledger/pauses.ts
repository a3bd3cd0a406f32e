import { instant, type Instant } from "../base/clock.ts";
import type { FaultCode } from "../base/errors.ts";
import type { Actor, By } from "../base/ids.ts";

/** What can stand still. `name`: a terminal's id, a lane, or a table by its name at the terminals; empty for everything. */
export type PauseScope = { readonly kind: "everything" | "terminal" | "lane" | "route"; readonly name: string };
export type Pause = PauseScope & {
  readonly since: Instant;
  readonly by: Actor;
  readonly reason: string;
  /** Waybill itself paused the route, since this fault met many lanes; null: a person did. */
  readonly fault: FaultCode | null;
  /** When one message tries next whether the fault is mended; null: a person must resume it. */
  readonly probeAt: Instant | null;
};

/** What is paused. It survives restarts and holds for all processes of the ledger; batches in work are finished. */
export interface Pauses {
  list(): Promise<readonly Pause[]>;
  /** How many messages wait for each route. Counts them: for people, not for every look. */
  waiting(): Promise<readonly { readonly route: string; readonly messages: number }[]>;
  /** A route that Waybill had paused becomes the person's. @throws STATE_CONFLICT when a person has paused it already. */
  pause(scope: PauseScope, by: By, reason: string): Promise<void>;
  /** Lets it go on; what waited is due at once. @throws NOT_FOUND when it is not paused. */
  resume(scope: PauseScope, by: By, reason: string): Promise<void>;
  /** Waybill pauses a route for a fault that meets many lanes. False: it was paused already, and nothing was written. */
  trip(route: string, fault: FaultCode, reason: string, by: By): Promise<boolean>;
  /**
   * Makes one message due of each route whose probe is due, and frees some of those whose route is no longer paused. Which one
   * probes: the oldest that was refused, and every fourth time the oldest that was not tried yet, since the fault may be
   * one of some terminals only. The cost does not grow with what waits. True: there is work, and another look may find more.
   */
  probe(): Promise<boolean>;
  /** Lanes that workers have in hand: 0 once a drain is through. */
  inWork(): Promise<number>;
}

/** A message that waits for a route is due at no time that will come. */
export const NEVER_DUE = instant(253_402_300_799_000);
/** Between probes of a route, at first and at most. */
export const PROBE_FIRST_MS = 1_000;
export const PROBE_CAP_MS = 30_000;
/** Of a route nothing waits for so long (what is on its way has come by then): the next message may try it. */
export const FORGET_MS = 60_000;
/** Messages freed in one transaction. */
export const FREED_AT_ONCE = 2_000;
export const probesUntried = (probes: number): boolean => probes % 4 === 3;
export const probeInMs = (probes: number): number => Math.min(PROBE_CAP_MS, PROBE_FIRST_MS * 2 ** Math.min(probes, 10));

export const scopeText = ({ kind, name }: PauseScope): string => (kind === "everything" ? kind : `${kind} ${name}`);
