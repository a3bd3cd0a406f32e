import type { Clock } from "../base/clock.ts";
import { WaybillError } from "../base/errors.ts";
import type { Cursor, Database, Effect, LoadTransaction } from "../database/port.ts";
import type { Shapes } from "../message/shape.ts";
import { asUpsert, planUpdate, type PlannedUpdate } from "./plan-updates.ts";
import type { SlicedChange, Slicer } from "./slicer.ts";
import type { Refusal, StaleRows } from "./stale.ts";

export type ApplyParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly lockMs: number;
  readonly stale: StaleRows;
  readonly allowed: ReadonlySet<string>;
  readonly shapes: Shapes;
};
export type AppliedSlice = { readonly changes: number; readonly refused: readonly Refusal[]; readonly heldMs: number };

/** The clock is looked at after so many changes, so that slow triggers of the application cannot stretch the lock. */
const CHUNKS = 8;
const LARGEST_CHUNK = 64;

/**
 * Applies the slicer's next changes, at most `rows` of them, and moves the cursor, in one local transaction that ends early
 * when it has held the lock for `lockMs`. What this database refuses is written down first (in a transaction of its own,
 * after which the slice is tried again), so that the cursor never passes a refusal that nobody knows of.
 * Crash: the slice took effect together with its cursor, or neither did.
 * @throws infrastructure faults, and INTERNAL when the cursor is not where it was left
 */
export async function applySlice(parts: ApplyParts, slicer: Slicer, rows: number): Promise<AppliedSlice> {
  const slice = slicer.peek(rows);
  const plans = slice.map(({ change }) => planUpdate(change, parts.allowed, parts.shapes));
  for (let heldMs = 0; ;) {
    const tried = await tryOnce(parts, slicer, slice, plans);
    heldMs = Math.max(heldMs, tried.heldMs);
    if (tried.kind === "applied") return { changes: tried.changes, refused: tried.refused, heldMs };
    if (tried.kind === "smaller") return applySlice(parts, slicer, Math.ceil(slice.length / 2));
    await parts.stale.add(parts.database.capture, tried.refused);
    if (tried.kind === "commit-refused") return passOver(parts, slicer, tried.refused, heldMs);
  }
}

type Tried = { readonly heldMs: number } & (
  | { readonly kind: "applied"; readonly changes: number; readonly refused: readonly Refusal[] }
  /** Rolled back: these refusals are not written down yet. */
  | { readonly kind: "unlisted"; readonly refused: readonly Refusal[] }
  /** Rolled back: the commit was refused (a deferred constraint), and more than one change may be at fault. */
  | { readonly kind: "smaller" }
  /** Rolled back: the commit was refused for the one change there is. */
  | { readonly kind: "commit-refused"; readonly refused: readonly Refusal[] }
);

async function tryOnce(
  parts: ApplyParts,
  slicer: Slicer,
  slice: readonly SlicedChange[],
  plans: readonly PlannedUpdate[],
): Promise<Tried> {
  const { database, clock, lockMs, stale } = parts;
  const chunkRows = Math.max(1, Math.min(LARGEST_CHUNK, Math.ceil(slice.length / CHUNKS)));
  const refused: Refusal[] = [];
  let begun = clock.elapsed();
  let changes = 0;
  try {
    await database.load.transaction(async (tx) => {
      begun = clock.elapsed();
      while (changes < slice.length) {
        const chunk = slice.slice(changes, changes + chunkRows);
        refused.push(...(await applyChunk(tx, parts.shapes, chunk, plans.slice(changes, changes + chunkRows))));
        changes += chunk.length;
        if (clock.elapsed() - begun >= lockMs) break;
      }
      const unlisted = refused.filter((refusal) => !stale.has(refusal));
      if (unlisted.length > 0) throw new Unlisted(unlisted);
      await moveCursor(tx, slicer.cursor, slicer.cursorAfter(changes));
    });
  } catch (thrown) {
    const heldMs = clock.elapsed() - begun;
    if (thrown instanceof Unlisted) return { kind: "unlisted", refused: thrown.refused, heldMs };
    if (!(thrown instanceof WaybillError) || !(thrown.blame === "either" || thrown.blame === "message")) throw thrown;
    const [first] = slice;
    if (first === undefined || slice.length > 1) return { kind: "smaller", heldMs };
    return { kind: "commit-refused", refused: [{ ...first, code: thrown.code, detail: thrown.what }], heldMs };
  }
  const heldMs = clock.elapsed() - begun;
  const done = slice.slice(0, changes);
  slicer.take(changes);
  const wrong = new Set(refused.map((refusal) => refusal.change));
  await stale.settle(
    database.capture,
    done.map(({ change }) => change).filter((change) => !wrong.has(change)),
  );
  return { kind: "applied", changes, refused, heldMs };
}

