import { z } from "zod";
import { WaybillError } from "../../../base/errors.ts";
import { updateId, type UpdateId } from "../../../base/ids.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { queryOf, route, type Route } from "../route.ts";
import { count } from "./query.ts";

const id = z
  .string()
  .regex(/^\d{1,16}$/)
  .transform((text) => updateId(Number(text)));
const listQuery = z.object({
  limit: count(30, 200),
  before: id.optional().describe("`next` of the page before"),
  audience: z.string().min(1).max(200).optional().describe("of this audience only, such as `store:014`"),
});
const reachQuery = z.object({
  limit: count(100, 1_000),
  after: z.string().max(100).optional().describe("`next` of the page before"),
});

/** What went down: each entry of the update log, how far it has come, and which terminals are slowest to take it. */
export function updateRoutes({ ledger: { updates } }: HubApiParts): readonly Route[] {
  return [
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/updates",
        summary: "Published updates, newest first, each with how many terminals have applied, await or refused it",
        query: listQuery,
        answer: { status: 200 },
        faults: [],
      },
      async ({ request }) => {
        const { limit, before = null, audience = null } = queryOf(listQuery, request);
        const found = await updates.newest(audience, limit, before);
        return json(200, { updates: found, next: found.length === limit ? (found.at(-1)?.id ?? null) : null });
      },
    ),
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/updates/{update}",
        summary: "One update and the terminals it is for, the slowest first",
        query: reachQuery,
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      async ({ caller: { sight }, params, request }) => {
        const { limit, after = null } = queryOf(reachQuery, request);
        const asked = idOf(params["update"] ?? "");
        const [[update], { rows, next }] = await Promise.all([
          updates.newest(null, 1, updateId(asked + 1)),
          updates.reach(asked, limit, after),
        ]);
        if (update?.id !== asked) throw new WaybillError("NOT_FOUND", `there is no update ${asked}, or no longer`);
        const terminals = rows.map((row) => ({
          ...row,
          refused: row.refused && { ...row.refused, detail: sight.words(row.refused.detail) },
        }));
        return json(200, { update, terminals, next });
      },
    ),
  ];
}

function idOf(text: string): UpdateId {
  const read = id.safeParse(text);
  if (read.success) return read.data;
  throw new WaybillError("NOT_FOUND", `there is no update ${JSON.stringify(text.slice(0, 40))}`);
}
