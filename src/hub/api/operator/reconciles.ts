import { z } from "zod";
import { instant } from "../../../base/clock.ts";
import { WaybillError } from "../../../base/errors.ts";
import { terminalId } from "../../../base/ids.ts";
import { newUlid } from "../../../base/runtime.ts";
import type { Difference, Reconcile, ReconcilePlace } from "../../../ledger/reconciles.ts";
import { reconcilable } from "../../reconcile/plan.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { jsonRoute, queryOf, route, type Route } from "../route.ts";
import { count } from "./query.ts";

const reason = z.string().trim().min(1).max(1_000).describe("why; kept in the audit trail");
const listQuery = z.object({
  terminal: z.string().optional().describe("of this terminal only"),
  limit: count(20, 200),
  before: z
    .string()
    .regex(/^\d{1,15}\/.{1,200}$/)
    .transform((text): ReconcilePlace => ({ orderedAt: instant(parseInt(text, 10)), id: text.replace(/^\d+\//, "") }))
    .optional()
    .describe("`next` of the page before; not with `terminal`, of which only the newest are kept"),
});
const differencesQuery = z.object({
  after: z.coerce.number().int().min(0).default(0).describe("number of the last difference of the page before"),
  limit: count(100, 1_000),
});
const orderCall = z.object({
  tables: z.array(z.string().min(1)).min(1).optional().describe("by their names at the terminals; without it all"),
  mend: z.boolean().default(false).describe("send again at once what differs, as `repair` would"),
  reason,
});
const repairCall = z.object({
  numbers: z
    .array(z.number().int().min(1))
    .min(1)
    .max(10_000)
    .optional()
    .describe("of the differences; without it all that can be repaired"),
  removals: z.boolean().default(false).describe("also take rows away at the terminal that the centre does not give it"),
  preview: z.boolean().default(false).describe("only tell what would be done"),
  reason,
});
const cancelCall = z.object({ reason });

const PAGE = 1_000;

/** Comparing a terminal with the centre, what was found, and sending the rows that differ again. */
export function reconcileRoutes({ ledger, settings, runtime, wake }: HubApiParts): readonly Route[] {
  const { reconciles } = ledger;
  const known = async (id: string): Promise<Reconcile> => {
    const found = await reconciles.get(id);
    if (found) return found;
    throw new WaybillError("NOT_FOUND", `there is no reconciliation ${id}`);
  };
  const newId = (): string => newUlid(runtime.clock.now(), runtime.random);
  return [
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/reconciles",
        summary: "Comparisons of terminals with the centre and repairs, newest first, with progress and result",
        query: listQuery,
        answer: { status: 200 },
        faults: [],
      },
      async ({ caller: { sight }, request }) => {
        const { terminal, limit, before = null } = queryOf(listQuery, request);
        const found =
          terminal === undefined
            ? await reconciles.newest(limit, before)
            : await reconciles.list(terminalId(terminal), limit);
        const last = terminal === undefined && found.length === limit ? found.at(-1) : undefined;
        const next = last === undefined ? null : `${last.orderedAt}/${last.id}`;
        return json(200, { reconciles: found.map(sight.reconcile), next, tables: reconcilable(settings) });
      },
    ),
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/reconciles/{id}",
        summary: "One comparison or repair, with a page of the differences it found: each key, with both values",
        query: differencesQuery,
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      async ({ caller: { sight }, params, request }) => {
        const { after, limit } = queryOf(differencesQuery, request);
        const found = await known(params["id"] ?? "");
        const differences = await reconciles.differences(found.id, after, limit);
        const next = differences.length < limit ? null : (differences.at(-1)?.n ?? null);
        return json(200, { ...sight.reconcile(found), differences: differences.map(sight.difference), next });
      },
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: "/api/terminals/{id}/reconcile",
        summary: "Compare a terminal's tables with the centre's, row by row",
        answer: { status: 202 },
        faults: ["NOT_FOUND", "STATE_CONFLICT", "TABLE_UNKNOWN"],
      },
      orderCall,
      async ({ caller: { by }, params, body }) => {
        const id = terminalId(params["id"] ?? "");
        if ((await ledger.terminals.get(id))?.state !== "enrolled")
          throw new WaybillError("NOT_FOUND", `terminal ${id} is not enrolled`);
        const all = reconcilable(settings);
        const unknown = body.tables?.find((table) => !all.includes(table));
        if (unknown !== undefined)
          throw new WaybillError("TABLE_UNKNOWN", `table ${unknown} is not one of ${all.join(", ")}`);
        const work = { kind: "compare" as const, tables: body.tables ?? null, mend: body.mend };
        const ordered = await reconciles.order(newId(), id, work, by, body.reason);
        wake.ordered?.();
        return json(202, ordered);
      },
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: "/api/reconciles/{id}/repair",
        summary: "Send rows that differ again, by the table's direction; with `preview` only tell what would be done",
        answer: { status: 202 },
        faults: ["NOT_FOUND", "STATE_CONFLICT"],
      },
      repairCall,
      async ({ caller: { by }, params, body }) => {
        const found = await known(params["id"] ?? "");
        if (found.work.kind !== "compare" || found.state !== "done")
          throw new WaybillError("STATE_CONFLICT", `${found.id} is no comparison that is done: it is ${found.state}`);
        if (body.preview) return json(200, await previewOf(found));
        const { numbers = null, removals } = body;
        const work = { kind: "repair" as const, of: found.id, numbers, removals };
        const ordered = await reconciles.order(newId(), found.terminal, work, by, body.reason);
        wake.ordered?.();
        return json(202, ordered);

        async function previewOf({ id, terminal }: Reconcile): Promise<RepairPreview> {
          const tally = { up: 0, down: 0, removal: 0, waits: 0, nobody: 0, healed: 0 };
          for (let after = 0; ;) {
            const page: readonly Difference[] = await reconciles.differences(id, after, PAGE);
            for (const one of page) if (body.numbers?.includes(one.n) ?? true) tally[placeOf(one)]++;
            const last = page.at(-1);
            if (page.length < PAGE || last === undefined) return { id, terminal, ...tally };
            after = last.n;
          }
        }
      },
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: "/api/reconciles/{id}/cancel",
        summary: "End a comparison or repair before its time; what was sent stays sent",
        answer: { status: 200 },
        faults: ["NOT_FOUND", "STATE_CONFLICT"],
      },
      cancelCall,
      async ({ caller: { by }, params, body }) => {
        const id = params["id"] ?? "";
        await reconciles.cancel(id, by, body.reason);
        return json(200, await known(id));
      },
    ),
  ];
}

/** What a repair would do, in rows: sent by the terminal, by the centre, taken away at the terminal; left alone since a message waits, since only a person can, or since it is well by now. */
export type RepairPreview = {
  readonly id: string;
  readonly terminal: string;
  readonly up: number;
  readonly down: number;
  readonly removal: number;
  readonly waits: number;
  readonly nobody: number;
  readonly healed: number;
};
function placeOf({ repair, repaired, because }: Difference): "up" | "down" | "removal" | "waits" | "nobody" | "healed" {
  if (repaired === "healed") return "healed";
  return repair ?? (because ? "waits" : "nobody");
}
