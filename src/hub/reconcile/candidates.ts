import type { SurveyOrder } from "../../database/survey.ts";
import type { Row } from "../../message/change.ts";
import { placed, unequalNodes, type NodeDigest } from "../../message/digest.ts";
import type { Central } from "../central.ts";
import type { Answer } from "../../wire/questions.ts";
import type { ComparedTerminal, ReadyPlan } from "./plan.ts";
import type { TerminalLine } from "./terminal-line.ts";

/** Digits of the first look: 4,096 nodes; and by how many the next one goes deeper. */
const FIRST_DIGITS = 3;
const FURTHER_DIGITS = 2;
/** Nodes that one look goes into: each has 256 below it. */
const NODES_AT_ONCE = 128;
/** Rows of both sides that are few enough to be listed. */
const LISTED_ROWS = 4_000;
const PAGE_ROWS = 2_000;
/** Rows that one reconciliation of a table names at most: beyond, the table is another one. */
export const MOST_CANDIDATES = 10_000;
const DEEPEST = 24;

export type Found = {
  readonly rowsAtCentre: number;
  readonly rowsAtTerminal: number;
  /** Keys of rows that are not the same as far as one look can tell: some of them are only under way. */
  readonly keys: readonly Row[];
  readonly complete: boolean;
};

type Group = { readonly within: readonly string[]; readonly rows: number };
type Sides = {
  readonly plan: ReadyPlan;
  readonly line: TerminalLine;
  readonly central: Pick<Central, "survey" | "rowsFor">;
  readonly terminal: ComparedTerminal;
};

/** Keys of rows that may differ. Digests of few nodes are compared first, and only nodes that differ are looked into. */
export const candidates = (sides: Sides): Promise<Found> => (sides.plan.twoSided ? descend(sides) : lookUp(sides));

async function descend(sides: Sides): Promise<Found> {
  const { plan } = sides;
  const groups: Group[] = [{ within: [""], rows: Number.POSITIVE_INFINITY }];
  const keys: Row[] = [];
  let counts = { rowsAtCentre: 0, rowsAtTerminal: 0 };
  for (let group = groups.pop(); group; group = groups.pop()) {
    if (keys.length >= MOST_CANDIDATES) return { ...counts, keys: keys.slice(0, MOST_CANDIDATES), complete: false };
    const depth = group.within[0]?.length ?? 0;
    const listed = group.rows <= LISTED_ROWS || depth >= DEEPEST;
    const width = listed ? null : depth === 0 ? FIRST_DIGITS : depth + FURTHER_DIGITS;
    const [there, here] = await survey(sides, { ...plan.compared, within: group.within, width });
    if (depth === 0) counts = { rowsAtCentre: here.rows, rowsAtTerminal: there.rows };
    if (width === null) keys.push(...unequalRows(there.found, here.found));
    else groups.push(...grouped(unequalNodes(there.nodes, here.nodes)));
  }
  return { ...counts, keys, complete: true };
}

type Side = {
  readonly rows: number;
  readonly nodes: ReadonlyMap<string, NodeDigest>;
  readonly found: readonly { readonly place: string; readonly digest: string; readonly key: Row }[];
};

async function survey({ line, central, terminal }: Sides, order: SurveyOrder): Promise<readonly [Side, Side]> {
  const [answer, here] = await Promise.all([
    line.ask({
      ask: "survey",
      table: order.table,
      key: [...order.key],
      columns: [...order.columns],
      within: [...order.within],
      width: order.width,
    }),
    central.survey(order, terminal),
  ]);
  const there: Side = {
    rows: answer.rows,
    nodes: new Map(answer.nodes.map(([prefix, rows, digest]) => [prefix, { rows, digest }])),
    found: answer.found.map(([place, digest, key]) => ({ place, digest, key })),
  };
  return [there, here];
}

function unequalRows(one: Side["found"], other: Side["found"]): Row[] {
  const there = new Map(one.map((row) => [row.place, row]));
  const here = new Map(other.map((row) => [row.place, row]));
  const missing = one.filter(({ place, digest }) => here.get(place)?.digest !== digest);
  const beyond = other.filter(({ place }) => !there.has(place));
  return [...missing, ...beyond].map(({ key }) => key);
}

/** Nodes of one depth, as many together as can be listed, else as many as one look goes into. */
function grouped(nodes: readonly { readonly prefix: string; readonly rows: number }[]): Group[] {
  const groups: Group[] = [];
  let within: string[] = [];
  let rows = 0;
  const end = (): void => {
    if (within.length > 0) groups.push({ within, rows });
    within = [];
    rows = 0;
  };
  const all = nodes.reduce((sum, node) => sum + node.rows, 0);
  for (const node of nodes) {
    // A node too large to be listed goes with its like; small ones fill a list.
    const full = all <= LISTED_ROWS ? false : within.length >= NODES_AT_ONCE;
    if (full) end();
    within.push(node.prefix);
    rows += node.rows;
  }
  end();
  return groups;
}

/** Each row of the terminal is looked up at the centre, which has those of other terminals as well. */
async function lookUp({ plan, line, central, terminal }: Sides): Promise<Found> {
  const { compared } = plan;
  const keys: Row[] = [];
  let rowsAtTerminal = 0;
  let rowsAtCentre = 0;
  for (let after: Row | null = null; ;) {
    const page: Answer<"page"> = await line.ask({
      ask: "page",
      table: compared.table,
      key: [...compared.key],
      columns: [...compared.columns],
      after,
      limit: PAGE_ROWS,
    });
    const rows = await central.rowsFor(
      compared.table,
      terminal,
      page.found.map(([, , key]) => key),
    );
    rowsAtTerminal += page.found.length;
    for (const [i, [, digest, key]] of page.found.entries()) {
      const row = rows[i] ?? null;
      if (row !== null) rowsAtCentre++;
      if (row === null || placed(compared, row)?.digest !== digest) keys.push(key);
    }
    const complete = page.next === null;
    if (complete || keys.length >= MOST_CANDIDATES)
      return { rowsAtCentre, rowsAtTerminal, keys: keys.slice(0, MOST_CANDIDATES), complete };
    after = page.next;
  }
}
