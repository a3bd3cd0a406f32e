import { asWaybillError, WaybillError } from "./errors.ts";
import { http } from "./node-http.ts";

export type TextPage = { readonly address: string; readonly close: () => Promise<void> };

/** One page of plain text at one path and nothing else, for a station that has no door otherwise. @throws CONFIG_INVALID when the port is taken */
export function serveText(
  at: { readonly host: string; readonly port: number; readonly path: string },
  text: () => Promise<string>,
): Promise<TextPage> {
  const server = http.createServer((request, response) => {
    if (request.url !== at.path || request.method !== "GET") {
      response.writeHead(404, { "content-type": "text/plain" }).end(`there is only ${at.path}\n`);
      return;
    }
    text().then(
      (page) => response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(page),
      (thrown: unknown) =>
        response.writeHead(503, { "content-type": "text/plain" }).end(`${asWaybillError(thrown).what}\n`),
    );
  });
  return new Promise((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new WaybillError("CONFIG_INVALID", `cannot listen on ${at.host}:${at.port} (${cause.message})`, {
          cause,
        }),
      ),
    );
    server.listen(at.port, at.host, () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : at.port;
      resolve({
        address: `http://${at.host}:${port}${at.path}`,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            server.closeAllConnections();
          }),
      });
    });
  });
}
