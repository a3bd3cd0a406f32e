import { z } from "zod";
import { FAULTS, isFaultCode, WaybillError, type ErrorFacts, type FaultCode } from "../base/errors.ts";

/** RFC 9457. The members of an error's `facts` stand beside these. */
export const problem = z
  .looseObject({
    type: z.string().describe("`urn:waybill:error:<code>`"),
    title: z.string(),
    status: z.number().int(),
    code: z.string().describe("one of docs/errors.md"),
    detail: z.string(),
    hint: z.string().describe("what to do"),
    trace: z.string().optional().describe("trace id: names the log line"),
  })
  .describe("problem document");
export type Problem = z.infer<typeof problem>;

export const PROBLEM_TYPE = "application/problem+json";
const OWN_MEMBERS: ReadonlySet<string> = new Set(["type", "title", "status", "code", "detail", "hint", "trace"]);

/** What a caller is told. Of INTERNAL no more than that and the trace id: its text may hold anything. */
export function problemOf(error: WaybillError, trace?: string): Problem {
  const { status, hint } = FAULTS[error.code];
  const inside = error.code === "INTERNAL";
  const facts = inside
    ? {}
    : Object.fromEntries(Object.entries(error.facts).filter(([name]) => !OWN_MEMBERS.has(name)));
  return {
    type: `urn:waybill:error:${error.code}`,
    title: titleOf(error.code),
    status,
    code: error.code,
    detail: inside ? "an unexpected fault; nothing of the request was acknowledged" : error.what,
    hint,
    ...(trace === undefined ? {} : { trace }),
    ...facts,
  };
}

/**
 * An answer that is no success, as the error it stands for. An answer without a readable problem document comes from
 * something in between (a proxy, a captive portal): its status alone decides, and only a repeat later can help.
 * `facts` has what came beside the code, and `retryAfterMs` where the answer said it.
 */
export function errorOf(status: number, headers: Readonly<Record<string, string>>, body: Uint8Array): WaybillError {
  const facts: Record<string, string | number | boolean | null> = {};
  const seconds = Number(headers["retry-after"] ?? Number.NaN);
  if (Number.isFinite(seconds) && seconds >= 0) facts["retryAfterMs"] = seconds * 1_000;
  const read = problem.safeParse(jsonOf(body));
  if (!read.success || !isFaultCode(read.data.code)) {
    return new WaybillError(codeOfStatus(status), `HTTP status ${status} without a problem document of Waybill`, {
      facts,
    });
  }
  for (const [name, value] of Object.entries(read.data)) {
    if (!OWN_MEMBERS.has(name) && isFact(value)) facts[name] = value;
  }
  return new WaybillError(read.data.code, read.data.detail, { facts });
}

const titleOf = (code: FaultCode): string => {
  const words = code.toLowerCase().replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
};

function codeOfStatus(status: number): FaultCode {
  if (status === 401) return "UNAUTHENTICATED";
  if (status === 403) return "FORBIDDEN";
  if (status === 413) return "TOO_LARGE";
  if (status === 429) return "OVERLOADED";
  if (status === 503) return "UNAVAILABLE";
  return "HUB_UNREACHABLE";
}

function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString("utf8"));
  } catch {
    return null;
  }
}

const isFact = (value: unknown): value is ErrorFacts[string] =>
  value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean";
