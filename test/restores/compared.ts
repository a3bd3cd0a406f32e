import type { Difference, Reconcile } from "../../src/ledger/reconciles.ts";
import type { Till, World } from "./world.ts";

type Keyed = { readonly key: string };
type Answer = Reconcile & { readonly differences: readonly Difference[] };

/**
 * Compares a till with the centre as an operator would, and holds the report against what both databases say by themselves:
 * it must name exactly the rows that differ, none too many, none too few.
 */
export async function compared(world: World, till: Till): Promise<Answer> {
  const path = `/api/terminals/${till.id}/reconcile`;
  // One that the hub ordered by itself after a restore may be under way.
  await world.time.until("the end of earlier comparisons", async () => {
    const { reconciles } = await world.operator<{ reconciles: Reconcile[] }>(
      "GET",
      `/api/reconciles?terminal=${till.id}`,
    );
    return reconciles.every(({ endedAt }) => endedAt !== null);
  });
  const { id } = await world.operator<Reconcile>("POST", path, { reason: "the end of a history" });
  let answer: Answer | null = null;
  await world.time.until(`the comparison of ${till.id}`, async () => {
    answer = await world.operator<Answer>("GET", `/api/reconciles/${id}?limit=1000`);
    return answer.endedAt !== null;
  });
  const { state, report, differences } = answer as unknown as Answer;
  if (state !== "done" || report.tables.some(({ unsettled, complete }) => unsettled > 0 || !complete))
    throw new Error(`${till.id} was not compared: ${JSON.stringify({ state, report })}`);

  const said = new Map(
    differences.map((one) => [`${one.table} ${String(one.key["sale_id"] ?? one.key["sku"])}`, one.kind]),
  );
  const real = new Map<string, string>();
  const sides = {
    sale: [
      await world.rows<Keyed>(`select sale_id as key, s.* from sale s where till = '${till.id}'`),
      await till.all<Keyed>("select sale_id as key, s.* from sale s"),
    ],
    price: [
      await world.rows<Keyed>("select sku as key, p.* from price p"),
      await till.all<Keyed>("select sku as key, p.* from price p"),
    ],
  } as const;
  for (const [table, [centre, terminal]] of Object.entries(sides)) {
    const here = new Map(centre.map((row) => [row.key, JSON.stringify(row)]));
    const there = new Map(terminal.map((row) => [row.key, JSON.stringify(row)]));
    for (const key of new Set([...here.keys(), ...there.keys()])) {
      if (here.get(key) === there.get(key)) continue;
      const kind = !here.has(key) ? "missing at centre" : there.has(key) ? "different" : "missing at terminal";
      real.set(`${table} ${key}`, kind);
    }
  }
  const both = [...new Set([...said.keys(), ...real.keys()])].filter((row) => said.get(row) !== real.get(row));
  if (both.length > 0)
    throw new Error(
      `the report on ${till.id} is wrong: ${both.map((row) => `${row} said ${said.get(row) ?? "equal"}, is ${real.get(row) ?? "equal"}`).join("; ")}`,
    );
  return answer as unknown as Answer;
}
