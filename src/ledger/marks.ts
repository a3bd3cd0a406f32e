import { laneName, type Epoch, type Seq, type TerminalId } from "../base/ids.ts";
import type { Mark } from "./port.ts";

type MarkRow = {
  readonly id: number;
  readonly terminal: TerminalId;
  readonly epoch: Epoch;
  readonly loadedThrough: Seq;
  readonly version: number;
  readonly leased: boolean | 0 | 1;
};

/** A page of `Work.marks`: leased lanes count for the page, but are left out, as their version may move at any moment. */
export function pageOfMarks(
  rows: readonly MarkRow[],
  limit: number,
): { readonly marks: readonly Mark[]; readonly next: number | null } {
  const marks = rows
    .filter(({ leased }) => !leased)
    .map(({ terminal, epoch, loadedThrough, version }) => ({
      lane: laneName(terminal, epoch),
      loadedThrough,
      version,
    }));
  return { marks, next: rows.length < limit ? null : (rows.at(-1)?.id ?? null) };
}
