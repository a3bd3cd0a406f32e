import { isoOf } from "../../base/clock.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { Trouble } from "../../ledger/alerts.ts";
import { scopeText, type Pauses } from "../../ledger/pauses.ts";
import type { Upkeep } from "../../ledger/port.ts";
import type { BreakerState } from "../breaker.ts";
import type { AlertRules } from "./rules.ts";
import type { Look } from "./watch.ts";

/** A target that has not answered for longer than the rule allows. */
export function breakerLook(
  rule: AlertRules["breaker-open"],
  state: () => BreakerState,
  { clock }: Pick<Runtime, "clock">,
): Look {
  return () => {
    const now = state();
    if (!rule || now.kind === "closed" || clock.now() - now.since < rule.afterMs) return [];
    const { since, failures, fault } = now;
    return [
      {
        rule: "breaker-open",
        subject: "central",
        what: `The central database has given ${fault} since ${isoOf(since)}; messages wait.`,
        count: null,
        facts: { since, failures, fault },
      },
    ];
  };
}

/** @param free bytes of the ledger's disk; null or Infinity where there is none to look at */
export function diskLook(rule: AlertRules["disk-low"], host: string, free: () => Promise<number>): Look {
  return async () => {
    const bytes = await free();
    if (!rule || bytes >= rule.belowBytes) return [];
    return [low(host, bytes)];
  };
}
const MIB = 1024 * 1024;
const low = (host: string, bytes: number): Trouble => ({
  rule: "disk-low",
  subject: host,
  what: `The ledger's disk on ${host} has less than ${Math.ceil(bytes / MIB / 64) * 64} MiB free.`,
  count: null,
  facts: { host, freeMib: Math.floor(bytes / MIB) },
});

/** One alert for each thing that is paused, however many messages wait for it. */
export function pauseLook(rule: AlertRules["route-paused"], pauses: Pauses, { clock }: Pick<Runtime, "clock">): Look {
  return async () => {
    if (!rule) return [];
    const now = clock.now();
    const told = (await pauses.list()).filter(({ fault, since }) => fault !== null || now - since >= rule.personMs);
    const counts = told.length > 0 ? await pauses.waiting() : [];
    return told.map((pause) => {
      const { fault, since, by, reason, kind, name } = pause;
      const waiting = (kind === "route" && counts.find(({ route }) => route === name)?.messages) || 0;
      const scope = scopeText(pause);
      const why = fault === null ? `paused by ${by}: ${reason}` : `paused, since many lanes meet ${fault}: ${reason}`;
      const text = `${scope} has been ${why}, since ${isoOf(since)}; ${waiting} messages wait.`;
      return {
        rule: "route-paused",
        subject: scope,
        what: `${text[0]?.toUpperCase() ?? ""}${text.slice(1)}`,
        count: null,
        facts: { scope, fault, since, waiting },
      };
    });
  };
}

export function snapshotLook(rule: AlertRules["snapshot-held"], upkeep: Upkeep | undefined): Look {
  return async () => {
    if (!rule || !upkeep) return [];
    const { oldestSnapshot } = await upkeep.look();
    if (oldestSnapshot === null || oldestSnapshot.seconds * 1_000 < rule.afterMs) return [];
    const { seconds, by } = oldestSnapshot;
    const minutes = Math.floor(seconds / 60);
    return [
      {
        rule: "snapshot-held",
        subject: "",
        what: `A transaction of ${by} has long been open in the ledger's database: dead rows cannot be cleared away.`,
        count: null,
        facts: { by, minutes },
      },
    ];
  };
}