/** The one change that no commit takes: it is on the list, and the cursor goes on without it. */
async function passOver(
  parts: ApplyParts,
  slicer: Slicer,
  refused: readonly Refusal[],
  heldMs: number,
): Promise<AppliedSlice> {
  await parts.database.load.transaction((tx) => moveCursor(tx, slicer.cursor, slicer.cursorAfter(1)));
  slicer.take(1);
  return { changes: 1, refused, heldMs };
}

export async function moveCursor(
  tx: LoadTransaction,
  from: Cursor,
  to: Cursor,
  how: "onwards" | "wherever" = "onwards",
): Promise<void> {
  if (how === "onwards" && from.id === to.id && from.changes === to.changes) return;
  if (await tx.moveCursor(from, to)) return;
  throw new WaybillError(
    "INTERNAL",
    `the update cursor is not at ${from.id}+${from.changes}, where this agent left it`,
  );
}

/** Applies the planned changes in their order, and says which were refused. */
async function applyChunk(
  tx: LoadTransaction,
  shapes: Shapes,
  slice: readonly SlicedChange[],
  plans: readonly PlannedUpdate[],
): Promise<readonly Refusal[]> {
  const refused: Refusal[] = [];
  let run: { readonly at: number; readonly effect: Effect }[] = [];
  const refuse = (at: number, why: Pick<Refusal, "code" | "detail">): void => {
    const sliced = slice[at];
    if (sliced) refused.push({ ...sliced, code: why.code, detail: why.detail });
  };
  const flush = async (): Promise<void> => {
    if (run.length === 0) return;
    const applied = await tx.apply(run.map(({ effect }) => effect));
    for (const { index, code, detail } of applied.refused) refuse(run[index]?.at ?? -1, { code, detail });
    run = [];
  };
  for (const [at, plan] of plans.entries()) {
    if ("code" in plan) refuse(at, plan);
    else if (plan.effect.kind !== "update") run.push({ at, effect: plan.effect });
    else {
      // What comes before the move must have happened, and what comes after must find its outcome.
      await flush();
      const refusal = await applyMove(tx, shapes, plan.effect);
      if (refusal) refuse(at, refusal);
    }
  }
  await flush();
  return refused;
}

/** A row whose key changes. It may be under its old key, its new one (applied before, or made here), both, or not here at all. */
async function applyMove(
  tx: LoadTransaction,
  shapes: Shapes,
  effect: Effect,
): Promise<Pick<Refusal, "code" | "detail"> | null> {
  const [moved] = (await tx.apply([effect])).refused;
  if (moved === undefined) return null;
  const shape = shapes.get(effect.table);
  const upsert = shape === undefined ? null : asUpsert(effect, shape);
  if (upsert === null) return moved;
  const { table, key, origin } = effect;
  const effects: Effect[] = moved.code === "ROW_MISSING" ? [upsert] : [{ table, kind: "delete", key, origin }, upsert];
  return tx.attempt(async () => {
    const [refusal = null] = (await tx.apply(effects)).refused;
    return { keep: refusal === null, result: refusal };
  });
}

class Unlisted extends Error {
  readonly refused: readonly Refusal[];
  constructor(refused: readonly Refusal[]) {
    super("refusals that are not written down yet");
    this.refused = refused;
  }
}
