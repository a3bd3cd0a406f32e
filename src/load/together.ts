import type { FaultCode } from "../base/errors.ts";
import type { Effect, LoadTransaction } from "../database/port.ts";
import type { Row } from "../message/change.ts";
import { Round, type NetWrite, type Write } from "../message/net.ts";
import { applyInOrder } from "./alone.ts";
import { decide, effectOf, type Note } from "./decide.ts";
import type { Loading } from "./message.ts";
import type { Act, Fault } from "./plan.ts";
import type { Targets } from "./target.ts";

/** Whom the database (or a policy) refused something of. With suspects, whatever was written must be undone by the caller. */
export type Together = {
  readonly suspects: ReadonlyMap<Loading, Pick<Fault, "code"> & { readonly table: string }>;
  readonly notes: readonly { readonly message: Loading; readonly note: Note }[];
};

/**
 * Applies many messages as their net effect: one write for each row, parents first, sorted by key, deletes last. A table's
 * writes are all tried, so that one pass finds all suspects; after a table with suspects it stops, since all of it will be
 * undone, and the children of what was refused are not at fault themselves.
 */
export async function applyTogether(
  tx: LoadTransaction,
  messages: readonly Loading[],
  targets: Targets,
): Promise<Together> {
  const suspects = new Map<Loading, { readonly code: FaultCode; readonly table: string }>();
  const notes: { message: Loading; note: Note }[] = [];
  let net = new Gathering(targets);

  const flush = async (): Promise<void> => {
    const writes = await net.close(tx, (index, said) => {
      const message = messages[index];
      if (message && "kind" in said) notes.push({ message, note: said });
      else if (message && "code" in said) suspects.set(message, said);
    });
    net = new Gathering(targets);
    for (const run of suspects.size > 0 ? [] : byTable(writes)) {
      const { refused } = await tx.apply(run.map(({ write }) => write));
      for (const { index, code } of refused) {
        const { write, sources = [] } = run[index] ?? {};
        for (const source of sources) {
          const message = messages[source];
          if (message) suspects.set(message, { code, table: write?.table ?? "" });
        }
      }
      if (suspects.size > 0) return;
    }
  };

  for (let index = 0; index < messages.length; index++) {
    const message = messages[index] as Loading;
    if (needsOrder(message, targets)) {
      await flush();
      if (suspects.size > 0) break;
      const fared = await tx.attempt(async () => {
        const result = await applyInOrder(tx, message.acts, false);
        return { keep: result.fault === null, result };
      });
      if (fared.fault) suspects.set(message, { code: fared.fault.code, table: "" });
      notes.push(...fared.notes.map((note) => ({ message, note })));
      continue;
    }
    for (let done = net.addAll(message.acts, 0, index); done < message.acts.length;) {
      await flush();
      done = net.addAll(message.acts, done, index);
    }
    if (suspects.size > 0) break;
  }
  if (suspects.size === 0) await flush();
  return { suspects, notes };
}

/** The writes in runs of one table each, in their order. */
function byTable(writes: readonly NetWrite[]): NetWrite[][] {
  const runs: NetWrite[][] = [];
  for (const net of writes) {
    const run = runs.at(-1);
    if (run?.[0]?.write.table === net.write.table) run.push(net);
    else runs.push([net]);
  }
  return runs;
}

/** Has it changes that no net effect can stand for: a row that takes another key, and policies on tables whose order counts? */
function needsOrder({ acts }: Loading, targets: Targets): boolean {
  for (const { moves, target } of acts) if (moves || (target.looks && targets.inOrder(target.shape.name))) return true;
  return false;
}

type Looked = { readonly acts: Act[]; readonly sources: number[] };

/** The changes of one round: those that can be netted blindly, and those for which the present row is read first. */
class Gathering {
  readonly #round: Round;
  readonly #looked = new Map<string, Looked>();

  constructor(targets: Targets) {
    this.#round = new Round(targets.order, targets.inOrder);
  }

  /** Takes those after the first `done`, as far as they fit into this round: an empty one takes one at least. @returns how many are done then */
  addAll(acts: readonly Act[], done: number, source: number): number {
    let at = done;
    while (at < acts.length && this.#add(acts[at] as Act, source)) at++;
    return at;
  }

  #add(act: Act, source: number): boolean {
    if (!act.target.looks) return this.#round.add(act.text, effectOf(act), [source]);
    const looked = this.#looked.get(act.text);
    if (!looked) {
      this.#looked.set(act.text, { acts: [act], sources: [source] });
      return true;
    }
    if (looked.acts.at(-1)?.op === "delete" && act.op !== "delete") return false;
    looked.acts.push(act);
    looked.sources.push(source);
    return true;
  }

  /** Reads the rows that must be looked at and gives all writes in order. `hear`: of a note, or of a change refused by policy. */
  async close(tx: LoadTransaction, hear: Hear): Promise<NetWrite[]> {
    const byTable = new Map<string, [string, Looked][]>();
    for (const [text, looked] of this.#looked) {
      const [first] = looked.acts;
      if (!first) continue;
      // A row that is only inserted is most often not there: the insert itself finds out.
      if (looked.acts.length === 1 && first.op === "insert") this.#round.add(text, effectOf(first), looked.sources);
      else group(byTable, first.target.shape.name).push([text, looked]);
    }
    for (const [table, rows] of byTable) {
      const current = await tx.current(
        table,
        rows.map(([, { acts }]) => acts[0]?.key ?? {}),
      );
      for (const [at, [text, looked]] of rows.entries()) {
        const write = fold(looked, current[at] ?? null, hear);
        if (write) this.#round.add(text, write, [...new Set(looked.sources)]);
      }
    }
    return this.#round.writes();
  }
}

type Hear = (source: number, said: Note | { readonly code: FaultCode; readonly table: string }) => void;

/** Lets the changes of one row act on it one after the other, in memory, and gives the one write that leaves the same. */
function fold({ acts, sources }: Looked, present: Row | null, hear: Hear): Write | null {
  let current = present;
  let net: Effect | null = null;
  for (const [at, act] of acts.entries()) {
    const source = sources[at] ?? 0;
    const decision = decide(act, current, false);
    if (decision.kind === "refuse") {
      hear(source, { code: decision.fault.code, table: act.target.shape.name });
      return null;
    }
    if (decision.note) hear(source, decision.note);
    if (decision.kind === "nothing") continue;
    net = joined(net, decision.effect);
    current = decision.after;
  }
  if (!net || (!present && !current)) return null;
  if (!current) return { table: net.table, kind: "delete", key: net.key, origin: net.origin };
  return { ...net, kind: present ? "update" : "insert" };
}

function joined(first: Effect | null, next: Effect): Effect {
  if (!first) return next;
  return { ...next, row: { ...first.row, ...next.row }, origin: first.origin === next.origin ? next.origin : null };
}

function group<T>(groups: Map<string, T[]>, name: string): T[] {
  let list = groups.get(name);
  if (!list) groups.set(name, (list = []));
  return list;
}
