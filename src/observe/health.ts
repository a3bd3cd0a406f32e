/** What a part of a process says of itself. */
export type Health = { readonly state: "ok" | "degraded" | "down"; readonly why: string | null };
export type HealthReport = { readonly ready: boolean; readonly parts: Readonly<Record<string, Health>> };

export const WELL: Health = { state: "ok", why: null };
export const degraded = (why: string): Health => ({ state: "degraded", why });
export const down = (why: string): Health => ({ state: "down", why });

/**
 * Ready means: requests may be sent here. A part that is degraded (the centre is away, the backlog grows) does not make
 * a hub unready, since it can still store what terminals send; a part that is down does.
 */
export function healthOf(parts: Readonly<Record<string, Health>>): HealthReport {
  return { ready: Object.values(parts).every((part) => part.state !== "down"), parts };
}
