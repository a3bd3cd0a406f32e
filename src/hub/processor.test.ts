import { describe, expect, test } from "vitest";
import { WaybillError } from "../base/errors.ts";
import { epoch, laneName, seq, terminalId, workerId, type LaneName } from "../base/ids.ts";
import { systemRuntime } from "../base/runtime.ts";
import type { Claim, LaneOutcome, Work } from "../ledger/port.ts";
import type { LoadReport } from "../load/port.ts";
import { silentLog } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import { Processor, type ProcessorParts } from "./processor.ts";

const lane = (n: number): LaneName => laneName(terminalId(`t${n}`), epoch("E1"));
const claim = (n: number, fence = 1): Claim => ({
  lane: lane(n),
  terminal: terminalId(`t${n}`),
  tags: {},
  fence,
  from: seq(1),
  through: seq(10),
  inParts: false,
  version: 0,
  late: [],
  open: null,
  unsettled: 0,
  paused: [],
});
const outcome = ({ lane: of, fence, through }: Claim): LaneOutcome => ({
  lane: of,
  fence,
  loadedThrough: through,
  version: 1,
  exceptions: [],
  closed: [],
  events: [],
  lagMs: 5,
});
const loaded = (claims: readonly Claim[]): LoadReport => ({
  outcomes: claims.map(outcome),
  moved: [],
  tripped: [],
  changes: claims.length,
});

/** A ledger that gives the claims it was told to, once each, and remembers what it was told. */
class ScriptedWork implements Work {
  readonly told: string[] = [];
  readonly lost = new Set<LaneName>();
  readonly #claims: (readonly Claim[])[];
  renewals = 0;
  claims = 0;

  constructor(...claims: (readonly Claim[])[]) {
    this.#claims = claims;
  }
  count(word: string): number {
    return this.told.filter((each) => each.startsWith(word)).length;
  }
  async claim(): Promise<readonly Claim[]> {
    this.claims++;
    return this.#claims.shift() ?? [];
  }
  async renew(held: readonly { lane: LaneName }[], leaseMs: number): Promise<readonly LaneName[]> {
    this.renewals++;
    if (leaseMs === 0) this.told.push(`lapse ${held.map((each) => each.lane).join()}`);
    return held.map((each) => each.lane).filter((each) => this.lost.has(each));
  }
  async settle(outcomes: readonly LaneOutcome[]): Promise<readonly ("settled" | "lost")[]> {
    this.told.push(`settle ${outcomes.map((each) => each.lane).join()}`);
    return outcomes.map(() => "settled");
  }
  async release(held: readonly { lane: LaneName }[], retryInMs: number, why: string): Promise<void> {
    this.told.push(`release ${held.map((each) => each.lane).join()} ${retryInMs > 0 ? "later" : "now"}: ${why}`);
  }
  async adopt(of: LaneName): Promise<"adopted" | "behind" | "lost"> {
    this.told.push(`adopt ${of}`);
    return "adopted";
  }
  async nextDue(): Promise<number | null> {
    return null;
  }
  async marks(): ReturnType<Work["marks"]> {
    return { marks: [], next: null };
  }
  async doubt(): Promise<void> {}
}

function setUp(
  work: Work,
  load: ProcessorParts["load"],
  leaseMs = 30_000,
  pollMs = 5,
): { processor: Processor; metrics: Metrics } {
  const metrics = new Metrics();
  const settings = { workers: 2, lanesPerBatch: 8, messagesPerLane: 100, bytesPerLane: 1_000_000, leaseMs, pollMs };
  const parts = {
    work,
    load,
    settings,
    runtime: systemRuntime,
    worker: workerId("w1"),
    log: silentLog,
    metrics,
    onLoaded: () => undefined,
    onTripped: async () => undefined,
  };
  return { processor: new Processor(parts), metrics };
}

/** Runs it until `done`, then stops it in order. */
async function runUntil(processor: Processor, done: () => boolean): Promise<void> {
  const stop = new AbortController();
  const running = processor.run(stop.signal);
  await expect.poll(done, { interval: 1, timeout: 5_000 }).toBe(true);
  stop.abort();
  await running;
}

