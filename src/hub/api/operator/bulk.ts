import { z } from "zod";
import { WaybillError } from "../../../base/errors.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { jsonRoute, queryOf, route, type Route } from "../route.ts";
import { filterOf, filterQuery } from "./filter.ts";
import { count } from "./query.ts";

const previewCall = z.object({ verb: z.enum(["requeue", "discard"]), filter: z.object(filterQuery).default({}) });
const reasonCall = z.object({
  reason: z.string().trim().min(1).max(1_000).describe("why; kept in the audit trail"),
});
const listQuery = z.object({ limit: count(20, 1_000) });
const itemsQuery = z.object({
  limit: count(100, 1_000),
  after: z.coerce.number().int().min(0).default(0).describe("`n` of the last item of the page before"),
});

/**
 * One act on many messages: previewed first, which freezes the list and says what it releases; started; then the hub works
 * off exactly that list, across restarts, until it is done or cancelled.
 */
export function bulkRoutes({ ledger: { bulks } }: HubApiParts): readonly Route[] {
  return [
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: "/api/bulk",
        summary: "Preview an act on many messages: the list is frozen, nothing is done to it yet",
        answer: { status: 201 },
        faults: [],
      },
      previewCall,
      async ({ caller: { by }, body }) =>
        json(201, { bulk: await bulks.preview(body.verb, filterOf(body.filter), by) }),
    ),
    route(
      "operator",
      {
        method: "GET",
        path: "/api/bulk",
        summary: "Acts on many messages, newest first",
        query: listQuery,
        answer: { status: 200 },
        faults: [],
      },
      async ({ request }) => json(200, { bulks: await bulks.list(queryOf(listQuery, request).limit) }),
    ),
    route(
      "operator",
      {
        method: "GET",
        path: "/api/bulk/{id}",
        summary: "One of them, how far it is, and what has become of each message",
        query: itemsQuery,
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      async ({ params, request }) => {
        const id = idOf(params);
        const { limit, after } = queryOf(itemsQuery, request);
        const [bulk, items] = await Promise.all([bulks.get(id), bulks.items(id, limit, after)]);
        if (!bulk) throw new WaybillError("NOT_FOUND", `there is no bulk act ${id}`);
        const last = items.length === limit ? (items.at(-1)?.n ?? null) : null;
        return json(200, { bulk, items, next: last });
      },
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: "/api/bulk/{id}/start",
        summary: "Let it run as previewed",
        answer: { status: 200 },
        faults: ["NOT_FOUND", "STATE_CONFLICT"],
      },
      reasonCall,
      async ({ caller: { by }, params, body }) => json(200, { bulk: await bulks.start(idOf(params), by, body.reason) }),
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: "/api/bulk/{id}/cancel",
        summary: "End it: what has been ordered stays ordered, the rest is left alone",
        answer: { status: 200 },
        faults: ["NOT_FOUND", "STATE_CONFLICT"],
      },
      reasonCall,
      async ({ caller: { by }, params, body }) =>
        json(200, { bulk: await bulks.cancel(idOf(params), by, body.reason) }),
    ),
  ];
}

const idOf = (params: Readonly<Record<string, string>>): number => {
  const id = params["id"] ?? "";
  if (/^\d{1,15}$/.test(id)) return Number(id);
  throw new WaybillError("NOT_FOUND", `there is no bulk act ${id.slice(0, 50)}`);
};
