import { WaybillError } from "../../base/errors.ts";
import { updateId, type LaneName, type Seq, type TerminalId } from "../../base/ids.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { Ledger } from "../../ledger/port.ts";
import type { DifferenceKind } from "../../ledger/reconciles.ts";
import type { Row } from "../../message/change.ts";
import { differing, placed } from "../../message/digest.ts";
import type { Central } from "../central.ts";
import type { ComparedTerminal, ReadyPlan } from "./plan.ts";
import type { TerminalLine } from "./terminal-line.ts";

/** Looks at a row that changes each time before nothing is said of it. */
const MOST_LOOKS = 5;
const KEYS_AT_ONCE = 200;
const LOOK_MS = 100;
const SLOWEST_LOOK_MS = 1_000;

/** A row as both sides have it, in the terminal's names; null: it is not there. */
export type Pair = { readonly key: Row; readonly terminal: Row | null; readonly centre: Row | null };
export type Settled = {
  readonly differences: readonly (Pair & { readonly kind: DifferenceKind; readonly columns: readonly string[] })[];
  /** The same by now: what was under way has arrived. */
  readonly underWay: number;
  readonly unsettled: number;
};

/** What is under way at one moment, and when it will have arrived. */
type Marks = {
  readonly epoch: string | null;
  /** The terminal's messages through this number show all that was seen of its rows. */
  readonly up: number;
  readonly source: LaneName;
  /** The centre's messages through this number show all that was seen of its rows. */
  readonly down: Seq;
};

export type SettleParts = {
  readonly line: TerminalLine;
  readonly central: Pick<Central, "rowsFor" | "packed">;
  readonly ledger: Pick<Ledger, "lanes" | "updates">;
  readonly terminal: ComparedTerminal;
  readonly runtime: Pick<Runtime, "clock" | "timers">;
  readonly alive: () => Promise<void>;
  readonly patienceMs: number;
  readonly stop: AbortSignal;
};

/**
 * Which of the rows really differ: both sides are read, all that was on its way then arrives (the terminal's messages are
 * loaded, the centre's updates applied), and both are read again. A row that is not the same and did not move in between on
 * either side is a difference; one that moved is looked at again.
 */
export async function settle(parts: SettleParts, plan: ReadyPlan, keys: readonly Row[]): Promise<Settled> {
  const differences: Settled["differences"][number][] = [];
  let watched = await look(parts, plan, keys, 0);
  for (let looks = 1; watched.unequal.length > 0 && looks <= MOST_LOOKS; looks++) {
    const applied = await arrival(parts, watched.marks);
    const before = new Map(watched.unequal.map((pair) => [JSON.stringify(pair.key), pair]));
    const now = await look(
      parts,
      plan,
      watched.unequal.map(({ key }) => key),
      applied,
    );
    const still = now.unequal.filter((pair) => {
      const was = before.get(JSON.stringify(pair.key));
      return was && same(plan, was.terminal, pair.terminal) && same(plan, was.centre, pair.centre);
    });
    differences.push(...still.map((pair) => ({ ...pair, ...kindOf(plan, pair) })));
    watched = { ...now, unequal: now.unequal.filter((pair) => !still.includes(pair)) };
  }
  const unsettled = watched.unequal.length;
  return { differences, underWay: keys.length - differences.length - unsettled, unsettled };
}

const same = ({ compared }: ReadyPlan, one: Row | null, other: Row | null): boolean =>
  one === null || other === null ? one === other : placed(compared, one)?.digest === placed(compared, other)?.digest;

function kindOf(plan: ReadyPlan, { terminal, centre }: Pair): { kind: DifferenceKind; columns: readonly string[] } {
  if (centre === null) return { kind: "missing at centre", columns: [] };
  if (terminal === null) return { kind: "missing at terminal", columns: [] };
  return { kind: "different", columns: differing(plan.compared, terminal, centre) };
}

type Look = { readonly unequal: readonly Pair[]; readonly marks: Marks };

/**
 * The rows at the terminal, then at the centre, and only then what is under way from there.
 * @param applied the terminal's rows are read when it has applied the update log through here
 */
async function look(parts: SettleParts, plan: ReadyPlan, keys: readonly Row[], applied: number): Promise<Look> {
  const { line, central, terminal } = parts;
  const { table } = plan.compared;
  const unequal: Pair[] = [];
  let epoch: string | null = null;
  let up = 0;
  for (let from = 0; from < keys.length;) {
    const asked = keys.slice(from, from + KEYS_AT_ONCE);
    const answer = await line.ask({ ask: "rows", table, keys: asked });
    if (updateId(answer.applied) < applied || answer.rows.length === 0) {
      await patience(parts, async () => true); // its agent is about to apply them
      continue;
    }
    const here = await central.rowsFor(table, terminal, asked.slice(0, answer.rows.length));
    for (const [i, there] of answer.rows.entries()) {
      const pair: Pair = { key: asked[i] ?? {}, terminal: there, centre: here[i] ?? null };
      if (!same(plan, pair.terminal, pair.centre)) unequal.push(pair);
    }
    from += answer.rows.length;
    [epoch, up] = [answer.epoch, answer.packedThrough];
  }
  const { source, through } = await central.packed();
  return { unequal, marks: { epoch, up, source, down: through } };
}

/** Waits until all that the marks tell of has arrived. @returns the id of the update log through which the terminal must have applied it */
async function arrival(parts: SettleParts, marks: Marks): Promise<number> {
  const { ledger, terminal } = parts;
  await patience(parts, async () => {
    const lanes = await ledger.lanes.of(terminal.id as TerminalId);
    const lane = lanes.find(({ epoch }) => epoch === marks.epoch);
    // An epoch that was left meanwhile: its messages were numbered anew in the next, and the next look sees by which.
    if (lane === undefined || !lane.current) return true;
    return (
      lane.loadedThrough >= marks.up &&
      lanes.every((each) => each.loadedThrough >= each.receivedThrough || each.current)
    );
  });
  await patience(parts, async () => (await ledger.updates.forwarded(marks.source)) >= marks.down);
  return ledger.updates.head();
}

/** Looks until it is so, at least once with a pause before. @throws UNAVAILABLE when it takes too long, or at a stop */
async function patience(parts: SettleParts, done: () => Promise<boolean>): Promise<void> {
  const { runtime, alive, patienceMs, stop, terminal } = parts;
  const until = runtime.clock.elapsed() + patienceMs;
  for (let waitMs = LOOK_MS; ; waitMs = Math.min(waitMs * 1.5, SLOWEST_LOOK_MS)) {
    await runtime.timers.sleep(waitMs, stop);
    if (stop.aborted) throw new WaybillError("UNAVAILABLE", "the hub stops; another goes on");
    if (await done()) return;
    await alive();
    if (runtime.clock.elapsed() > until)
      throw new WaybillError(
        "UNAVAILABLE",
        `what is under way between terminal ${terminal.id} and the centre did not arrive within ${Math.round(patienceMs / 60_000)} min`,
      );
  }
}
