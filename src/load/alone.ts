import type { LoadTransaction, Refusal } from "../database/port.ts";
import { decide, effectOf, type Note } from "./decide.ts";
import type { Act, Fault } from "./plan.ts";

/** How a message fared: the first fault, or none. With a fault whatever was written must be undone by the caller. */
export type Fared = { readonly fault: Fault | null; readonly notes: readonly Note[] };

/**
 * Applies changes one by one in their own order, exactly as the sender made them. This is the judge: what a batch could not
 * load is guilty only when it is refused here too. The caller runs it inside `attempt` and undoes it on a fault.
 */
export async function applyInOrder(tx: LoadTransaction, acts: readonly Act[], late: boolean): Promise<Fared> {
  if (acts.length > 1 && areBlind(acts, late)) {
    const fared = await applyAtOnce(tx, acts);
    if (fared) return fared;
  }
  const notes: Note[] = [];
  for (const act of acts) {
    const fared = await applyOne(tx, act, late);
    notes.push(...fared.notes);
    if (fared.fault) return { fault: fared.fault, notes };
  }
  return { fault: null, notes };
}

/**
 * The same of several messages in one round trip, of blind acts, until one is refused, which is undone here: how those fared that were
 * tried. Null: that cannot tell; the caller asks `applyInOrder`.
 */
export async function applyQuickly(
  tx: LoadTransaction,
  messages: readonly { readonly acts: readonly Act[] }[],
): Promise<readonly (Fared | null)[]> {
  const tried = await tx.applyEach(messages.map(({ acts }) => acts.map(effectOf)));
  return tried.map((refusal, at) => (refusal === "unclear" ? null : judged(messages[at]?.acts ?? [], refusal)));
}

/** Can they be tried before anybody looks at the rows as they are? A row that is only inserted is most often not there: the insert itself finds out. */
export const areBlind = (acts: readonly Act[], late: boolean): boolean =>
  !late && acts.every((act) => !act.target.looks || act.op === "insert");

/** The whole list in one call; null (and nothing done) when the present row must first be looked at. */
async function applyAtOnce(tx: LoadTransaction, acts: readonly Act[]): Promise<Fared | null> {
  const refusal = await tx.attempt(async () => {
    const { refused } = await tx.apply(acts.map(effectOf));
    const first = firstOf(refused);
    return { keep: first === null, result: first };
  });
  return judged(acts, refusal);
}

/** What came before the first refusal was applied in order, so the first refusal is what the changes alone meet too. */
function judged(acts: readonly Act[], refusal: Refusal | null): Fared | null {
  if (refusal === null) return { fault: null, notes: [] };
  const act = acts[refusal.index];
  return dependsOnRow(refusal) || !act ? null : { fault: faultOf(act, refusal), notes: [] };
}

async function applyOne(tx: LoadTransaction, act: Act, late: boolean): Promise<Fared> {
  if (!late && !act.target.looks) {
    const refusal = firstOf((await tx.apply([effectOf(act)])).refused);
    if (refusal === null) return { fault: null, notes: [] };
    if (!dependsOnRow(refusal)) return { fault: faultOf(act, refusal), notes: [] };
  }
  const [current = null] = await tx.current(act.target.shape.name, [act.key]);
  const decision = decide(act, current, late);
  if (decision.kind === "refuse") return { fault: faultOf(act, decision.fault), notes: [] };
  const notes = decision.note ? [decision.note] : [];
  if (decision.kind === "nothing") return { fault: null, notes };
  const refusal = firstOf((await tx.apply([decision.effect])).refused);
  return { fault: refusal && faultOf(act, refusal), notes };
}

/** A database's own words may quote any row of it, so of a table that holds something personal only ours are told. */
const faultOf = (act: Act, { code, detail, discreet }: Pick<Refusal, "code" | "detail" | "discreet">): Fault => ({
  code,
  detail: act.target.personal.size > 0 ? (discreet ?? detail) : detail,
  route: act.route,
});

/** Refusals that a policy may turn into another effect, once the present row is known. */
const dependsOnRow = ({ code }: Refusal): boolean => code === "ROW_EXISTS" || code === "ROW_MISSING";

const firstOf = (refused: readonly Refusal[]): Refusal | null =>
  refused.reduce<Refusal | null>((first, other) => (first && first.index <= other.index ? first : other), null);
