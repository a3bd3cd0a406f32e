import { instantOf, type Clock } from "../base/clock.ts";
import { asWaybillError, type FaultCode, type WaybillError } from "../base/errors.ts";
import type { Random } from "../base/runtime.ts";
import { contextOf, type TraceContext } from "../observe/trace-context.ts";
import { seq } from "../base/ids.ts";
import type { Database } from "../database/port.ts";
import type { LedgerBytes } from "../ledger/bytes.ts";
import type { Claim, LaneOutcome } from "../ledger/port.ts";
import { loadBatch } from "./batch.ts";
import { Caution } from "./caution.ts";
import { LaneWork, type Dice, type Prepared } from "./lane-work.ts";
import { loadLate } from "./late.ts";
import { OpenMemory } from "./open-memory.ts";
import type { Fault } from "./plan.ts";
import type { Loader, LoadReport, TracedMessage } from "./port.ts";
import type { Trial } from "./message.ts";
import { prepare } from "./prepare.ts";
import { rehearse } from "./rehearse.ts";
import { RouteMemory, Routes } from "./routes.ts";
import type { Rules } from "./rules.ts";
import { compileTargets, type Targets } from "./target.ts";

export type LoaderParts = {
  /** Used by this loader alone while `load` runs. */
  readonly database: Pick<Database, "describe" | "load">;
  readonly bytes: LedgerBytes;
  readonly rules: Rules;
  readonly clock: Clock;
  readonly random: Random;
  /** Which traces are recorded; without it none is. */
  readonly records?: (context: TraceContext) => boolean;
};

