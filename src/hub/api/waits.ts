import { isoOf, type Instant } from "../../base/clock.ts";
import type { FaultCode } from "../../base/errors.ts";
import { splitLane, type Actor, type LaneName, type Seq } from "../../base/ids.ts";
import type { ExceptionRow } from "../../ledger/exceptions.ts";
import { scopeText, type Pause, type PauseScope } from "../../ledger/pauses.ts";
import type { Ledger } from "../../ledger/port.ts";
import type { StateKind } from "../../message/lifecycle.ts";
import type { BreakerState } from "../breaker.ts";

/** Why something waits, as data; whatever of it holds at once is told, what must end first before the rest. */
export type WaitReason =
  | { readonly kind: "breaker"; readonly target: "central"; readonly since: Instant; readonly fault: FaultCode }
  | {
      readonly kind: "paused";
      readonly scope: PauseScope;
      readonly since: Instant;
      readonly by: Actor;
      readonly reason: string;
      /** Waybill itself paused it, and goes on by itself when this is mended; null: a person must resume it. */
      readonly fault: FaultCode | null;
    }
  | { readonly kind: "behind"; readonly lane: LaneName; readonly seq: Seq; readonly on: string }
  | { readonly kind: "retrying"; readonly until: Instant; readonly attempts: number; readonly fault: FaultCode | null }
  /** It is dead: a person must requeue or discard it. */
  | { readonly kind: "person"; readonly fault: FaultCode | null };

/** What stands still now. */
export type Standstill = { readonly pauses: readonly Pause[]; readonly breaker: BreakerState | null };

export async function standstillOf(ledger: Ledger, breaker: BreakerState | null): Promise<Standstill> {
  return { pauses: await ledger.pauses.list(), breaker };
}

/** @param exception its row, when it left the happy path */
export function waitsOf(
  lane: LaneName,
  state: StateKind,
  exception: Pick<ExceptionRow, "fault" | "attempts" | "dueAt" | "behind" | "route"> | null,
  { pauses, breaker }: Standstill,
): readonly WaitReason[] {
  if (state === "loaded" || state === "discarded" || state === "processing") return [];
  if (state === "dead") return [{ kind: "person", fault: exception?.fault ?? null }];
  const waits: WaitReason[] = [];
  if (breaker && breaker.kind !== "closed")
    waits.push({ kind: "breaker", target: "central", since: breaker.since, fault: breaker.fault });
  const { terminal } = splitLane(lane);
  for (const { kind, name, since, by, reason, fault } of pauses) {
    const concerned = { everything: "", terminal, lane, route: exception?.route ?? null }[kind];
    if (name === concerned) waits.push({ kind: "paused", scope: { kind, name }, since, by, reason, fault });
  }
  if (exception?.behind) waits.push({ kind: "behind", ...exception.behind });
  if (state === "retrying" && exception?.dueAt != null) {
    const { dueAt: until, attempts, fault } = exception;
    waits.push({ kind: "retrying", until, attempts, fault });
  }
  return waits;
}

/** In plain words: `held behind t1/main/41 on sale S-9`. */
export function waitText(wait: WaitReason): string {
  switch (wait.kind) {
    case "breaker":
      return `breaker open since ${isoOf(wait.since)}: the central database gives ${wait.fault}`;
    case "paused": {
      const on = wait.fault === null ? "" : "; goes on by itself when that is mended";
      return `${scopeText(wait.scope)} paused by ${wait.by} since ${isoOf(wait.since)}: ${wait.reason}${on}`;
    }
    case "behind":
      return `held behind ${wait.lane}/${wait.seq} on ${wait.on}`;
    case "retrying":
      return `retrying until ${isoOf(wait.until)}, tried ${wait.attempts} time(s): ${wait.fault ?? "refused"}`;
    case "person":
      return `waits for a person, to requeue or to discard it: ${wait.fault ?? "dead"}`;
  }
}
