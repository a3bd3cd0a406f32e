import { FAULTS, type WaybillError } from "../../base/errors.ts";
import { JSON_TYPE, NDJSON_TYPE } from "../../wire/headers.ts";
import { problemOf, PROBLEM_TYPE } from "../../wire/problem.ts";

/** One request, whole, as any transport hands it over: a socket, a simulated network, a test. */
export type WireRequest = {
  readonly method: string;
  /** Without the query, still percent-encoded. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** As sent: still encoded as `content-encoding` says. */
  readonly body: Uint8Array;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
};
export type WireResponse = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Of several, each is a header of its own. */
  readonly cookies?: readonly string[];
  /** Sent after `body`, piece by piece, for as long as it goes on; it must end when the request's signal is raised. */
  readonly stream?: AsyncIterable<Uint8Array>;
};

const EMPTY = new Uint8Array(0);

export const json = (status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): WireResponse => ({
  status,
  headers: { "content-type": JSON_TYPE, ...headers },
  body: Buffer.from(JSON.stringify(value)),
});
export const ndjson = (body: Uint8Array): WireResponse => ({
  status: 200,
  headers: { "content-type": NDJSON_TYPE },
  body,
});
export const empty = (status: number, headers: Readonly<Record<string, string>> = {}): WireResponse => ({
  status,
  headers,
  body: EMPTY,
});

const RETRY_AFTER_SECONDS = 5;

/** The problem document of an error, with the headers that HTTP asks for beside its status. */
export function refusalOf(error: WaybillError, trace?: string): WireResponse {
  const { status } = FAULTS[error.code];
  const headers: Record<string, string> = { "content-type": PROBLEM_TYPE };
  const { retryAfterSeconds, allow } = error.facts;
  if (status === 429 || status === 503) headers["retry-after"] = String(retryAfterSeconds ?? RETRY_AFTER_SECONDS);
  if (status === 401) headers["www-authenticate"] = "Bearer";
  if (status === 405) headers["allow"] = String(allow ?? "");
  return { status, headers, body: Buffer.from(JSON.stringify(problemOf(error, trace))) };
}