/** The one loader; see the port. Between calls it keeps the description of the tables, and what was refused lately. */
export function createLoader({ database, bytes, rules, clock, random, records }: LoaderParts): Loader {
  const dice: Dice = {
    retry: (route) => (route === undefined ? null : rules.tables.get(route)?.retry) ?? rules.retry,
    random: () => random.next(),
  };
  const memory = new RouteMemory(() => clock.elapsed());
  const caution = new Caution();
  const opened = new OpenMemory();
  let described: { readonly version: string; readonly targets: Targets } | null = null;

  const targetsNow = async (): Promise<Targets> => {
    const { version, tables } = await database.describe();
    if (described?.version !== version) described = { version, targets: compileTargets(rules, tables) };
    return described.targets;
  };

  const run = async (lanes: readonly Prepared[], targets: Targets): Promise<LoadReport> => {
    try {
      return await runQuick(lanes, targets);
    } catch (thrown) {
      const error = asWaybillError(thrown);
      if (!isSlow(error) || lanes.every((lane) => itemsOf(lane) === 0)) throw error;
      // Is it the database as a whole? Then nothing is judged.
      await database.load.transaction(async () => undefined);
      return runSlow(lanes, targets, error);
    }
  };

  /** All of it in one transaction; what the commit refuses is split until the message at fault is known. */
  const runQuick = async (lanes: readonly Prepared[], targets: Targets): Promise<LoadReport> => {
    if (lanes.length === 0) return NOTHING;
    try {
      return await runOnce(lanes, targets);
    } catch (thrown) {
      const error = asWaybillError(thrown);
      const isRefusal = error.blame === "message" || error.blame === "either";
      if (!isRefusal || lanes.every((lane) => itemsOf(lane) === 0)) throw error;
      return runSplit(lanes, targets, error);
    }
  };

  /**
   * A limit ran out, or a deadlock was broken: the doing of one message, or of somebody who holds what many need. Halves are
   * tried until one message is left; when other lanes meet it too it is infrastructure, and thrown. The one message is tried
   * alone with more time before it is called the cause; what comes after it in its lane is claimed again.
   */
  const runSlow = async (lanes: readonly Prepared[], targets: Targets, error: WaybillError): Promise<LoadReport> => {
    const [only, ...others] = lanes;
    if (!only) return NOTHING;
    if (others.length > 0) {
      const half = Math.ceil(lanes.length / 2);
      const [first, second] = [lanes.slice(0, half), lanes.slice(half)];
      const one = await orSlow(runQuick(first, targets));
      if (one) return joined(one, await orUnchanged(run(second, targets), second));
      const two = await orSlow(runQuick(second, targets));
      if (!two) throw error;
      return joined(two, await orUnchanged(runSlow(first, targets, error), first));
    }
    if (itemsOf(only) === 0) throw error;
    if (itemsOf(only) === 1) {
      const alone = await orSlow(runOnce([only], targets, PATIENCE));
      return alone ?? runOnce([foregoing(only, { code: "TIMED_OUT", detail: wordsOf(error, targets) })], targets);
    }
    const half = Math.ceil(itemsOf(only) / 2);
    const first = await orSlow(runQuick([part(only, 0, half)], targets));
    return first ? goOn(first, part(only, half), targets) : runSlow([part(only, 0, half)], targets, error);
  };

  const runOnce = async (lanes: readonly Prepared[], targets: Targets, patience = 1): Promise<LoadReport> => {
    const routes = new Routes(new Set(lanes.flatMap(({ claim }) => claim.paused)), memory);
    const busy = lanes.filter((lane) => !isStopped(lane)).map((lane) => new LaneWork(lane, dice, routes));
    // In one order everywhere, so that two loaders never wait for each other in a circle.
    busy.sort((a, b) => (a.claim.lane < b.claim.lane ? -1 : 1));
    const { works, lost, broken } = await database.load.transaction(async (tx) => {
      const works: LaneWork[] = [];
      const lost: Claim[] = [];
      const stride = 1 + Math.floor(random.next() * STRIDES);
      for (const work of busy) work.nextVersion = work.claim.version + stride;
      const moved = await tx.moveLanes(
        busy.map(({ claim: { lane, version }, centralThrough: loadedThrough, nextVersion }) => ({
          ...{ lane, version, nextVersion, loadedThrough },
        })),
      );
      for (const [at, work] of busy.entries()) {
        if (moved[at]) works.push(work);
        else lost.push(work.claim);
      }
      for (const work of works) await loadLate(tx, work, targets);
      await loadBatch(tx, works, targets, caution);
      const broken = await routes.tripped(() => works.flatMap(throughOf));
      if (broken.size > 0) for (const work of works) work.blameRoutes(broken);
      await tx.pass(works.flatMap((work) => work.passed));
      for (const work of works) await tx.unpass(work.claim.lane, work.closed);
      return { works, lost, broken };
    }, patience);
    for (const { claim, nextVersion, prepared, open, orphans } of works)
      opened.left(claim, nextVersion, { ...prepared.opened, all: open.settle(), orphans: orphans.settle() });
    await routes.committed(works.flatMap(probesOf));
    const stopped = lanes.filter(isStopped).map(({ claim }) => unchanged(claim));
    return {
      outcomes: [...works.map((work) => outcomeOf(work, rules, clock)), ...stopped],
      moved: await centresWords(lost),
      tripped: [...broken.values()],
      changes: works.reduce((sum, work) => sum + work.changes, 0),
    };
  };

  const runSplit = async (lanes: readonly Prepared[], targets: Targets, error: WaybillError): Promise<LoadReport> => {
    const [only, ...others] = lanes;
    if (!only) return NOTHING;
    if (others.length > 0) {
      const half = Math.ceil(lanes.length / 2);
      const first = await run(lanes.slice(0, half), targets);
      const rest = lanes.slice(half);
      return joined(first, await orUnchanged(run(rest, targets), rest));
    }
    if (itemsOf(only) === 1)
      return runOnce([foregoing(only, { code: error.code, detail: wordsOf(error, targets) })], targets);
    const half = Math.ceil(itemsOf(only) / 2);
    const first = await run([part(only, 0, half)], targets);
    return goOn(first, part(only, half), targets);
  };

  /** The second half of a lane whose first half is committed. */
  const goOn = async (first: LoadReport, second: Prepared, targets: Targets): Promise<LoadReport> => {
    const [outcome] = first.outcomes;
    if (!outcome) return first; // another worker took the lane over
    const rest = after(second, outcome);
    const then = await orUnchanged(run([rest], targets), [rest]);
    const [next] = then.outcomes;
    const tripped = [...first.tripped, ...then.tripped];
    if (!next) return { ...then, tripped, changes: first.changes + then.changes };
    return { outcomes: [continued(outcome, next)], moved: [], tripped, changes: first.changes + then.changes };
  };

  /** The lanes that are not ours any more, in the centre's own words. */
  const centresWords = async (lost: readonly Claim[]): Promise<LoadReport["moved"]> => {
    if (lost.length === 0) return [];
    const marks = await database.load.marks(lost.map(({ lane }) => lane));
    const moved = [];
    for (const [at, { lane, fence }] of lost.entries()) {
      const mark = marks[at];
      moved.push({
        lane,
        fence,
        loadedThrough: mark?.loadedThrough ?? seq(0),
        version: mark?.version ?? 0,
        passed: await database.load.passed(lane),
      });
    }
    return moved;
  };

  return {
    load: async (claims) => {
      const targets = await targetsNow();
      const together: Prepared[] = [];
      const read: Prepared[] = [];
      for (const claim of claims)
        if (!claim.inParts) together.push(await prepare(claim, rules, targets, bytes, opened));
      let report = await run(together, targets);
      read.push(...together);
      // A message in parts has a transaction of its own: it may be long, and nobody else's rows shall wait for it.
      for (const claim of claims) {
        if (!claim.inParts) continue;
        const alone = await prepare(claim, rules, targets, bytes, opened);
        read.push(alone);
        report = joined(
          report,
          report === NOTHING ? await run([alone], targets) : await orUnchanged(run([alone], targets), [alone]),
        );
      }
      return records ? { ...report, traces: tracesOf(read, records) } : report;
    },
    rehearse: async (order) => rehearse(order, await targetsNow(), database, bytes),
  };
}

