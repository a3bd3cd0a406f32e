import { z } from "zod";
import { WaybillError } from "../../../base/errors.ts";
import { terminalId } from "../../../base/ids.ts";
import { HEALTHS, SLOT_MS } from "../../../ledger/fleet.ts";
import { chainHex } from "../../../message/chain.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { queryOf, route, type Route } from "../route.ts";
import { count, tagsText } from "./query.ts";

const terminalsQuery = z.object({
  limit: count(100, 1_000),
  after: z.string().optional().describe("`next` of the page before"),
  text: z.string().max(64).default("").describe("part of a terminal's name, or of the value of any of its tags"),
  tag: tagsText.describe("tags the terminal has, with commas between: `store:014`"),
  health: z.enum(HEALTHS).optional().describe("how it is: the first of these that holds"),
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
        summary: "Terminals in the order of their names, by text, tags and health, with their watermarks",
        query: terminalsQuery,
        answer: { status: 200 },
        faults: [],
      },
      async ({ request }) => {
        const { limit, after, text, tag: tags, health } = queryOf(terminalsQuery, request);
        const filter = { text, tags, ...(health === undefined ? {} : { health }) };
        const found = await ledger.fleet.page(filter, limit, after === undefined ? null : terminalId(after));
        return json(200, { terminals: found, next: found.length === limit ? (found.at(-1)?.terminal ?? null) : null });
      },
    ),
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/terminals/{id}/day",
        summary: "What came from a terminal in the last day, and what of it was loaded, in slots of ten minutes",
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      async ({ params }) => {
        const id = terminalId(params["id"] ?? "");
        if (!(await ledger.terminals.get(id))) throw new WaybillError("NOT_FOUND", `there is no terminal ${id}`);
        return json(200, { slotMs: SLOT_MS, slots: await ledger.fleet.day(id) });
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
        const [line, lanes, refusedUpdates, [restored = null]] = await Promise.all([
          ledger.fleet.of(id),
          ledger.lanes.of(id),
          ledger.updates.refusals(id, 100),
          ledger.restores.restored(id, 1),
        ]);
        return json(200, {
          terminal,
          line,
          lanes: lanes.map((lane) => ({ ...lane, chain: chainHex(lane.chain) })),
          refusedUpdates: refusedUpdates.map((each) => ({ ...each, detail: sight.words(each.detail) })),
          /** Set back to an older copy, and nobody has said or seen yet that both sides are equal. */
          restored,
        });
      },
    ),
  ];
}
