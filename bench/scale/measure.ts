import { laneName, epoch, seq, terminalId } from "../../src/base/ids.ts";
import type { Ledger } from "../../src/ledger/port.ts";
import { RETENTION_KINDS } from "../../src/ledger/retention.ts";
import { percentile } from "../machine.ts";
import { KEEP, nameOf, PER_REQUEST, Sender, storeOf, type Size } from "./generate.ts";

/** Lanes that ingest fills while it is measured, and submissions in one group commit. */
const LANES = 200;
const GROUP = 50;
const IN_FLIGHT = 3;

type Rate = { readonly perSecond: number };
export type Figure = {
  readonly what: string;
  readonly p50Ms: number;
  readonly worstMs: number;
  /** Ingest while it is asked again and again, as a share of ingest alone just before. */
  readonly ofIngest: number;
  readonly perSecond: number;
};

/** Full-rate ingest into lanes of its own, made ready ahead so that only the ledger is measured. */
export class Ingest {
  readonly #ledger: Ledger;
  readonly #senders: readonly Sender[];
  constructor(ledger: Ledger, name: string, searched = 1) {
    this.#ledger = ledger;
    this.#senders = Array.from({ length: LANES }, (_, i) => new Sender(`${name}-${i}`, searched));
  }

  /** @param beside runs meanwhile, until it is told to stop */
  async run(groups: number, beside?: (stopped: () => boolean) => Promise<void>): Promise<Rate> {
    const at = Date.now();
    const laps = LANES / GROUP;
    const ready = Array.from({ length: groups }, (_, g) => {
      const from = (g % laps) * GROUP;
      return this.#senders.slice(from, from + GROUP).map((sender) => sender.next(PER_REQUEST, at));
    });
    let done = false;
    const other = beside?.(() => done);
    const began = performance.now();
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let group = ready[next++]; group; group = ready[next++]) await this.#ledger.lanes.append(group);
    };
    // A lane's submissions must come in order: groups in flight together are of different lanes.
    await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, laps - 1) }, worker));
    const seconds = (performance.now() - began) / 1_000;
    done = true;
    await other;
    return { perSecond: (groups * GROUP * PER_REQUEST) / seconds };
  }
}

type Question = { readonly what: string; readonly ask: (ledger: Ledger, turn: number) => Promise<unknown> };

const questions = ({ terminals, messages }: Size): readonly Question[] => {
  const each = Math.floor(messages / terminals);
  const till = (turn: number): number => 1 + ((turn * 7_919) % terminals);
  const lane = (turn: number) => laneName(terminalId(nameOf(till(turn))), epoch("e1"));
  return [
    { what: "overview", ask: (ledger) => ledger.trail.overview() },
    { what: "retention: what is beyond its time", ask: (ledger) => ledger.retention.outlook(KEEP) },
    { what: "dead letters, a page of 100", ask: (ledger) => ledger.exceptions.list({ states: ["dead"] }, 100, null) },
    {
      what: "dead letters by fault",
      ask: (ledger) => ledger.exceptions.list({ states: ["dead"], fault: "CHECK_VIOLATED" }, 100, null),
    },
    {
      what: "dead letters of one terminal",
      ask: (ledger, turn) =>
        ledger.exceptions.list({ states: ["dead"], terminal: terminalId(nameOf(till(turn))) }, 100, null),
    },
    {
      what: "dead letters by business key",
      ask: (ledger) => ledger.exceptions.list({ states: ["dead"], key: "125" }, 100, null),
    },
    {
      what: "dead letters of a table that has none",
      ask: (ledger) => ledger.exceptions.list({ states: ["dead"], table: "voucher" }, 100, null),
    },
    { what: "dead letters, a page in the middle", ask: deepPage },
    { what: "dead letters, groups", ask: (ledger) => ledger.exceptions.groups({ states: ["dead"] }, 100) },
    {
      what: "receipt of a terminal",
      ask: (ledger, turn) => ledger.trail.find(terminalId(nameOf(till(turn))), String(1 + (turn % each)), 100),
    },
    {
      what: "receipt of a store, without the terminal",
      ask: (ledger, turn) =>
        ledger.trail.findAnywhere(String(1 + (turn % each)), { store: storeOf(till(turn)) }, null, 100),
    },
    {
      what: "one message's life",
      ask: async (ledger, turn) => {
        const n = seq(1 + (turn % each));
        await ledger.trail.state(lane(turn), n);
        return ledger.trail.of(lane(turn), n);
      },
    },
    {
      what: "terminals, a page of 1,000",
      ask: (ledger, turn) => ledger.fleet.page({}, 1_000, terminalId(nameOf(till(turn)))),
    },
    { what: "audit, a page of 100", ask: (ledger) => ledger.trail.recent(100, null) },
  ];
};

