import { z } from "zod";
import { FAULTS, WaybillError, asWaybillError, type FaultCode } from "../../../base/errors.ts";
import { epoch, laneName, seq, terminalId, type LaneName, type Seq } from "../../../base/ids.ts";
import type { ExceptionFilter, ExceptionRow } from "../../../ledger/exceptions.ts";
import { checkLetterByLetter, readMessageLine } from "../../../wire/message-line.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { payloadOf } from "../payload.ts";
import { jsonRoute, queryOf, route, type Route } from "../route.ts";
import { count } from "./query.ts";

const SHOWN_STATES = ["received", "retrying", "held", "dead", "discarded"] as const;
const isShownState = (text: string): text is (typeof SHOWN_STATES)[number] =>
  (SHOWN_STATES as readonly string[]).includes(text);
const exceptionsQuery = z.object({
  states: z
    .string()
    .transform((text) => text.split(","))
    .pipe(z.array(z.string().refine(isShownState, `must be of ${SHOWN_STATES.join(", ")}`)))
    .optional()
    .describe(`any of ${SHOWN_STATES.join(",")}`),
  terminal: z.string().optional(),
  fault: z.enum(Object.keys(FAULTS) as [FaultCode, ...FaultCode[]]).optional(),
  table: z.string().min(1).max(200).optional(),
  limit: count(100, 1_000),
  after: z.string().max(200).optional().describe("`next` of the page before"),
});

const reason = z.string().trim().min(1).max(1_000).describe("why; kept in the audit trail");
const requeueCall = z.object({
  reason,
  payload: z
    .union([z.string(), z.record(z.string(), z.unknown())])
    .optional()
    .describe("the edited message line, as text or as JSON"),
});
const discardCall = z.object({ reason });
const EXCEPTION = "/api/exceptions/{terminal}/{epoch}/{seq}";

/** Messages off the happy path: look at them, try them again, give them up. */
export function exceptionRoutes(parts: HubApiParts): readonly Route[] {
  const { ledger, wake } = parts;
  return [
    route(
      "operator",
      {
        method: "GET",
        path: "/api/exceptions",
        summary: "Messages off the happy path, oldest first",
        query: exceptionsQuery,
        answer: { status: 200 },
        faults: [],
      },
      async ({ request }) => {
        const { limit, after, states, terminal, fault, table } = queryOf(exceptionsQuery, request);
        const filter: ExceptionFilter = {
          ...(states === undefined ? {} : { states: states.filter(isShownState) }),
          ...(terminal === undefined ? {} : { terminal: terminalId(terminal) }),
          ...(fault === undefined ? {} : { fault }),
          ...(table === undefined ? {} : { table }),
        };
        return json(200, await ledger.exceptions.list(filter, limit, after ?? null));
      },
    ),
    route(
      "operator",
      {
        method: "GET",
        path: EXCEPTION,
        summary: "One exception with payload and history",
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      async ({ params }) => {
        const at = placeOf(params);
        const exception = await exceptionAt(parts, at);
        const [payload, events] = await Promise.all([
          payloadOf(ledger.bytes, at.lane, at.seq),
          ledger.trail.of(at.lane, at.seq),
        ]);
        return json(200, { exception, payload, events });
      },
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: `${EXCEPTION}/requeue`,
        summary: "Try a message again, as it was or as edited",
        answer: { status: 200 },
        faults: ["NOT_FOUND", "STATE_CONFLICT", "SETS_CHANGED"],
      },
      requeueCall,
      async ({ caller: { actor }, params, body, text }) => {
        const at = placeOf(params);
        await ledger.exceptions.requeue(at.lane, at.seq, actor, body.reason, revisionOf(body.payload, at.seq, text));
        wake.received();
        return json(200, { exception: await ledger.exceptions.get(at.lane, at.seq) });
      },
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: `${EXCEPTION}/discard`,
        summary: "Give a message up; it is done together with the central database's row",
        answer: { status: 200 },
        faults: ["NOT_FOUND", "STATE_CONFLICT"],
      },
      discardCall,
      async ({ caller: { actor }, params, body }) => {
        const at = placeOf(params);
        await ledger.exceptions.discard(at.lane, at.seq, actor, body.reason);
        wake.received();
        return json(200, { exception: await ledger.exceptions.get(at.lane, at.seq) });
      },
    ),
  ];
}

type Place = { readonly lane: LaneName; readonly seq: Seq };

function placeOf(params: Readonly<Record<string, string>>): Place {
  const number = /^\d{1,16}$/.test(params["seq"] ?? "") ? Number(params["seq"]) : Number.NaN;
  return { lane: laneName(terminalId(params["terminal"] ?? ""), epoch(params["epoch"] ?? "")), seq: seq(number) };
}

async function exceptionAt({ ledger }: HubApiParts, { lane, seq: number }: Place): Promise<ExceptionRow> {
  const found = await ledger.exceptions.get(lane, number);
  if (!found) throw new WaybillError("NOT_FOUND", `message ${lane}/${number} is no exception`);
  return found;
}

type Payload = z.output<typeof requeueCall>["payload"];

/** The edited line in UTF-8, checked like any line that comes from a terminal, and still of the same number. */
function revisionOf(payload: Payload, number: Seq, request: string): Uint8Array | null {
  if (payload === undefined) return null;
  const text = typeof payload === "string" ? payload.trim() : JSON.stringify(payload);
  try {
    // As JSON it has been read already: whatever that changed in silence can only be seen in the request itself.
    if (typeof payload !== "string") checkLetterByLetter(request, 1);
    const line = readMessageLine(text, 1);
    if (line.seq !== number || line.part !== 0)
      throw new WaybillError("LINE_INVALID", `seq: must be ${number}, and no part`, { facts: { path: "seq" } });
  } catch (thrown) {
    const error = asWaybillError(thrown);
    if (error.code !== "LINE_INVALID") throw error;
    const path = `payload.${String(error.facts["path"] ?? "")}`;
    throw new WaybillError("REQUEST_INVALID", `payload: ${error.what}`, { facts: { path } });
  }
  // A line holds no newline; within JSON one can only stand between its parts.
  return Buffer.from(text.replaceAll(/[\r\n]+/g, " "));
}
