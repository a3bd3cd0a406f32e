import { z } from "zod";
import { workerId } from "../../../base/ids.ts";
import { RetentionKeeper } from "../../retention-keeper.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { jsonRoute, route, type Route } from "../route.ts";

const passCall = z.object({});

/** What is kept how long, and a pass that takes away what is over and beyond its time. */
export function retentionRoutes(parts: HubApiParts): readonly Route[] {
  const retention =
    parts.retention ??
    new RetentionKeeper({ ...parts, settings: { ...parts.settings.retention, everyMs: 0 }, worker: workerId("api") });
  return [
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/retention",
        summary:
          "What is kept how long, what a pass would look at now, and the pass of this process that is under way or was the last",
        answer: { status: 200 },
        faults: [],
      },
      async () => json(200, await retention.state()),
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: "/api/retention/passes",
        summary: "Begin a pass now; follow it with GET /api/retention",
        answer: { status: 202 },
        faults: ["STATE_CONFLICT"],
      },
      passCall,
      async ({ caller: { by } }) => json(202, { pass: await retention.begin(by) }),
    ),
  ];
}
