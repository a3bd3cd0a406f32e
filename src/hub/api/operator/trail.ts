import { z } from "zod";
import { actor, terminalId } from "../../../base/ids.ts";
import type { EventFilter } from "../../../ledger/trail.ts";
import { auditFile } from "../audit-file.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { queryOf, route, type Route } from "../route.ts";
import { traceAnywhere, traceMessages } from "../trace.ts";
import { standstillOf, type Standstill } from "../waits.ts";
import { count, tagsText, time } from "./query.ts";

const eventFilterQuery = {
  since: time.optional(),
  until: time.optional(),
  terminal: z.string().optional(),
  kind: z.string().max(200).optional().describe("one kind of event, such as `requeued`"),
  actor: z.string().max(200).optional().describe("one actor, such as `operator:anna`"),
};
const eventFilterOf = ({
  terminal,
  since,
  until,
  kind,
  actor: by,
}: z.output<z.ZodObject<typeof eventFilterQuery>>): EventFilter => ({
  ...(since === undefined ? {} : { since }),
  ...(until === undefined ? {} : { until }),
  ...(terminal === undefined ? {} : { terminal: terminalId(terminal) }),
  ...(kind === undefined ? {} : { kind }),
  ...(by === undefined ? {} : { actor: actor(by) }),
});
const eventsQuery = z.object({
  ...eventFilterQuery,
  limit: count(100, 1_000),
  before: z.coerce.number().int().min(1).optional().describe("`next` of the page before"),
});
const auditQuery = z.object({ format: z.enum(["ndjson", "csv"]).default("ndjson"), ...eventFilterQuery });
const findQuery = z.object({
  value: z.string().min(1).max(1_000).describe("a value of a searchable column, such as a receipt number"),
  tag: tagsText.describe("tags the terminal has: `store:014`"),
  at: z.string().trim().min(1).max(200).optional().describe("a terminal, or the value of any of its tags: `014`"),
});

/** What happened: one message's life, and everything, newest first. */
export function trailRoutes({ ledger, settings, breaker }: HubApiParts): readonly Route[] {
  const standstill = (): Promise<Standstill> => standstillOf(ledger, breaker?.() ?? null);
  const traceLink = settings.tracing?.link ?? null;
  return [
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/trace/{terminal}/{what}",
        summary:
          "Where a message is and why: by its number, by `epoch/number`, or by a searchable value such as a receipt number",
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      async ({ caller: { sight }, params }) => {
        const [terminal, what] = [terminalId(params["terminal"] ?? ""), params["what"] ?? ""];
        return json(200, { ...(await traceMessages(ledger, terminal, what, sight, await standstill())), traceLink });
      },
    ),
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/events",
        summary:
          "The audit trail, newest first; a page looks at a bounded stretch, so it may be short and yet have a `next`",
        query: eventsQuery,
        answer: { status: 200 },
        faults: [],
      },
      async ({ caller: { sight }, request }) => {
        const { limit, before, ...filter } = queryOf(eventsQuery, request);
        const { events, next } = await ledger.trail.newest(eventFilterOf(filter), limit, before ?? null);
        return json(200, { events: events.map(sight.event), next, traceLink });
      },
    ),
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/find",
        summary: "Messages of any terminal that carry a value: receipt 4711 of store 014",
        query: findQuery,
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      async ({ caller: { sight }, request }) => {
        const { value, tag: tags, at = null } = queryOf(findQuery, request);
        return json(200, { ...(await traceAnywhere(ledger, value, tags, at, sight, await standstill())), traceLink });
      },
    ),
    route(
      "operator",
      {
        method: "GET",
        path: "/api/audit",
        summary: "The audit trail as a file, oldest first: NDJSON or CSV",
        query: auditQuery,
        answer: { status: 200, ndjson: true },
        faults: [],
      },
      async ({ request }) => {
        const { format, ...filter } = queryOf(auditQuery, request);
        return auditFile(ledger.trail, eventFilterOf(filter), format, request.signal);
      },
    ),
  ];
}
