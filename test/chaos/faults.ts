import { setTimeout as pause } from "node:timers/promises";
import { until } from "../kit/until.ts";
import { LEASE_MS, sql, type Disks, type World } from "./world.ts";

/** From 0 up to, not including, 1. */
export type Dice = () => number;

/** mulberry32 (Tommy Ettinger, public domain): the same faults in the same order from the same seed. */
export function diceOf(seed: number): Dice {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export type Fault = {
  readonly name: string;
  readonly kind: "process" | "network";
  /** How often it is drawn, beside the others of its kind. */
  readonly weight: number;
  /** It is not drawn where no disks can be made that can be filled. */
  readonly fills?: keyof Disks;
  /** Does it, and undoes what does not heal by itself. */
  readonly strike: (world: World, dice: Dice) => Promise<unknown>;
};

const pick = <T>(from: readonly T[], dice: Dice): T => from[Math.floor(dice() * from.length)] as T;
const for_ = (fromMs: number, toMs: number, dice: Dice): number => fromMs + (toMs - fromMs) * dice();

type Way = "ledger" | "centre" | "door";
/** What networks do, on the way between a hub and one of its neighbours. */
function troubles(way: Way, called: string): Fault[] {
  const trouble = (
    name: string,
    weight: number,
    begin: "hang" | "refuse" | "slow",
    ms: readonly [number, number],
  ): Fault => ({
    name: `${called} ${name}`,
    kind: "network",
    weight,
    strike: async (world, dice) => {
      const proxy = pick(world.hubs, dice)[way];
      if (begin === "slow") proxy.slow(for_(5, 60, dice));
      else if (begin === "hang") proxy.hang();
      else {
        proxy.refuse();
        proxy.reset();
      }
      await pause(for_(...ms, dice));
      proxy.heal();
    },
  });
  return [
    {
      name: `${called} reset`,
      kind: "network",
      weight: 4,
      strike: async (world, dice) => pick(world.hubs, dice)[way].reset(),
    },
    trouble("cut, and refused for a while", 2, "refuse", [300, 3_000]),
    trouble("hanging", 2, "hang", [300, LEASE_MS * 2]),
    trouble("slow", 1, "slow", [500, 3_000]),
  ];
}

/** A disk without room for one byte, and a server that may have ended for it started again. Nothing where disks cannot be made. */
const diskFull = (of: keyof Disks, called: string): Fault => ({
  name: `${called} disk full`,
  kind: "process",
  weight: 1,
  fills: of,
  strike: async ({ disks, servers }, dice) => {
    if (disks === null) return;
    disks[of].fill();
    await pause(for_(200, 4_000, dice));
    disks[of].free();
    if (of === "shops") return;
    // It may be on its way down still: only an answer shows that it is up.
    await until(async () => (await servers[of].revive(), sql(servers[of].url("postgres"), "select 1", 1_000)), {
      timeoutMs: 60_000,
      what: `${called} server up again`,
    });
  },
});

const HOUR_MS = 3_600_000;
/** Seconds or minutes beside the true time, at times a day; a third of the settings are true again. */
function skewMs(dice: Dice): number {
  const far = pick([0, 5_000, 5_000, 600_000, HOUR_MS, 24 * HOUR_MS], dice);
  return dice() < 0.3 ? 0 : far * (2 * dice() - 1);
}

/** Everything that is done to the world, in words for the report. */
export const FAULTS: readonly Fault[] = [
  {
    name: "hub killed",
    kind: "process",
    weight: 6,
    strike: async (world, dice) => pick(world.hubs, dice).process.kill(),
  },
  {
    name: "hub stopped for longer than its leases",
    kind: "process",
    weight: 4,
    strike: (world, dice) => pick(world.hubs, dice).process.freeze(LEASE_MS * 1.5),
  },
  {
    name: "agent killed",
    kind: "process",
    weight: 5,
    strike: async (world, dice) => pick(world.tills, dice).agent.kill(),
  },
  {
    name: "agent stopped",
    kind: "process",
    weight: 2,
    strike: (world, dice) => pick(world.tills, dice).agent.freeze(for_(200, 3_000, dice)),
  },
  {
    name: "ledger's server killed (pg_ctl -m immediate)",
    kind: "process",
    weight: 1,
    strike: (world) => world.servers.ledger.restart(),
  },
  {
    name: "centre's server killed (pg_ctl -m immediate)",
    kind: "process",
    weight: 1,
    strike: (world) => world.servers.centre.restart(),
  },
  {
    name: "tills' server killed (pg_ctl -m immediate)",
    kind: "process",
    weight: 1,
    strike: (world) => world.servers.tills.restart(),
  },
  diskFull("ledger", "ledger's"),
  diskFull("centre", "centre's"),
  diskFull("tills", "tills'"),
  diskFull("shops", "shops'"),
  {
    name: "hub's clock set",
    kind: "process",
    weight: 2,
    strike: async (world, dice) => pick(world.hubs, dice).process.setClock(skewMs(dice)),
  },
  {
    name: "agent's clock set",
    kind: "process",
    weight: 2,
    strike: async (world, dice) => pick(world.tills, dice).agent.setClock(skewMs(dice)),
  },
  ...troubles("ledger", "hub – ledger"),
  ...troubles("centre", "hub – centre"),
  ...troubles("door", "terminals – hub"),
];

/** One of them by weight. */
export function draw(faults: readonly Fault[], dice: Dice): Fault {
  let at = dice() * faults.reduce((sum, { weight }) => sum + weight, 0);
  for (const fault of faults) if ((at -= fault.weight) < 0) return fault;
  return faults[0] as Fault;
}
