import type { FaultCode } from "../../src/base/errors.ts";
import type { Dice } from "./dice.ts";
import type { CallFaults } from "./life.ts";
import type { NetworkFaults } from "./network.ts";

/**
 * What may go wrong in one seed, and how often. Each seed draws its own few kinds: a world where everything fails all the
 * time hides what needs one fault at the wrong moment in an otherwise quiet one ("swarm testing", Groce et al., 2012).
 */
export type FaultPlan = {
  readonly network: NetworkFaults;
  readonly till: CallFaults;
  readonly ledger: CallFaults;
  readonly central: CallFaults;
  /** Chance of a sale that the centre refuses. */
  readonly poison: number;
  /** Mean virtual milliseconds between two events of a kind; null: never in this seed. */
  readonly every: Readonly<Record<Happening, number | null>>;
};
export const HAPPENINGS = [
  "killHub",
  "killAgent",
  "part",
  "freezeHub",
  "freezeAgent",
  "jumpClock",
  "operator",
  "restoreLedger",
  "restoreCentral",
  "restoreBoth",
] as const;
export type Happening = (typeof HAPPENINGS)[number];

export function drawFaults(dice: Dice): FaultPlan {
  /** This kind at all? And then how often, over two orders of magnitude. */
  const rate = (most: number, share = 0.5): number => (dice.chance(share) ? most * 10 ** -dice.between(0, 2) : 0);
  const calls = (code: FaultCode): CallFaults => ({
    fails: rate(0.1, 0.4),
    answerLost: rate(0.05, 0.4),
    slow: rate(0.2, 0.4),
    slowMs: dice.pick([50, 1_000, 15_000]),
    code,
  });
  const every = (ms: number, share: number): number | null =>
    dice.chance(share) ? ms * 10 ** dice.between(-0.7, 0.7) : null;
  const plan: FaultPlan = {
    network: {
      requestLost: rate(0.3),
      answerLost: rate(0.3),
      doubled: rate(0.3),
      late: rate(0.3),
      lateMs: dice.pick([200, 4_000, 12_000]),
    },
    till: calls("DATABASE_BUSY"),
    ledger: calls("DATABASE_UNAVAILABLE"),
    central: calls("DATABASE_UNAVAILABLE"),
    poison: rate(0.3, 0.6),
    every: {
      killHub: every(6_000, 0.6),
      killAgent: every(6_000, 0.5),
      part: every(8_000, 0.4),
      freezeHub: every(15_000, 0.25),
      freezeAgent: every(15_000, 0.25),
      jumpClock: every(15_000, 0.3),
      operator: every(3_000, 0.8),
      restoreLedger: every(5_000, 0.25),
      restoreCentral: every(5_000, 0.25),
      restoreBoth: every(3_000, 0.1),
    },
  };
  // What both forget shows only where a till was away meanwhile.
  const part = plan.every.restoreBoth === null ? plan.every.part : Math.min(plan.every.part ?? Infinity, 4_000);
  return { ...plan, every: { ...plan.every, part } };
}
