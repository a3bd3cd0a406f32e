import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";

/**
 * A TCP port of the loopback that nobody listened on a moment ago, for a process that must be told its port beforehand.
 * Where a server can be asked which port it got, give it port 0 instead: between this answer and its use another may come.
 */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
