import { z } from "zod";
import type { FaultCode } from "../base/errors.ts";
import type { UpdateId } from "../base/ids.ts";
import type { Capture } from "../database/port.ts";
import type { Change } from "../message/change.ts";
import type { ReportedRefusal } from "./hub-client.ts";
import { rowName } from "./plan-updates.ts";

/** One row that is not what the centre says, because this database refused it. */
export type Refusal = {
  readonly id: UpdateId;
  readonly change: Change;
  readonly code: FaultCode;
  readonly detail: string;
};

const staleRow = z.object({
  id: z.number(),
  table: z.string(),
  code: z.string(),
  detail: z.string(),
  reported: z.boolean(),
});
export type StaleRow = z.infer<typeof staleRow>;

/** Rows listed by name; beyond this many, one entry stands for all refusals of an update with one code. */
const NAMED_ROWS = 1_000;
const DETAIL_LENGTH = 500;
const FACT = "stale-rows";

/**
 * The rows of updates that this database refused: nothing waits for them (updates carry state), the hub is told, and a later
 * update of the row takes it off the list. Kept in the database, so that the list and the rows share their fate.
 */
export class StaleRows {
  readonly #rows: Map<string, StaleRow>;

  private constructor(rows: Map<string, StaleRow>) {
    this.#rows = rows;
  }

  static async open(capture: Capture): Promise<StaleRows> {
    const text = await capture.recall(FACT);
    return new StaleRows(
      new Map(text === null ? [] : z.array(z.tuple([z.string(), staleRow])).parse(JSON.parse(text))),
    );
  }

  get size(): number {
    return this.#rows.size;
  }
  list(limit: number): readonly StaleRow[] {
    return [...this.#rows.values()].slice(0, limit);
  }

  /** True when this very refusal is on the list, and so on the disk. */
  has(refusal: Refusal): boolean {
    const listed = this.#rows.get(nameOf(refusal)) ?? this.#rows.get(sharedName(refusal));
    return listed !== undefined && listed.id >= refusal.id;
  }

  /** Writes refusals down before the cursor moves past them: a crash between the two finds them listed and tries again. */
  async add(capture: Capture, refusals: readonly Refusal[]): Promise<void> {
    for (const refusal of refusals) {
      const name = nameOf(refusal);
      const named = this.#rows.has(name) || this.#rows.size < NAMED_ROWS;
      const detail = named ? refusal.detail : `${refusal.detail} (and more rows of this update)`;
      const { id, code, change } = refusal;
      this.#rows.set(named ? name : sharedName(refusal), {
        id,
        table: change.table,
        code,
        detail: detail.slice(0, DETAIL_LENGTH),
        reported: false,
      });
    }
    await this.#write(capture);
  }

  /** Takes off the rows that these changes have put right. */
  async settle(capture: Capture, changes: readonly Change[]): Promise<void> {
    if (this.#rows.size === 0) return;
    let settled = 0;
    for (const change of changes) {
      if (this.#rows.delete(rowName(change.table, change.key))) settled += 1;
    }
    if (settled > 0) await this.#write(capture);
  }

  unreported(): readonly (ReportedRefusal & { readonly name: string })[] {
    return [...this.#rows]
      .filter(([, row]) => !row.reported)
      .map(([name, row]) => ({ name, id: String(row.id), code: row.code, detail: row.detail }));
  }

  async reported(capture: Capture, names: readonly string[]): Promise<void> {
    for (const name of names) {
      const row = this.#rows.get(name);
      if (row) this.#rows.set(name, { ...row, reported: true });
    }
    if (names.length > 0) await this.#write(capture);
  }

  async #write(capture: Capture): Promise<void> {
    await capture.remember(FACT, JSON.stringify([...this.#rows]));
  }
}

/** A table that may not be written here is one entry, not one for each of its rows. */
const nameOf = ({ code, change }: Refusal): string =>
  code === "TABLE_UNKNOWN" ? JSON.stringify([change.table]) : rowName(change.table, change.key);
const sharedName = ({ id, code }: Refusal): string => JSON.stringify([id, code]);
