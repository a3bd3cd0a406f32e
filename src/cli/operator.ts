import { WaybillError, isFaultCode } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import { loadHubConfig } from "../hub/load-config.ts";
import { readOperatorToken } from "../hub/operator-token.ts";

import { configSource, type GlobalOptions } from "./options.ts";

/** Calls the operator API of a running hub: the same calls the console makes. */
export type Operator = {
  get<T>(path: string, query?: Readonly<Record<string, string | number | undefined>>): Promise<T>;
  post<T>(path: string, body: unknown): Promise<T>;
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
    const text = Buffer.from(response.body).toString("utf8");
    const answer = text === "" ? {} : parsed(text, base);
    if (response.status < 400) return answer as T;
    const problem = answer as { code?: string; detail?: string };
    throw new WaybillError(
      problem.code && isFaultCode(problem.code) ? problem.code : "INTERNAL",
      problem.detail ?? `the hub answered ${response.status}`,
    );
  };
  return {
    address: base,
    get: (path, query = {}) => {
      const words = new URLSearchParams();
      for (const [name, value] of Object.entries(query)) if (value !== undefined) words.set(name, String(value));
      return call("GET", words.size > 0 ? `${path}?${words.toString()}` : path);
    },
    post: (path, body) => call("POST", path, body),
  };
}

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
