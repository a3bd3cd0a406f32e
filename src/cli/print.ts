import { constants } from "node:os";
import pc from "picocolors";
import { asWaybillError, type FaultCode, type WaybillError } from "../base/errors.ts";

/** Where a command writes; tests read it. */
export type Output = {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Without a newline, for what is redrawn. */
  readonly raw: (text: string) => void;
};
export const standardOutput: Output = {
  out: (text) => process.stdout.write(`${text}\n`),
  err: (text) => process.stderr.write(`${text}\n`),
  raw: (text) => process.stdout.write(text),
};

/**
 * When nobody reads any more (`waybill trace t1 | head`): what runs is asked to end in order, everything else ends as a program does that
 * was told by SIGPIPE, which Node keeps from us.
 */
export function endWithReader(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    if (process.listenerCount("SIGTERM") > 0) process.kill(process.pid, "SIGTERM");
    else process.exit(128 + constants.signals.SIGPIPE);
  });
}

/** 0 done · 1 a fault · 2 wrong words or config · 3 not found · 4 the hub or a database cannot be reached · 130 interrupted. */
export function exitCodeOf(error: WaybillError): number {
  const codes: Partial<Record<FaultCode, number>> = {
    USAGE: 2,
    CONFIG_INVALID: 2,
    CONFIG_NOT_FOUND: 2,
    NODE_TOO_OLD: 2,
    NOT_FOUND: 3,
    HUB_UNREACHABLE: 4,
    DATABASE_UNAVAILABLE: 4,
    CENTRAL_UNAVAILABLE: 4,
    UNAVAILABLE: 4,
    OVERLOADED: 4,
  };
  return codes[error.code] ?? 1;
}

/** Shows an error to a person: what, and what to do next. A stack only for a fault of our own, and only when asked. */
export function printError(output: Output, thrown: unknown, json: boolean): number {
  const error = asWaybillError(thrown);
  if (json) {
    output.err(JSON.stringify({ code: error.code, what: error.what, hint: error.hint, ...error.facts }));
  } else {
    output.err(`${pc.red(error.code)}: ${error.what}`);
    output.err(pc.dim(`→ ${error.hint}`));
    if (process.env["WAYBILL_DEBUG"])
      output.err(pc.dim(String((error.cause as Error | undefined)?.stack ?? error.stack)));
    else if (error.code === "INTERNAL") output.err(pc.dim("  WAYBILL_DEBUG=1 shows where it happened."));
  }
  return exitCodeOf(error);
}

export type Cell = string | number | null;
const width = (text: string): number => [...text.replace(/\u001b\[[0-9;]*m/g, "")].length;

/** Columns aligned by content: numbers to the right. No frames: it must paste well into a message to a colleague. */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const texts = rows.map((row) => row.map((cell) => (cell === null ? "–" : String(cell))));
  const widths = head.map((title, i) => Math.max(width(title), ...texts.map((row) => width(row[i] ?? ""))));
  const right = head.map(
    (_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === "number" || row[i] === null),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((text, i) => {
        const gap = " ".repeat(Math.max(0, (widths[i] ?? 0) - width(text)));
        return right[i] ? gap + text : text + gap;
      })
      .join("  ")
      .trimEnd();
  return [pc.dim(line(head)), ...texts.map(line)].join("\n");
}

/** "3 s", "4 min", "2 h 10 min", "5 d": how long something has waited, for people. */
export function duration(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172_800) return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
  return `${Math.round(s / 86_400)} d`;
}
export const count = (n: number): string => n.toLocaleString("en-US").replaceAll(",", " ");
