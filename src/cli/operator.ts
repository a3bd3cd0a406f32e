import { WaybillError, isFaultCode } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import { loadHubConfig } from "../hub/load-config.ts";
import { readOperatorToken } from "../hub/operator-token.ts";

import { configSource, type GlobalOptions } from "./options.ts";

/** Calls the operator API of a running hub: the same calls the console makes. */
export type Operator = {
  get<T>(path: string, query?: Readonly<Record<string, string | number | undefined>>): Promise<T>;
  post<T>(path: string, body: unknown): Promise<T>;
  /** An answer of any length, piece by piece. */
  stream(path: string, query?: Readonly<Record<string, string | undefined>>): AsyncIterable<Uint8Array>;
  readonly address: string;
};

/** The hub named by --hub and --token or the environment, else the one this folder's config describes. */
export async function operatorOf(options: GlobalOptions, runtime: Runtime): Promise<Operator> {
  const address = options.hub ?? process.env["WAYBILL_HUB"];
  const token = options.token ?? process.env["WAYBILL_TOKEN"];
  if (address !== undefined && token !== undefined) return operatorAt(address, token, runtime);
  const config = await loadHubConfig(configSource(options));
  const local = token ?? (await readOperatorToken(config.ledger));
  if (local === null) {
    throw new WaybillError(
      "UNAUTHENTICATED",
      "there is no operator token beside the ledger of this config; start the hub once, or pass --hub and --token",
    );
  }
  return operatorAt(
    address ?? `http://${config.host === "0.0.0.0" ? "127.0.0.1" : config.host}:${config.port}`,
    local,
    runtime,
  );
}

export function operatorAt(address: string, token: string, runtime: Runtime): Operator {
  const base = address.replace(/\/+$/, "");
  const call = async <T>(method: "GET" | "POST", path: string, body?: unknown): Promise<T> => {
    const response = await runtime.network.request({
      method,
      url: `${base}${path}`,
      headers: {
        authorization: `Bearer ${token}`,
        accept: "application/json",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) }),
      timeoutMs: 30_000,
    });
    return answerOf<T>(Buffer.from(response.body).toString("utf8"), response.status, base);
  };
  return {
    address: base,
    get: (path, query = {}) => call("GET", withQuery(path, query)),
    stream: (path, query = {}) => streamFrom(`${base}${withQuery(path, query)}`, token, base),
    post: (path, body) => call("POST", path, body),
  };
}

/** @throws what the hub's problem document says */
function answerOf<T>(text: string, status: number, base: string): T {
  const answer = text === "" ? {} : parsed(text, base);
  if (status < 400) return answer as T;
  const problem = answer as { code?: string; detail?: string };
  throw new WaybillError(
    problem.code && isFaultCode(problem.code) ? problem.code : "INTERNAL",
    problem.detail ?? `the hub answered ${status}`,
  );
}

async function* streamFrom(url: string, token: string, base: string): AsyncGenerator<Uint8Array> {
  let response: Response;
  try {
    // oxlint-disable-next-line no-restricted-globals -- the Runtime's network gathers an answer whole; this one has no upper size
    response = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
  } catch (cause) {
    throw new WaybillError("HUB_UNREACHABLE", `${base} did not answer`, { cause });
  }
  if (!response.ok || response.body === null) {
    answerOf(await response.text(), response.status, base);
    return;
  }
  try {
    for await (const piece of response.body) yield piece;
  } catch (cause) {
    throw new WaybillError("HUB_UNREACHABLE", `${base} broke off in the middle of its answer`, { cause });
  }
}

const withQuery = (path: string, query: Readonly<Record<string, string | number | undefined>>): string => {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) words.set(name, String(value));
  return words.size > 0 ? `${path}?${words.toString()}` : path;
};

function parsed(text: string, base: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new WaybillError(
      "HUB_UNREACHABLE",
      `${base} answered with something that is not JSON: is it a Waybill hub?`,
      { cause },
    );
  }
}
