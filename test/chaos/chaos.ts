import { setTimeout as pause } from "node:timers/promises";
import { retail, type RetailInvoice } from "../kit/retail.ts";
import { healed, verdict, Watcher, type Findings } from "./check.ts";
import { diceOf, draw, FAULTS, type Dice } from "./faults.ts";
import type { Shop } from "./shops.ts";
import { World, type Size } from "./world.ts";

export type ChaosPlan = Size & {
  readonly seed: number;
  /** How long faults are made, in seconds. */
  readonly seconds: number;
  /** Faults end sooner when so many have been made, if both kinds have. */
  readonly faults?: number;
  /** The retail file is rung up so many times over, under numbers of their own. */
  readonly rounds: number;
  /** Told one line at a time what is being done. */
  readonly tell?: (line: string) => void;
};
export type ChaosReport = {
  readonly plan: ChaosPlan;
  readonly counts: ReadonlyMap<string, number>;
  readonly faults: Readonly<Record<"process" | "network", number>>;
  readonly sales: number;
  readonly lines: number;
  readonly looks: number;
  readonly starts: Readonly<Record<"hubs" | "agents", number>>;
  /** From the end of the faults until both sides were equal, in milliseconds. */
  readonly healedMs: number;
  readonly findings: Findings;
};

/**
 * Tills sell while processes die, stand still and are cut off; then everything is left alone, and the books must be right.
 * The faults follow from the seed; what they meet does not, since these are real processes.
 */
export async function runChaos(folder: string, plan: ChaosPlan): Promise<ChaosReport> {
  const { tell = () => undefined } = plan;
  tell(`${plan.hubs} hubs, ${plan.tills} tills, seed ${plan.seed}`);
  await using world = await World.make(folder, plan);
  const watcher = new Watcher(world);
  const over = new AbortController();
  const calm = new AbortController();
  const watching = watcher.run(over.signal);
  const counts = new Map<string, number>();
  const faults = { process: 0, network: 0 };
  try {
    const { invoices } = retail();
    const work = dealt(invoices, plan);
    const pace = (plan.seconds * 1_000) / Math.max(...work.map((sales) => sales.length));
    const cashiers = world.tills.map(({ shop }, at) => cashier(shop, work[at] ?? [], pace, calm.signal));
    const working = Promise.all([...cashiers, changePrices(world, calm.signal)]);
    working.catch(() => undefined); // awaited below, perhaps after another error

    const end = performance.now() + plan.seconds * 1_000;
    const enough = (): boolean => plan.faults !== undefined && faults.process + faults.network >= plan.faults;
    const make = async (kind: "process" | "network", dice: Dice): Promise<void> => {
      const kinds = FAULTS.filter((fault) => fault.kind === kind && (world.disks !== null || !fault.fills));
      while (performance.now() < end && !enough()) {
        await pause(100 + dice() * 1_400);
        const fault = draw(kinds, dice);
        tell(fault.name);
        await fault.strike(world, dice);
        counts.set(fault.name, (counts.get(fault.name) ?? 0) + 1);
        faults[kind] += 1;
      }
    };
    await Promise.all([make("process", diceOf(plan.seed)), make("network", diceOf(plan.seed + 1))]);
    calm.abort();
    tell("no more faults");
    await working;
    const healing = performance.now();
    await healed(world, 60_000 + plan.seconds * 250);
    const healedMs = Math.round(performance.now() - healing);
    over.abort();
    await watching;
    tell(`both sides settled after ${healedMs} ms`);
    return {
      plan,
      counts,
      faults,
      sales: world.tills.reduce((sum, { shop }) => sum + shop.committed, 0),
      lines: work.flat().reduce((sum, { sale }) => sum + sale.lines.length, 0),
      looks: watcher.looks,
      starts: {
        hubs: world.hubs.reduce((sum, { process }) => sum + process.starts, 0),
        agents: world.tills.reduce((sum, { agent }) => sum + agent.starts, 0),
      },
      healedMs,
      findings: [...watcher.findings, ...(await verdict(world))],
    };
  } catch (cause) {
    throw new Error(`seed ${plan.seed}, after ${[...counts.keys()].join(", ")}\n${world.complaints()}`, { cause });
  } finally {
    calm.abort();
    over.abort();
    await watching.catch(() => undefined); // the run's own error is the one to show
  }
}

type Order = { readonly id: string; readonly sale: RetailInvoice };

/** The invoices dealt out to the tills, each round under numbers of its own. */
function dealt(invoices: readonly RetailInvoice[], { rounds, tills }: ChaosPlan): Order[][] {
  const work: Order[][] = Array.from({ length: tills }, () => []);
  for (let round = 0; round < rounds; round++)
    invoices.forEach((sale, at) => work[(at + round) % tills]?.push({ id: `${sale.invoice}-${round}`, sale }));
  return work;
}

/** Sells at its pace while there are faults, and what is left at once when they are over. */
async function cashier(shop: Shop, work: readonly Order[], paceMs: number, calm: AbortSignal): Promise<void> {
  const hurry = new Promise<void>((resolve) => calm.addEventListener("abort", () => resolve(), { once: true }));
  for (const { id, sale } of work) {
    await shop.sell(sale, id);
    if (!calm.aborted) await Promise.race([pause(paceMs * (0.5 + Math.random())), hurry]);
  }
}

/** The centre changes a price a few times a second. */
async function changePrices(world: World, calm: AbortSignal): Promise<void> {
  for (let n = 1; !calm.aborted; n++) {
    await world.central(
      `insert into price values (${n % 50}, ${n}) on conflict (sku) do update set pence = excluded.pence`,
    );
    await pause(250);
  }
}
