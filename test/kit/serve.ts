import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { HttpRequest, Network } from "../../src/base/network.ts";

/** Puts something that answers requests in this process behind a real port of this machine, for real processes to call. */
export async function serve(network: Network): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer((incoming, outgoing) => {
    const gone = new AbortController();
    outgoing.on("close", () => gone.abort());
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const headers = Object.fromEntries(
        Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
      );
      const body = Buffer.concat(chunks);
      const request: HttpRequest = {
        method: incoming.method === "POST" ? "POST" : "GET",
        url: `http://hub.test${incoming.url ?? "/"}`,
        headers,
        ...(body.byteLength > 0 ? { body } : {}),
        timeoutMs: 60_000,
        signal: gone.signal,
      };
      network.request(request).then(
        (answer) => outgoing.writeHead(answer.status, answer.headers).end(answer.body),
        () => outgoing.destroy(), // the network's way of saying that no answer came
      );
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
