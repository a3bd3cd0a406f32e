import { join } from "node:path";
import { checkAtRest, tillsApart, unrest, Watch } from "./checks.ts";
import type { Files } from "./files.ts";
import { begin, operate, resumeAll } from "./happenings.ts";
import { World } from "./world.ts";

export type SeedOptions = {
  readonly seed: number;
  readonly steps: number;
  readonly files: Files;
  /** Folder for copies of a violated world's databases. */
  readonly keep?: string | undefined;
};
export type SeedResult = {
  readonly seed: number;
  readonly steps: number;
  readonly virtualMs: number;
  readonly transactions: number;
  /** Of the whole history: the same seed and steps give the same. */
  readonly digest: string;
  readonly counts: Readonly<Record<string, number>>;
  readonly broken: string | null;
  readonly story: string;
};

/** After so many more steps without coming to rest something is stuck. */
const REST_STEPS = 30_000;
const LOOK_EVERY = 8;
/** At rest for so long, the world is: longer than any wait of anybody's but for those that look once a minute. */
const CALM_MS = 8_000;
const HEAL_MS = 2_000;

/** One world from its beginning through `steps` of trouble to its rest. */
export async function simulate({ seed, steps, files, keep }: SeedOptions): Promise<SeedResult> {
  await using world = new World(seed, files);
  const watch = new Watch(world);
  for (let n = 0; n < world.hubCount; n++) await world.startHub();
  begin(world);
  while (world.scheduler.steps < steps && !world.broken) await step(world, watch);
  if (!world.broken) await heal(world, watch);
  if (!world.broken) checkAtRest(world);
  if (world.broken && keep) world.keep(join(keep, `seed-${seed}`));
  return {
    seed,
    steps: world.scheduler.steps,
    virtualMs: Math.round(world.scheduler.nowMs),
    transactions: world.truth.transactions,
    counts: { ...world.counts, ...world.network.counts },
    broken: world.broken?.message ?? null,
    story: world.story(400),
    digest: world.scheduler.digest(),
  };
}

async function step(world: World, watch: Watch): Promise<void> {
  if (!(await world.scheduler.step())) world.broke("nothing waits for anything any more");
  for (const till of world.tills) if (till.agent?.ended) world.killAgent(till);
  if (world.scheduler.steps % LOOK_EVERY === 0) watch.look();
}

/** Faults end, processes are started again, people tidy up: now everything must come to rest. */
async function heal(world: World, watch: Watch): Promise<void> {
  world.tell("— all faults end —");
  world.healing = true;
  world.network.healed = true;
  for (const till of world.tills) world.network.join(till.id);
  const until = world.scheduler.steps + REST_STEPS;
  let calmFor = 0;
  while (!world.broken) {
    for (const hub of world.hubs) hub.life.faulty = false;
    await world.startHub();
    for (const till of world.tills) {
      if (till.agent) till.agent.life.faulty = false;
      else world.startAgent(till);
    }
    const from = world.scheduler.nowMs;
    while (world.scheduler.nowMs < from + HEAL_MS && !world.broken) await step(world, watch);
    // Tills last: until a dead sale is mended its till rightly shows what the centre does not. And a hub that missed another's
    // signal looks by itself once a minute.
    const why = unrest(world) ?? (await open(world)) ?? tillsApart(world);
    calmFor = why === null ? calmFor + 1 : 0;
    // What went up comes down again, and a terminal hears of it when it asks next.
    if (calmFor * HEAL_MS >= CALM_MS) return;
    if (world.scheduler.steps > until)
      return world.broke(`the world does not come to rest: ${why ?? "at rest just now"}`);
    if (why?.startsWith("paused")) void resumeAll(world);
    if (why?.startsWith("dead")) void operate(world, "until none is left");
  }
}

async function open(world: World): Promise<string | null> {
  const { rows = [] } =
    (await world.hub?.ledger.exceptions.list({ states: ["dead", "retrying", "held", "received"] }, 100, null)) ?? {};
  if (rows.some(({ state }) => state === "dead"))
    return `dead: ${rows
      .map(({ lane, seq, detail }) => `${lane}/${seq} ${detail}`)
      .join("; ")
      .slice(0, 600)}`;
  return rows.length === 0
    ? null
    : `open: ${rows
        .map(({ lane, seq, state, detail }) => `${lane}/${seq} ${state} ${detail}`)
        .join("; ")
        .slice(0, 600)}`;
}
