import { createHash } from "node:crypto";
import type { WireResponse } from "../hub/api/http.ts";

/** What a person is told who cannot go on: what it is, and what to do about it. Plain text. */
export type Notice = { readonly status: number; readonly title: string; readonly what: string; readonly todo: string };

const STYLE =
  ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{display:grid;place-items:center;min-height:90vh;margin:1rem}main{max-width:34rem}h1{font-size:1.4rem}";
const HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "cache-control": "no-store",
  "content-security-policy": `default-src 'none'; style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** A page that needs no script and no build, with the way back to the console's door. */
export function noticePage({ status, title, what, todo }: Notice): WireResponse {
  const page = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(title)} · Waybill</title><style>${STYLE}</style>
<main><h1>${escaped(title)}</h1><p>${escaped(what)}</p><p>${escaped(todo)}</p><p><a href="/">Back to signing in</a></p></main></html>
`;
  return { status, headers: HEADERS, body: Buffer.from(page) };
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escaped = (text: string): string => text.replace(/[&<>"]/g, (each) => ENTITIES[each] ?? "");
