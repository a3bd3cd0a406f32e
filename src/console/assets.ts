import { createHash } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import type { WireResponse } from "../hub/api/http.ts";
import { route, type Route } from "../hub/api/route.ts";
import { WaybillError } from "../base/errors.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};
/** Nothing from elsewhere and nothing inline: what a message's payload says can never become a script. */
const PAGE_HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
};
/** Names hold a hash of the content, so what was fetched once never changes. */
const FOR_EVER = "public, max-age=31536000, immutable";

const NOT_BUILT = `<!doctype html><html lang="en"><title>Waybill</title>
<p>The console has not been built: run <code>npm run build:console</code> and start the hub again.</p></html>`;

type Asset = { readonly body: Buffer; readonly type: string; readonly etag: string };

/**
 * The built console from `folder`, read once into memory: a path of a request never becomes a path of a file. Without a
 * build the page says how to make one, and everything else of the hub works.
 */
export function assetRoutes(folder: string): readonly Route[] {
  const assets = readAssets(folder);
  const page = assets.get("index.html") ?? assetOf(Buffer.from(NOT_BUILT), ".html");
  const pageAt = (path: string, summary: string): Route =>
    route("anyone", { method: "GET", path, summary, answer: { status: 200 }, faults: [] }, async ({ request }) =>
      answer(page, request.headers["if-none-match"], "no-cache", PAGE_HEADERS),
    );
  return [
    pageAt("/", "The console"),
    pageAt("/signin", "The console, entered by a link that signs in once"),
    pageAt("/setup", "The console, where the first operator is made"),
    route(
      "anyone",
      {
        method: "GET",
        path: "/assets/{file}",
        summary: "Scripts and styles of the console",
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      async ({ request, params }) => {
        const asset = assets.get(`assets/${params["file"]}`);
        if (!asset) throw new WaybillError("NOT_FOUND", "there is no such file of the console");
        return answer(asset, request.headers["if-none-match"], FOR_EVER);
      },
    ),
  ];
}

function readAssets(folder: string): ReadonlyMap<string, Asset> {
  const names = globSync("{index.html,assets/*}", { cwd: folder });
  return new Map(
    names.map((name) => [name.replaceAll("\\", "/"), assetOf(readFileSync(join(folder, name)), extname(name))]),
  );
}

const assetOf = (body: Buffer, extension: string): Asset => ({
  body,
  type: TYPES[extension] ?? "application/octet-stream",
  etag: `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`,
});

function answer(
  { body, type, etag }: Asset,
  known: string | undefined,
  caching: string,
  more: Readonly<Record<string, string>> = {},
): WireResponse {
  const headers = {
    "content-type": type,
    "cache-control": caching,
    etag,
    "x-content-type-options": "nosniff",
    ...more,
  };
  return known === etag ? { status: 304, headers, body: Buffer.alloc(0) } : { status: 200, headers, body };
}
