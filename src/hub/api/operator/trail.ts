import { z } from "zod";
import { terminalId } from "../../../base/ids.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { queryOf, route, type Route } from "../route.ts";
import { traceMessages } from "../trace.ts";
import { count } from "./query.ts";

const eventsQuery = z.object({
  limit: count(100, 1_000),
  before: z.coerce.number().int().min(1).optional().describe("the id of the last event of the page before"),
});
/** What happened: one message's life, and everything, newest first. */
export function trailRoutes({ ledger }: HubApiParts): readonly Route[] {
  return [
    route(
      "operator",
      {
        method: "GET",
        path: "/api/trace/{terminal}/{what}",
        summary:
          "Where a message is and why: by its number, by `epoch/number`, or by a searchable value such as a receipt number",
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      async ({ params }) =>
        json(200, await traceMessages(ledger, terminalId(params["terminal"] ?? ""), params["what"] ?? "")),
    ),
    route(
      "operator",
      {
        method: "GET",
        path: "/api/events",
        summary: "The audit trail, newest first",
        query: eventsQuery,
        answer: { status: 200 },
        faults: [],
      },
      async ({ request }) => {
        const { limit, before } = queryOf(eventsQuery, request);
        return json(200, { events: await ledger.trail.recent(limit, before ?? null) });
      },
    ),
  ];
}
