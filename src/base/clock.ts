import type { Brand } from "./ids.ts";

/** Milliseconds since 1970-01-01T00:00Z, for our own bookkeeping only: values of the application never become one. */
export type Instant = Brand<number, "Instant">;

export interface Clock {
  /** Wall time; may jump. For showing and for due dates, never for order. */
  now(): Instant;
  /** Milliseconds that only grow; for durations. */
  elapsed(): number;
}

export const instant = (ms: number): Instant => Math.round(ms) as Instant;
export const later = (from: Instant, ms: number): Instant => instant(from + ms);
export const isoOf = (at: Instant): string => new Date(at).toISOString();
const ISO_WITH_ZONE = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/;

/** Reads an ISO 8601 text with zone; null if it is none. Digits beyond milliseconds are dropped: for bookkeeping only. */
export function instantOf(iso: string): Instant | null {
  const ms = ISO_WITH_ZONE.test(iso) ? Date.parse(iso) : Number.NaN;
  return Number.isNaN(ms) ? null : instant(ms);
}

export const systemClock: Clock = {
  now: () => Date.now() as Instant,
  elapsed: () => performance.now(),
};
