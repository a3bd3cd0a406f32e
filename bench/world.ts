import type { Usage } from "./machine.ts";
import { rowsOf, sale, type Shape } from "./shape.ts";
import type { EngineName, Place } from "./stations.ts";

/** Where the three stations of a measurement are, by engine. */
export type Places = { readonly ledger: Place; readonly central: Place; readonly terminal: Place };

/** How much is done: a quick look, the full measurement of the targets, or the least that shows the harness works. */
export type Scale = "smoke" | "quick" | "long";

/** One line of the report. What was not measured is left out, never guessed. */
export type Figures = {
  readonly scenario: string;
  readonly what: string;
  readonly rows: number;
  readonly rowsPerSecond: number;
  /** Rows per second by the bare SQL of this run. */
  readonly bare?: number;
  readonly p50Ms?: number;
  readonly p99Ms?: number;
  /** Our processes, by name: what they used while the rows went through, and their peak since they began. */
  readonly ours?: Readonly<Record<string, Usage>>;
  /** CPU seconds of the database server's processes, all stations together. */
  readonly serverCpuSeconds?: number;
  readonly wireBytesPerRow?: number;
  readonly note?: string;
};

/** What a scenario is given. */
export type World = {
  readonly folder: string;
  readonly places: Places;
  readonly scale: Scale;
  /** Lanes of the scenarios that are run for several. */
  readonly terminals: readonly number[];
  readonly say: (text: string) => void;
  readonly report: (figures: Figures) => void;
  /** Another name for each database and folder. */
  readonly fresh: (word: string) => string;
  /** Rows per second of the best bare SQL at the centre, measured once a run for each shape. */
  readonly bare: (shape: Shape) => Promise<number>;
};
export type Scenario = {
  readonly name: string;
  readonly about: string;
  /** Why it cannot be run on these engines; null when it can. */
  readonly needs?: (engines: Readonly<Record<keyof Places, EngineName>>) => string | null;
  readonly run: (world: World) => Promise<void>;
};

/** A number for each scale. */
export const at = (scale: Scale, sizes: Readonly<Record<Scale, number>>): number => sizes[scale];

/** Measures the bare limit once for each shape. */
export function bareLimits(world: Pick<World, "places" | "scale" | "say" | "fresh">): World["bare"] {
  const known = new Map<Shape, Promise<number>>();
  const measure = async (shape: Shape): Promise<number> => {
    world.say(`bare limit: ${shape.name}`);
    await using empty = await world.places.central.station(world.fresh("bare"));
    const messages = Math.ceil(at(world.scale, { smoke: 200, quick: 60_000, long: 300_000 }) / rowsOf(shape));
    const sales = Array.from({ length: messages }, (_, i) => sale("bare", i + 1, shape));
    return (messages * rowsOf(shape) * 1_000) / (await empty.bulk(sales));
  };
  return (shape) => {
    const found = known.get(shape) ?? measure(shape);
    known.set(shape, found);
    return found;
  };
}

/** CPU seconds that the servers of all stations used since they began; each server once. */
export const serverCpu = ({ ledger, central, terminal }: Places): number =>
  [...new Set([ledger, central, terminal])].reduce((sum, place) => sum + place.cpuSeconds(), 0);

export const minus = (now: Usage, then: Usage): Usage => ({
  cpuSeconds: now.cpuSeconds - then.cpuSeconds,
  peakMib: now.peakMib,
});
