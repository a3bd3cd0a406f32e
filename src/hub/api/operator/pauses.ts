import { z } from "zod";
import { WaybillError } from "../../../base/errors.ts";
import { splitLane, terminalId, type LaneName } from "../../../base/ids.ts";
import type { PauseScope } from "../../../ledger/pauses.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { jsonRoute, route, type Route } from "../route.ts";

const call = z.object({
  kind: z.enum(["everything", "terminal", "lane", "route"]),
  name: z
    .string()
    .max(200)
    .default("")
    .describe("the terminal's id, the lane (terminal/epoch), or the table by its name at the terminals"),
  reason: z.string().trim().min(1).max(1_000).describe("why; kept in the audit trail"),
});

/** Loading that stands still: by a person's word, or since one fault met many lanes. Terminals go on sending all the while. */
export function pauseRoutes({ ledger, settings, wake, breaker }: HubApiParts): readonly Route[] {
  const state = async (): Promise<object> => {
    const [pauses, counts, lanesInWork] = await Promise.all([
      ledger.pauses.list(),
      ledger.pauses.waiting(),
      ledger.pauses.inWork(),
    ]);
    const waiting = new Map(counts.map(({ route, messages }) => [route, messages]));
    const shown = pauses.map((pause) => ({ ...pause, waiting: waiting.get(pause.name) ?? 0 }));
    return { pauses: shown, lanesInWork, breaker: breaker?.() ?? null };
  };
  /** @throws NOT_FOUND for what is not there: a pause with a slip of the pen in it would stop nothing. */
  const scopeOf = async ({ kind, name }: z.output<typeof call>): Promise<PauseScope> => {
    const missing = (what: string): WaybillError => new WaybillError("NOT_FOUND", `there is no ${what}`);
    if (kind === "everything") return { kind, name: "" };
    if (kind === "route") {
      const rule = [...settings.rules.tables.values()].find(({ source, target }) => source === name || target === name);
      if (!rule) throw missing(`table ${JSON.stringify(name)} that goes up`);
      return { kind, name: rule.source };
    }
    const lanes = name === "" ? [] : await ledger.lanes.of(terminalId(name.split("/", 1)[0] ?? ""));
    if (kind === "terminal") {
      if (lanes.length === 0 && (await ledger.terminals.get(terminalId(name))) === null)
        throw missing(`terminal ${JSON.stringify(name)}`);
      return { kind, name };
    }
    if (!lanes.some(({ lane }) => lane === name)) throw missing(`lane ${JSON.stringify(name)}`);
    return { kind, name: laneText(name as LaneName) };
  };
  return [
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/pauses",
        summary:
          "What stands still, since when, by whom and why; how many lanes are in work, and the breaker of the centre",
        answer: { status: 200 },
        faults: [],
      },
      async () => json(200, await state()),
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: "/api/pauses",
        summary: "Pause everything, a terminal, a lane or the route of a table; what is in work is finished",
        answer: { status: 200 },
        faults: ["NOT_FOUND", "STATE_CONFLICT"],
      },
      call,
      async ({ caller: { by }, body }) => {
        await ledger.pauses.pause(await scopeOf(body), by, body.reason);
        return json(200, await state());
      },
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: "/api/pauses/resume",
        summary: "Let it go on; what waited is due at once",
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      call,
      async ({ caller: { by }, body }) => {
        await ledger.pauses.resume(await scopeOf(body), by, body.reason);
        wake.received();
        return json(200, await state());
      },
    ),
  ];
}

/** @throws REQUEST_INVALID when it is no lane's name */
const laneText = (name: LaneName): string => {
  splitLane(name);
  return name;
};