let middle: string | null = null;
async function deepPage(ledger: Ledger): Promise<unknown> {
  middle ??= String((Number((await ledger.exceptions.list({ states: ["dead"] }, 1, null)).next) || 0) + 9_000);
  return ledger.exceptions.list({ states: ["dead"] }, 100, middle);
}

/** Pairs of windows, ingest alone and with the question beside it: on a machine that others use too, the middle one of their ratios counts. */
const PAIRS = 5;

export async function measure(
  ledger: Ledger,
  size: Size,
  groups: number,
  say: (text: string) => void,
): Promise<readonly Figure[]> {
  const ingest = new Ingest(ledger, "ingest");
  await ingest.run(groups);
  const figures: Figure[] = [];
  const beside = async (what: string, ask: (turn: number) => Promise<unknown>): Promise<void> => {
    const took: number[] = [];
    const alone: number[] = [];
    const ratios: number[] = [];
    let turn = 0;
    const asking = async (stopped: () => boolean): Promise<void> => {
      while (!stopped()) {
        const began = performance.now();
        await ask(turn++);
        took.push(performance.now() - began);
        await new Promise((resolve) => setTimeout(resolve, 50)); // a person who clicks as fast as twenty times a second
      }
    };
    for (let pair = 0; pair < PAIRS; pair++) {
      const without = await ingest.run(groups);
      const together = await ingest.run(groups, asking);
      alone.push(without.perSecond);
      ratios.push(together.perSecond / without.perSecond);
    }
    const sorted = took.toSorted((a, b) => a - b);
    const worst = sorted.at(-1) ?? Number.NaN;
    figures.push({
      what,
      p50Ms: percentile(sorted, 50),
      worstMs: worst,
      ofIngest: middleOf(ratios),
      perSecond: middleOf(alone),
    });
    say(`${what}: ${percentile(sorted, 50).toFixed(1)} ms, ${middleOf(ratios).toFixed(2)} of ingest`);
  };
  await beside("nothing: what the measurement itself does", async () => undefined);
  for (const { what, ask } of questions(size)) await beside(what, (turn) => ask(ledger, turn));
  const pass = passOver(ledger);
  await beside("retention: a step of a pass", () => pass());
  return figures;
}

const middleOf = (all: readonly number[]): number =>
  percentile(
    all.toSorted((a, b) => a - b),
    50,
  );

/** A pass as the hub makes it: steps of about ten milliseconds, four times as much rest between them. */
function passOver(ledger: Ledger): () => Promise<void> {
  let kind = 0;
  let next: number | null = 0;
  let rows = 128;
  return async () => {
    const name = RETENTION_KINDS[kind];
    if (name === undefined) return;
    const began = performance.now();
    const step = await ledger.retention.step(name, KEEP, next ?? 0, rows);
    const took = performance.now() - began;
    if (took < 5) rows = Math.min(4_096, rows * 2);
    else if (took > 10) rows = Math.max(16, rows >> 1);
    next = step.next;
    if (next !== null) return;
    kind++;
    next = 0;
  };
}

/** What the index of searchable values costs ingest: messages a second with none, one and three values each. */
export async function searchCost(
  ledger: Ledger,
  groups: number,
): Promise<readonly { readonly values: number; readonly perSecond: number }[]> {
  const rates = new Map<number, number[]>();
  const ingests = [0, 1, 3].map((values) => ({ values, ingest: new Ingest(ledger, `search-${values}`, values) }));
  for (let turn = 0; turn < 3; turn++)
    for (const { values, ingest } of ingests)
      rates.set(values, [...(rates.get(values) ?? []), (await ingest.run(groups)).perSecond]);
  return [...rates].map(([values, all]) => ({
    values,
    perSecond: percentile(
      all.toSorted((a, b) => a - b),
      50,
    ),
  }));
}