/** Where the messages of these lanes stand in their traces. */
function tracesOf(lanes: readonly Prepared[], records: (context: TraceContext) => boolean): TracedMessage[] {
  const trials = lanes.flatMap(({ messages, late }) => [...messages, ...late.flatMap(({ trial }) => trial ?? [])]);
  return trials.flatMap(({ lane, seq: number, trace }) => {
    const context = contextOf(trace);
    return context && records(context) ? [{ lane, seq: number, context }] : [];
  });
}

/**
 * A version grows by 1 up to this, drawn for each transaction: after restores of both ledger and centre the same count of acts may
 * stand for two histories, and a version must tell them apart. At 100 acts a second 2^53 lasts for 80 years.
 */
const STRIDES = 2 ** 16;

/** A message that alone runs out of time is given this many times as much before it is called the cause. */
const PATIENCE = 4;

/** What ended a transaction as a whole: which row it was is a fact of the error, and so are words that quote none. */
function wordsOf({ what, facts: { row, discreet } }: WaybillError, { personal }: Targets): string {
  if (personal.size > 0 && typeof discreet === "string") return discreet;
  return typeof row === "string" ? `${row}: ${what}` : what;
}

const isSlow = (error: WaybillError): boolean => error.facts["oneStatement"] === true;

/** Null: it ran out of time. */
async function orSlow(running: Promise<LoadReport>): Promise<LoadReport | null> {
  try {
    return await running;
  } catch (thrown) {
    if (isSlow(asWaybillError(thrown))) return null;
    throw thrown;
  }
}

/** The messages that went through. */
function throughOf({ prepared, exceptions, closed }: LaneWork): Trial[] {
  const passed = new Set(exceptions.map((exception) => exception.seq));
  const late = prepared.late.flatMap(({ trial }) => (trial && closed.includes(trial.seq) ? [trial] : []));
  return [...prepared.messages.filter((message) => !passed.has(message.seq)), ...late];
}