describe("a batch", () => {
  test("is claimed, loaded and settled", async () => {
    const work = new ScriptedWork([claim(1), claim(2)]);
    const { processor, metrics } = setUp(work, async (claims) => loaded(claims));
    expect(await processor.turn()).toBe(true);
    expect(work.told).toEqual([`settle ${lane(1)},${lane(2)}`]);
    expect(metrics.value("waybill_messages_loaded_total", {})).toBe(20);
    expect(await processor.turn()).toBe(false);
  });

  test("is claimed while another loads, but only one loads at a time", async () => {
    const work = new ScriptedWork([claim(1)], [claim(2)], [claim(3)]);
    let loading = 0;
    let most = 0;
    let mostClaimed = 0;
    const gate = Promise.withResolvers<void>();
    const { processor } = setUp(work, async (claims) => {
      most = Math.max(most, ++loading);
      await gate.promise;
      loading--;
      return loaded(claims);
    });
    await runUntil(processor, () => {
      mostClaimed = Math.max(mostClaimed, processor.batchesInWork);
      if (mostClaimed === 2) gate.resolve();
      return work.count("settle") === 3;
    });
    expect(most).toBe(1);
    expect(mostClaimed).toBe(2);
  });

  test("in work is not asked for again: what comes in for its lanes meanwhile is claimed when it ends", async () => {
    const work = new ScriptedWork([claim(1)], [claim(1, 2)]);
    const gate = Promise.withResolvers<void>();
    const { processor } = setUp(work, async (claims) => (await gate.promise, loaded(claims)), 30_000, 60_000);
    await runUntil(processor, () => {
      if (processor.batchesInWork === 1 && work.claims === 1) {
        expect(processor.received([lane(1)]), "it is leased to us").toBe(false);
        expect(work.claims).toBe(1);
        gate.resolve();
      }
      return work.count("settle") === 2;
    });
    // The first, the one after it, and one that found nothing more.
    expect(work.claims).toBe(3);
    expect(processor.received([lane(1)])).toBe(true);
    expect(processor.received()).toBe(true);
  });

  test("does not keep other lanes waiting: what comes in for them is claimed while it loads", async () => {
    const work = new ScriptedWork([claim(1)], [claim(2)]);
    const gate = Promise.withResolvers<void>();
    const { processor } = setUp(work, async (claims) => (await gate.promise, loaded(claims)), 30_000, 60_000);
    await runUntil(processor, () => {
      if (processor.batchesInWork === 1) processor.received([lane(1), lane(2)]);
      if (processor.batchesInWork === 2) gate.resolve();
      return work.count("settle") === 2;
    });
  });

  test("whose target is away is given back, with no judgement, and nothing is tried while the breaker is open", async () => {
    const work = new ScriptedWork([claim(1)], [claim(1, 2)]);
    let tries = 0;
    const { processor } = setUp(work, async (claims) => {
      if (++tries === 1) throw new WaybillError("CENTRAL_UNAVAILABLE", "no answer");
      return loaded(claims);
    });
    await processor.turn();
    expect(work.told).toEqual([`release ${lane(1)} later: CENTRAL_UNAVAILABLE`]);
    expect(processor.breaker.state).toMatchObject({ kind: "open", failures: 1 });
    await runUntil(processor, () => work.count("settle") === 1);
    expect(processor.breaker.state.kind).toBe("closed");
  });

  test("that meets a fault of ours is tried lane by lane, and only the lane at fault ends unsettled", async () => {
    const work = new ScriptedWork([claim(1), claim(2), claim(3)]);
    const { processor } = setUp(work, async (claims) => {
      if (claims.some((each) => each.lane === lane(2))) throw new TypeError("x is not a function");
      return loaded(claims);
    });
    await processor.turn();
    expect(work.told).toEqual([`lapse ${lane(2)}`, `settle ${lane(1)},${lane(3)}`]);
  });

  test("whose lane the centre knows better is told to the ledger and given back at once", async () => {
    const work = new ScriptedWork([claim(1), claim(2)]);
    const { processor } = setUp(work, async (claims) => ({
      outcomes: claims.slice(1).map(outcome),
      moved: [{ lane: lane(1), fence: 1, loadedThrough: seq(4), version: 3, passed: [] }],
      tripped: [],
      changes: 0,
    }));
    await processor.turn();
    expect(work.told).toEqual([
      `adopt ${lane(1)}`,
      `release ${lane(1)} now: caught up with the centre`,
      `settle ${lane(2)}`,
    ]);
  });
});

describe("a lease", () => {
  test("is renewed while its batch loads", async () => {
    const work = new ScriptedWork([claim(1)]);
    const gate = Promise.withResolvers<void>();
    const { processor } = setUp(work, async (claims) => (await gate.promise, loaded(claims)), 30);
    await runUntil(processor, () => {
      if (work.renewals >= 3) gate.resolve();
      return work.count("settle") === 1;
    });
    expect(work.renewals).toBeGreaterThanOrEqual(3);
  });

  test("that was lost settles nothing", async () => {
    const work = new ScriptedWork([claim(1), claim(2)]);
    work.lost.add(lane(1));
    const gate = Promise.withResolvers<void>();
    const { processor, metrics } = setUp(work, async (claims) => (await gate.promise, loaded(claims)), 30);
    await runUntil(processor, () => {
      if (work.renewals >= 2) gate.resolve();
      return work.count("settle") === 1;
    });
    expect(work.told).toEqual([`settle ${lane(2)}`]);
    expect(metrics.value("waybill_leases_lost_total", {})).toBe(1);
  });
});

test("a stop finishes the batch that loads and gives the other back", async () => {
  const work = new ScriptedWork([claim(1)], [claim(2)]);
  const gate = Promise.withResolvers<void>();
  const { processor } = setUp(work, async (claims) => (await gate.promise, loaded(claims)));
  const stop = new AbortController();
  const running = processor.run(stop.signal);
  await expect.poll(() => processor.batchesInWork, { interval: 1 }).toBe(2);
  stop.abort();
  gate.resolve();
  await running;
  expect(work.told.toSorted()).toEqual([`release ${lane(2)} now: the hub stops`, `settle ${lane(1)}`]);
});

test("a ledger that does not take an outcome is told again", async () => {
  const work = new ScriptedWork([claim(1)]);
  let failures = 2;
  const settle = work.settle.bind(work);
  work.settle = async (outcomes) => {
    if (failures-- > 0) throw new WaybillError("DATABASE_BUSY", "ledger");
    return settle(outcomes);
  };
  const { processor } = setUp(work, async (claims) => loaded(claims));
  await processor.turn();
  expect(work.told).toEqual([`settle ${lane(1)}`]);
});
