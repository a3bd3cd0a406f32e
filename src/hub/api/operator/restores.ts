import { z } from "zod";
import { WaybillError } from "../../../base/errors.ts";
import { terminalId } from "../../../base/ids.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { jsonRoute, queryOf, route, type Route } from "../route.ts";
import { count } from "./query.ts";

const restoresQuery = z.object({
  terminal: z.string().optional().describe("of this terminal only"),
  limit: count(100, 1_000),
});
const reason = z.string().trim().min(1).max(1_000).describe("why; kept in the audit trail");
const allowCall = z.object({ install: z.string().min(1).max(128), reason });
const settleCall = z.object({ reason });

/** What was set back to an older copy, what is gone by that, and who waits for a person to say which install is the real one. */
export function restoreRoutes({ ledger }: HubApiParts): readonly Route[] {
  return [
    route(
      "operator",
      {
        method: "GET",
        path: "/api/restores",
        summary: "Restored terminals, numbers whose messages nobody has any more, and installs that wait for a person",
        query: restoresQuery,
        answer: { status: 200 },
        faults: [],
      },
      async ({ request }) => {
        const { terminal, limit } = queryOf(restoresQuery, request);
        const of = terminal === undefined ? null : terminalId(terminal);
        const { restores } = ledger;
        const [restored, missing, asks] = await Promise.all([
          restores.restored(of, limit),
          restores.missing(of, limit),
          restores.asks(of, limit),
        ]);
        return json(200, { restored, missing, asks });
      },
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: "/api/terminals/{id}/epochs/allow",
        summary:
          "Let an install that was refused take the terminal over; the one that had it until now is refused from then on",
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      allowCall,
      async ({ caller: { by }, params, body }) => {
        const id = terminalId(params["id"] ?? "");
        await ledger.restores.allow(id, body.install, by, body.reason);
        return json(200, { asks: await ledger.restores.asks(id, 100) });
      },
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: "/api/terminals/{id}/restored/settle",
        summary: "Say that a restored terminal is well again",
        answer: { status: 200 },
        faults: ["STATE_CONFLICT"],
      },
      settleCall,
      async ({ caller: { by }, params, body }) => {
        const id = terminalId(params["id"] ?? "");
        if (!(await ledger.restores.settled(id, by, body.reason)))
          throw new WaybillError("STATE_CONFLICT", `terminal ${id} is not restored`);
        return json(200, { restored: [] });
      },
    ),
  ];
}
