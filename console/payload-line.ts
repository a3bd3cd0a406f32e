import type { Change } from "../src/message/change.ts";

type Line = { readonly at?: string; readonly changes?: readonly Change[] };

/** The changes of a message's lines; of lines that cannot be read, none. For showing only: numbers go through JavaScript. */
export const changesOf = (lines: readonly string[]): readonly Change[] =>
  lines.flatMap((line) => lineOf(line)?.changes ?? []);
export const capturedAt = (lines: readonly string[]): string | null => lineOf(lines[0] ?? "")?.at ?? null;

function lineOf(text: string): Line | null {
  try {
    return JSON.parse(text) as Line;
  } catch {
    return null;
  }
}
