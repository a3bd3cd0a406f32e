import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemRuntime } from "../src/base/runtime.ts";
import type { Child } from "../test/kit/child.ts";
import { spawnBuilt } from "./program.ts";
import { freePort } from "../test/kit/free-port.ts";
import type { Post } from "./lanes.ts";
import { TABLES } from "./shape.ts";

const TOKEN = "the-operator-of-the-bench";

export type BenchHub = AsyncDisposable & {
  readonly address: string;
  readonly process: Child;
  /** A token that enrols the terminal. */
  token(terminal: string): Promise<string>;
  /** The terminal's key, for a measurement that plays the terminal itself. */
  key(terminal: string): Promise<string>;
  readonly post: Post;
};

/** Sends requests to one server over kept connections. */
export const poster =
  (address: string): Post =>
  async (path, key, body, headers) => {
    const answer = await systemRuntime.network.request({
      method: "POST",
      url: `${address}${path}`,
      headers: { authorization: `Bearer ${key}`, ...headers },
      body,
      timeoutMs: 60_000,
    });
    return { status: answer.status, body: Buffer.from(answer.body) };
  };

/** A hub process of its own, as `waybill hub` starts it. */
export async function startBenchHub(
  folder: string,
  stations: { readonly ledger: string; readonly central: string },
  config: Readonly<Record<string, unknown>> = {},
  words: readonly string[] = [],
): Promise<BenchHub> {
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const file = join(folder, "waybill.config.json");
  const tokens = [{ name: "bench", role: "operator", token: TOKEN }];
  writeFileSync(file, JSON.stringify({ tables: TABLES, port, tokens, ...stations, ...config }));
  const process = spawnBuilt(["hub", "--log", "error", "--config", file, ...words]);
  await process.waitForLine(/The hub answers at/, { timeoutMs: 30_000 });
  const address = `http://127.0.0.1:${port}`;

  const post = poster(address);
  const json = async <T>(path: string, key: string, call: unknown): Promise<T> => {
    const { status, body } = await post(path, key, Buffer.from(JSON.stringify(call)), {
      "content-type": "application/json",
    });
    if (status >= 300) throw new Error(`${path}: ${status} ${body.toString()}`);
    return JSON.parse(body.toString()) as T;
  };
  const token = async (terminal: string): Promise<string> =>
    (await json<{ token: string }>("/api/enroll-tokens", TOKEN, { terminal })).token;
  return {
    address,
    process,
    post,
    token,
    key: async (terminal) => {
      const made = await token(terminal);
      return (await json<{ key: string }>("/v1/enroll", made, { token: made, terminal })).key;
    },
    [Symbol.asyncDispose]: async () => void (await process.kill("SIGTERM")),
  };
}
