import { readFileSync } from "node:fs";

type Manifest = { readonly version: string };

/** From package.json, which stands beside `src` and `dist` alike. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as Manifest
).version;
