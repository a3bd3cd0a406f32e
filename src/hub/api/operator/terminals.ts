import { z } from "zod";
import { WaybillError } from "../../../base/errors.ts";
import { terminalId } from "../../../base/ids.ts";
import { chainHex } from "../../../message/chain.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { queryOf, route, type Route } from "../route.ts";
import { count } from "./query.ts";

const terminalsQuery = z.object({
  limit: count(100, 1_000),
  after: z.string().optional().describe("the last terminal of the page before"),
});
/** What there is: counts over all, every terminal, one terminal. */
export function terminalRoutes({ ledger }: HubApiParts): readonly Route[] {
  return [
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/overview",
        summary: "Counts over all terminals",
        answer: { status: 200 },
        faults: [],
      },
      async () => json(200, await ledger.trail.overview()),
    ),
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/terminals",
        summary: "Terminals with their watermarks",
        query: terminalsQuery,
        answer: { status: 200 },
        faults: [],
      },
      async ({ request }) => {
        const { limit, after } = queryOf(terminalsQuery, request);
        return json(200, {
          terminals: await ledger.trail.byTerminal(limit, after === undefined ? null : terminalId(after)),
        });
      },
    ),
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/terminals/{id}",
        summary: "One terminal, its lanes and refused updates",
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      async ({ caller: { sight }, params }) => {
        const id = terminalId(params["id"] ?? "");
        const terminal = await ledger.terminals.get(id);
        if (!terminal) throw new WaybillError("NOT_FOUND", `there is no terminal ${id}`);
        const [lanes, refusedUpdates, [restored = null]] = await Promise.all([
          ledger.lanes.of(id),
          ledger.updates.refusals(id, 100),
          ledger.restores.restored(id, 1),
        ]);
        return json(200, {
          terminal,
          lanes: lanes.map((lane) => ({ ...lane, chain: chainHex(lane.chain) })),
          refusedUpdates: refusedUpdates.map((each) => ({ ...each, detail: sight.words(each.detail) })),
          /** Set back to an older copy, and nobody has said or seen yet that both sides are equal. */
          restored,
        });
      },
    ),
  ];
}