/** Of them those that were tried although their route is paused. */
const probesOf = ({ prepared, closed }: LaneWork): { trial: Trial; before: FaultCode | null }[] =>
  prepared.late.flatMap(({ item, trial }) =>
    trial && item.probe && closed.includes(trial.seq) ? [{ trial, before: item.fault }] : [],
  );

const NOTHING: LoadReport = { outcomes: [], moved: [], tripped: [], changes: 0 };

const itemsOf = ({ messages, late }: Prepared): number => messages.length + late.length;
/** Too many exceptions are open, and there is nothing late to do about them. */
const isStopped = ({ claim, messages, late }: Prepared): boolean =>
  claim.through >= claim.from && messages.length === 0 && late.length === 0;

const unchanged = ({ lane, fence, from, version }: Claim): LaneOutcome => ({
  lane,
  fence,
  loadedThrough: seq(from - 1),
  version,
  exceptions: [],
  closed: [],
  events: [],
  lagMs: null,
});

function outcomeOf(work: LaneWork, rules: Rules, clock: Clock): LaneOutcome {
  const { claim, through, open, nextVersion } = work;
  const at = work.newestAt === null ? null : instantOf(work.newestAt);
  const stops = through < claim.through && open.size >= rules.maxOpen;
  const stop = {
    kind: "lane stopped",
    from: seq(through + 1),
    through: claim.through,
    detail: `${open.size} exceptions are open, and maxOpen is ${rules.maxOpen}; requeue or discard some, or raise maxOpen`,
  };
  return {
    lane: claim.lane,
    fence: claim.fence,
    loadedThrough: through,
    version: nextVersion,
    exceptions: work.exceptions,
    closed: work.closed,
    events: stops ? [...work.events, stop] : work.events,
    // A till's clock may be ahead of ours; a message is never loaded before it was made.
    lagMs: at === null ? null : Math.max(0, clock.now() - at),
  };
}

/** What is already committed must be reported, whatever became of the rest; the rest is claimed again. */
async function orUnchanged(running: Promise<LoadReport>, lanes: readonly Prepared[]): Promise<LoadReport> {
  try {
    return await running;
  } catch (thrown) {
    if (asWaybillError(thrown).blame !== "target") throw thrown;
    return { outcomes: lanes.map(({ claim }) => unchanged(claim)), moved: [], tripped: [], changes: 0 };
  }
}

const joined = (a: LoadReport, b: LoadReport): LoadReport => ({
  outcomes: [...a.outcomes, ...b.outcomes],
  moved: [...a.moved, ...b.moved],
  tripped: [...a.tripped, ...b.tripped],
  changes: a.changes + b.changes,
});

/** The lane's items from…to, counted with late ones first, as a claim of their own. */
function part(prepared: Prepared, from: number, to = Number.POSITIVE_INFINITY): Prepared {
  const lateCount = prepared.late.length;
  const late = prepared.late.slice(from, to);
  const messages = prepared.messages.slice(Math.max(0, from - lateCount), Math.max(0, to - lateCount));
  const first = seq(prepared.claim.from + Math.max(0, from - lateCount));
  const claim = {
    ...prepared.claim,
    from: first,
    through: seq(first + messages.length - 1),
    late: late.map(({ item }) => item),
  };
  return { ...prepared, claim, messages, late };
}

const foregoing = (prepared: Prepared, fault: Fault): Prepared => ({
  ...prepared,
  late: prepared.late.map((late) => ({ ...late, foregone: late.foregone ?? fault })),
  foregone: prepared.foregone ?? fault,
});

/** The second half of a lane, once the first is committed. What that left open is in the prepared one's own index. */
const after = (prepared: Prepared, { version }: LaneOutcome): Prepared => ({
  ...prepared,
  claim: { ...prepared.claim, version },
});

const continued = (first: LaneOutcome, next: LaneOutcome): LaneOutcome => ({
  ...next,
  exceptions: [...first.exceptions, ...next.exceptions],
  closed: [...first.closed, ...next.closed],
  events: [...first.events, ...next.events],
  lagMs: next.lagMs ?? first.lagMs,
});
