import type { DaySlot } from "../src/ledger/fleet.ts";
import type { Minute, Point } from "./api.ts";

type Rates = { readonly received: (number | null)[]; readonly loaded: (number | null)[] };

/** Rates from running totals, each over `over` steps so that single seconds do not jitter; a total that fell was restored. */
export function ratesOf(points: readonly Pick<Point, "at" | "received" | "loaded">[], over: number): Rates {
  const rate = (index: number, of: "received" | "loaded"): number | null => {
    const [now, before] = [points[index], points[Math.max(0, index - over)]];
    if (!now || !before || now.at <= before.at) return null;
    return Math.max(0, ((now[of] - before[of]) * 1_000) / (now.at - before.at));
  };
  return {
    received: points.map((_, index) => rate(index, "received")),
    loaded: points.map((_, index) => rate(index, "loaded")),
  };
}

const MINUTE_MS = 60_000;
/** Longer without figures than this, and the hub was away: the line is broken there rather than drawn over it. */
const GAP_MS = 3 * MINUTE_MS;

/** A day for drawing: each minute with its rates, and an empty one wherever the hub was away. Times are seconds since 1970. */
export function dayOf(given: readonly Minute[]): {
  readonly times: readonly number[];
  readonly minutes: readonly (Minute | null)[];
  readonly flow: Rates & { readonly out: (number | null)[] };
} {
  const minutes: (Minute | null)[] = [];
  const times: number[] = [];
  const [received, loaded, out]: (number | null)[][] = [[], [], []];
  const rates = ratesOf(given, 1);
  given.forEach((minute, index) => {
    const before = given[index - 1];
    const isGap = before !== undefined && minute.at - before.at > GAP_MS;
    if (isGap) {
      times.push((before.at + MINUTE_MS) / 1_000);
      for (const list of [minutes, received, loaded, out]) list?.push(null);
    }
    times.push(minute.at / 1_000);
    minutes.push(minute);
    received?.push(isGap ? null : (rates.received[index] ?? null));
    loaded?.push(isGap ? null : (rates.loaded[index] ?? null));
    out?.push(minute.out / (MINUTE_MS / 1_000));
  });
  return { times, minutes, flow: { received: received ?? [], loaded: loaded ?? [], out: out ?? [] } };
}

const DAY_MS = 24 * 60 * MINUTE_MS;

/** A terminal's day for drawing: each slot of the last 24 hours, the quiet ones too. Times are seconds since 1970. */
export function slotsOf(
  given: readonly DaySlot[],
  slotMs: number,
  now: number,
): { readonly times: readonly number[]; readonly received: readonly number[]; readonly loaded: readonly number[] } {
  const last = Math.floor(now / slotMs) * slotMs;
  const known = new Map(given.map((slot) => [slot.at as number, slot]));
  const times = Array.from({ length: DAY_MS / slotMs }, (_, n) => last - DAY_MS + (n + 1) * slotMs);
  return {
    times: times.map((at) => at / 1_000),
    received: times.map((at) => known.get(at)?.received ?? 0),
    loaded: times.map((at) => known.get(at)?.loaded ?? 0),
  };
}
