import { isoOf } from "../../base/clock.ts";
import type { Event, EventFilter, Trail } from "../../ledger/trail.ts";
import { NDJSON_TYPE } from "../../wire/headers.ts";
import type { WireResponse } from "./http.ts";

const COLUMNS = ["id", "at", "lane", "from", "through", "kind", "actor", "detail", "trace", "requestTrace"] as const;

/** The trail as a file, read a page at a time while it is sent: it may be as long as it likes. */
export function auditFile(
  trail: Pick<Trail, "page">,
  filter: EventFilter,
  format: "ndjson" | "csv",
  signal: AbortSignal,
): WireResponse {
  const name = `waybill-audit.${format}`;
  return {
    status: 200,
    headers: {
      "content-type": format === "csv" ? "text/csv; charset=utf-8; header=present" : NDJSON_TYPE,
      "content-disposition": `attachment; filename="${name}"`,
    },
    body: new Uint8Array(0),
    stream: pages(trail, filter, format, signal),
  };
}

async function* pages(
  trail: Pick<Trail, "page">,
  filter: EventFilter,
  format: "ndjson" | "csv",
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const line = format === "csv" ? csvLine : ndjsonLine;
  if (format === "csv") yield Buffer.from(`${COLUMNS.join(",")}\r\n`);
  for (let after: number | null = 0; after !== null && !signal.aborted;) {
    const page: Awaited<ReturnType<Trail["page"]>> = await trail.page(filter, after);
    if (page.events.length > 0) yield Buffer.from(page.events.map(line).join(""));
    after = page.next;
  }
}

const told = (event: Event): Record<(typeof COLUMNS)[number], string | number | null> => ({
  ...event,
  at: isoOf(event.at),
});
const ndjsonLine = (event: Event): string => `${JSON.stringify(told(event))}\n`;

/** RFC 4180. A text that a spreadsheet would take for a formula is given an apostrophe: the trail repeats what terminals said. */
function csvLine(event: Event): string {
  const row = told(event);
  const cells = COLUMNS.map((column) => {
    const value = row[column];
    if (typeof value !== "string") return value === null ? "" : String(value);
    const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  });
  return `${cells.join(",")}\r\n`;
}
