import { z } from "zod";
import { FAULTS, WaybillError, asWaybillError, type FaultCode } from "../../../base/errors.ts";
import { epoch, laneName, seq, splitLane, terminalId, type LaneName, type Seq } from "../../../base/ids.ts";
import type { ExceptionRow } from "../../../ledger/exceptions.ts";
import type { Rehearsal } from "../../../load/port.ts";
import { checkLetterByLetter, readMessageLine } from "../../../wire/message-line.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { payloadOf } from "../payload.ts";
import { jsonRoute, queryOf, route, type Route } from "../route.ts";
import { filterOf, filterQuery } from "./filter.ts";
import { count } from "./query.ts";

const listQuery = z.object({
  ...filterQuery,
  limit: count(100, 1_000),
  after: z.string().max(200).optional().describe("`next` of the page before"),
});
const groupsQuery = z.object({ ...filterQuery, limit: count(50, 1_000) });

const reason = z.string().trim().min(1).max(1_000).describe("why; kept in the audit trail");
const requeueCall = z.object({
  reason,
  payload: z
    .union([z.string(), z.record(z.string(), z.unknown())])
    .optional()
    .describe("the edited message line, as text or as JSON"),
  basedOn: z
    .number()
    .int()
    .min(1)
    .nullable()
    .optional()
    .describe(
      "number of the revision the edit was made of (null: the line as received); refused when another counts now",
    ),
});
const dryRunCall = requeueCall.pick({ payload: true });
const discardCall = z.object({ reason });
/** Why the centre may refuse a row. */
const LOADING_FAULTS = (Object.keys(FAULTS) as FaultCode[]).filter(
  (code) => FAULTS[code].blame === "either" || (FAULTS[code].blame === "message" && code !== "WORKER_LOST"),
);
const EXCEPTION = "/api/exceptions/{terminal}/{epoch}/{seq}";

/** Messages off the happy path: look at them, try them again, give them up. */
export function exceptionRoutes(parts: HubApiParts): readonly Route[] {
  const { ledger, wake } = parts;
  return [
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/exceptions",
        summary: "Messages off the happy path, oldest first",
        query: listQuery,
        answer: { status: 200 },
        faults: [],
      },
      async ({ caller: { sight }, request }) => {
        const { limit, after, ...filter } = queryOf(listQuery, request);
        const page = await ledger.exceptions.list(filterOf(filter), limit, after ?? null);
        return json(200, { ...page, rows: page.rows.map(sight.exception) });
      },
    ),
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/exception-groups",
        summary: "Messages off the happy path by what happened to them, the largest group first",
        query: groupsQuery,
        answer: { status: 200 },
        faults: [],
      },
      async ({ caller: { sight }, request }) => {
        const { limit, ...filter } = queryOf(groupsQuery, request);
        const groups = await ledger.exceptions.groups(filterOf(filter), limit);
        return json(200, { groups: groups.map(sight.group) });
      },
    ),
    route(
      "operator", // edits and rows of the centre stand in it as they are
      {
        method: "GET",
        path: EXCEPTION,
        summary: "One exception: payload, edits, the centre's rows as they are now, history, and what waits behind it",
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      async ({ params }) => {
        const at = placeOf(params);
        const exception = await exceptionAt(parts, at);
        const [payload, events, waiting, revisions] = await Promise.all([
          payloadOf(ledger.bytes, at.lane, at.seq),
          ledger.trail.of(at.lane, at.seq),
          ledger.exceptions.waiting(at.lane, at.seq),
          ledger.exceptions.revisions(at.lane, at.seq),
        ]);
        const last = revisions.find(({ n }) => n === exception.revision)?.line ?? null;
        const edits = revisions.map(({ line, ...made }) => ({ ...made, line: Buffer.from(line).toString("utf8") }));
        const centre = await centreRows(parts, at, last);
        const traceLink = parts.settings.tracing?.link ?? null;
        return json(200, { exception, payload, events, waiting, revisions: edits, centre, traceLink });
      },
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: `${EXCEPTION}/dry-run`,
        summary: "What would become of a message if it were tried now, as it is or as edited; nothing of it stays",
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      dryRunCall,
      async ({ params, body, text }) => {
        const at = placeOf(params);
        const exception = await exceptionAt(parts, at);
        const revision = revisionOf(body.payload, at.seq, text) ?? (await lineNow(parts, at, exception.revision));
        return json(200, await rehearse(parts, at, revision, true));
      },
    ),
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: `${EXCEPTION}/requeue`,
        summary: "Try a message again, as it is, or as edited when the centre takes the edit in a dry run",
        answer: { status: 200 },
        faults: ["NOT_FOUND", "STATE_CONFLICT", "SETS_CHANGED", ...LOADING_FAULTS],
      },
      requeueCall,
      async ({ caller: { by }, params, body, text }) => {
        const at = placeOf(params);
        const revision = revisionOf(body.payload, at.seq, text);
        if (revision !== null && parts.central) {
          await exceptionAt(parts, at);
          const { fault } = await rehearse(parts, at, revision, true);
          if (fault) throw new WaybillError(fault.code, `the dry run of this edit was refused: ${fault.detail}`);
        }
        await ledger.exceptions.requeue(at.lane, at.seq, by, body.reason, revision, body.basedOn);
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
      async ({ caller: { by }, params, body }) => {
        const at = placeOf(params);
        await ledger.exceptions.discard(at.lane, at.seq, by, body.reason);
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

/** The line that counts when it was edited; null: as received. */
async function lineNow({ ledger }: HubApiParts, at: Place, revision: number | null): Promise<Uint8Array | null> {
  if (revision === null) return null;
  return (await ledger.exceptions.revisions(at.lane, at.seq)).find(({ n }) => n === revision)?.line ?? null;
}

/** @throws UNAVAILABLE when this hub has no way to the centre, or the centre does not answer */
async function rehearse(
  { ledger, central }: HubApiParts,
  { lane, seq: number }: Place,
  revision: Uint8Array | null,
  apply: boolean,
): Promise<Rehearsal> {
  if (!central) throw new WaybillError("UNAVAILABLE", "this hub has no way to the central database");
  const { terminal } = splitLane(lane);
  const [sets, sender, lanes] = await Promise.all([
    ledger.exceptions.touched(lane, number),
    ledger.terminals.get(terminal),
    ledger.lanes.of(terminal),
  ]);
  const loadedThrough = lanes.find((each) => each.lane === lane)?.loadedThrough ?? number;
  const tags = sender?.tags ?? {};
  return central.rehearse({ lane, terminal, tags, seq: number, loadedThrough, sets, revision, apply });
}

/** What cannot be looked at now is said, and keeps nobody from seeing the rest. */
async function centreRows(
  parts: HubApiParts,
  at: Place,
  revision: Uint8Array | null,
): Promise<{ readonly rows: Rehearsal["rows"] } | { readonly unavailable: string }> {
  try {
    return { rows: (await rehearse(parts, at, revision, false)).rows };
  } catch (thrown) {
    return { unavailable: asWaybillError(thrown).message };
  }
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
