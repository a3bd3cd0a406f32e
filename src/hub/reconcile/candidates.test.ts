import { expect, test } from "vitest";
import { terminalId } from "../../base/ids.ts";
import type { Surveyed, SurveyOrder } from "../../database/survey.ts";
import type { Row } from "../../message/change.ts";
import { lies, NodeGatherer, placed, type Placed } from "../../message/digest.ts";
import { candidates } from "./candidates.ts";
import { PLAN } from "./plan.test-kit.ts";
import type { TerminalLine } from "./terminal-line.ts";

/** One side's table, each row placed once; it notes what was asked of it. */
class Side {
  readonly rows: readonly (Placed & { readonly key: Row })[];
  readonly asked: { readonly width: number | null; readonly listed: number }[] = [];

  constructor(rows: readonly Side["rows"][number][]) {
    this.rows = rows;
  }

  survey({ within, width }: Pick<SurveyOrder, "within" | "width">): Surveyed {
    const [prefixes, depth] = [new Set(within), within[0]?.length ?? 0];
    const here = this.rows.filter(({ place }) => lies(place, prefixes, depth));
    const nodes = new NodeGatherer(width ?? 0);
    if (width !== null) for (const row of here) nodes.add(row);
    const found = width === null ? here : [];
    this.asked.push({ width, listed: found.length });
    return { rows: this.rows.length, nodes: width === null ? new Map() : nodes.digests(), found };
  }
}

async function between(there: Side, here: Side) {
  const line = {
    ask: async (order: SurveyOrder) => {
      const { rows, nodes, found } = there.survey(order);
      return {
        rows,
        nodes: [...nodes].map(([prefix, node]) => [prefix, node.rows, node.digest]),
        found: found.map(({ place, digest, key }) => [place, digest, key]),
      };
    },
  } as unknown as TerminalLine;
  const central = { survey: async (order: SurveyOrder) => here.survey(order), rowsFor: async () => [] };
  return candidates({ plan: PLAN, line, central, terminal: { id: terminalId("t1"), tags: {} } });
}

type Rows = Side["rows"];
const ROWS = 68_000;
/** Differences of each kind: enough of them that the nodes which differ hold more rows than are listed. */
const OF_EACH = 100;
function row(n: number, total = "9.90"): Side["rows"][number] {
  const key = { id: `S-${n}` };
  const at = placed(PLAN.compared, { ...key, total });
  if (!at) throw new Error("a row with a key has a place");
  return { ...at, key };
}

test("in a large table exactly the rows that differ are found, by going deeper twice and listing few others", async () => {
  const all = Array.from({ length: ROWS }, (_, n) => row(n));
  const some = (n: number): Rows => all.slice(n * OF_EACH, (n + 1) * OF_EACH);
  const [first, second, third] = [some(0), some(1), some(2)];
  const rest = all.slice(3 * OF_EACH);
  const there = new Side([...first, ...second, ...rest]);
  const here = new Side([...rest, ...third, ...first.map((_, n) => row(n, "9.91"))]);
  const found = await between(there, here);
  const differ = Array.from({ length: 3 * OF_EACH }, (_, n) => `S-${n}`);
  expect(found.keys).toHaveLength(differ.length);
  expect(new Set(found.keys.map(({ id }) => id))).toEqual(new Set(differ));
  expect(found).toMatchObject({ complete: true, rowsAtTerminal: ROWS - OF_EACH, rowsAtCentre: ROWS - OF_EACH });
  // The root, the nodes below it, those below them, and then the rows themselves.
  expect(new Set(there.asked.map(({ width }) => width))).toEqual(new Set([3, 5, null]));
  expect(there.asked.reduce((sum, { listed }) => sum + listed, 0)).toBeLessThan(10 * OF_EACH);
});

test("two tables of the same rows are equal after one look", async () => {
  const rows = Array.from({ length: 1_000 }, (_, n) => row(n));
  const [there, here] = [new Side(rows), new Side(rows.toReversed())];
  expect(await between(there, here)).toMatchObject({ keys: [], complete: true });
  expect(there.asked).toEqual([{ width: 3, listed: 0 }]);
});
