import { asWaybillError, WaybillError } from "../base/errors.ts";
import { seq } from "../base/ids.ts";
import type { Database, LoadTransaction } from "../database/port.ts";
import type { LedgerBytes } from "../ledger/bytes.ts";
import { InParts } from "./in-parts.ts";
import { widened } from "./late.ts";
import { Loading, type Trial } from "./message.ts";
import type { Act } from "./plan.ts";
import type { Rehearsal, RehearsalOrder } from "./port.ts";
import { NotStored, readLine, readNumbers, readOne } from "./reading.ts";
import type { Targets } from "./target.ts";

/** As many rows of the centre as a person looks at. */
const SHOWN_ROWS = 200;

/** See `Loader.rehearse`. */
export async function rehearse(
  order: RehearsalOrder,
  targets: Targets,
  database: Pick<Database, "load">,
  bytes: LedgerBytes,
): Promise<Rehearsal> {
  const trial = await trialOf(order, targets, bytes);
  const acts = trial instanceof Loading ? rowsOf(trial.acts) : [];
  const sender = { lane: order.lane, terminal: order.terminal, tags: order.tags };
  const { loadedThrough } = order;
  const foregone =
    order.revision && order.apply
      ? await widened(order, await trial.touched(), { from: seq(loadedThrough + 1) }, sender, targets, bytes)
      : null;
  let now: readonly Rehearsal["rows"][number]["now"][] = [];
  const asItIs = (): Rehearsal["rows"] =>
    acts.map((act, at) => ({
      table: act.target.shape.name,
      key: act.key,
      now: now[at] ?? null,
      after: now[at] ?? null,
    }));
  try {
    return await database.load.rehearse(async (tx) => {
      now = await rowsAt(tx, acts);
      if (!order.apply) return { fault: null, notes: [], rows: asItIs() };
      const { fault, notes } = foregone ? { fault: foregone, notes: [] } : await trial.apply(tx, true);
      if (fault) return { fault, notes, rows: asItIs() };
      const after = await rowsAt(tx, acts);
      return { fault, notes, rows: asItIs().map((row, at) => ({ ...row, after: after[at] ?? null })) };
    });
  } catch (thrown) {
    // What the commit would refuse.
    const { blame, code, what, facts } = asWaybillError(thrown);
    if (blame === "target" || blame === "caller") throw thrown;
    return {
      fault: { code, detail: targets.personal.size > 0 ? String(facts["discreet"] ?? what) : what },
      notes: [],
      rows: asItIs(),
    };
  }
}

async function trialOf(order: RehearsalOrder, targets: Targets, bytes: LedgerBytes): Promise<Trial> {
  const { lane, seq: number, revision } = order;
  const sender = { lane, terminal: order.terminal, tags: order.tags };
  if (revision) return new Loading(sender, readLine(number, Buffer.from(revision).toString("utf8").trimEnd()), targets);
  try {
    const line = (await readNumbers(bytes, lane, [number])).get(number) ?? "in parts";
    if (line !== "in parts") return new Loading(sender, line, targets);
    return new InParts(sender, number, () => readOne(bytes, lane, number), targets);
  } catch (thrown) {
    if (thrown instanceof NotStored) throw new WaybillError("NOT_FOUND", thrown.what, { cause: thrown });
    throw thrown;
  }
}

/** One act a row, the first, in the order of the message. */
function rowsOf(acts: readonly Act[]): readonly Act[] {
  const byRow = new Map<string, Act>();
  for (const act of acts) {
    const name = `${act.target.shape.name} ${act.text}`;
    if (!byRow.has(name)) byRow.set(name, act);
  }
  return [...byRow.values()].slice(0, SHOWN_ROWS);
}

async function rowsAt(tx: LoadTransaction, acts: readonly Act[]): Promise<Rehearsal["rows"][number]["now"][]> {
  const rows = [];
  for (const act of acts) rows.push((await tx.current(act.target.shape.name, [act.key]))[0] ?? null);
  return rows;
}
