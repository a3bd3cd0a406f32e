import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { spawnChild } from "../test/kit/child.ts";
import { poster } from "./hub.ts";
import type { Post } from "./lanes.ts";

/** A process that reads every request and answers 200. */
export async function startSink(): Promise<AsyncDisposable & { readonly post: Post }> {
  const child = spawnChild(process.execPath, [fileURLToPath(import.meta.url), "serve"]);
  const [, port] = await child.waitForLine(/^listening (\d+)$/);
  return { post: poster(`http://127.0.0.1:${port}`), [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() };
}

if (process.argv[2] === "serve" && process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = createServer((request, answer) => {
    request.resume().on("end", () => answer.end("{}"));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  process.stdout.write(`listening ${(server.address() as AddressInfo).port}\n`);
}
