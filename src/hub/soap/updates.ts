import { updateId, type TerminalId, type UpdateId } from "../../base/ids.ts";
import type { FaultCode } from "../../base/errors.ts";
import type { Terminal } from "../../ledger/port.ts";
import { audiencesOf } from "../../wire/manifest.ts";
import { encodeItem } from "../../wire/soap/codec.ts";
import type { ReplyOf, RequestOf } from "../../wire/soap/terminal-sync.ts";
import { invalid } from "../../wire/soap/faults.ts";
import {
  batchIdOf,
  batchOf,
  cursorOf,
  isBehind,
  positionOf,
  readAfter,
  singlesOf,
  type Position,
  type Single,
} from "../../wire/soap/updates.ts";
import { untraced } from "../../observe/tracing.ts";
import { DeliveryTeller } from "../spans.ts";
import type { HubApiParts } from "../api/parts.ts";
import { refusedWords } from "../api/refused-words.ts";
import type { SoapSettings } from "./settings.ts";

const READ_BYTES = 256 * 1024;
/** Pages read to count what waits; more than that is "at least so many". */
const COUNT_PAGES = 20;
const MOST_UPDATES = 10_000;
/** Left of a reply for the envelope, its headers and the members beside the list. */
const ENVELOPE_BYTES = 2_048;
const REMEMBERED = 20_000;

type Parts = Pick<HubApiParts, "ledger" | "log" | "settings" | "tracing" | "runtime">;
type Limits = Pick<SoapSettings, "replyBytes" | "textLength">;
type Page = { readonly singles: readonly Single[]; readonly through: Position; readonly more: boolean };

/** Updates for SOAP terminals: the same log and the same cursor as everybody's, one row an update, in replies old clients can take. */
export class SoapUpdates {
  readonly #parts: Parts;
  readonly #limits: Limits;
  readonly #delivered: DeliveryTeller;
  readonly #applied: DeliveryTeller;
  /** How far inside an entry a terminal has acknowledged. Lost with the process: then the entry's rows come again, which changes nothing. */
  readonly #inside = new Map<TerminalId, Position>();

  constructor(parts: Parts, limits: Limits) {
    this.#parts = parts;
    this.#limits = limits;
    this.#delivered = new DeliveryTeller(parts.tracing ?? untraced, "deliver");
    this.#applied = new DeliveryTeller(parts.tracing ?? untraced, "apply");
  }

  cursor(terminal: Terminal): Position {
    const whole: Position = { id: terminal.appliedThrough, part: 0 };
    const inside = this.#inside.get(terminal.id);
    return inside && isBehind(whole, inside) ? inside : whole;
  }

  /** @throws SoapFault for a cursor that is none; CURSOR_GONE */
  async pull(
    known: Terminal,
    { afterCursor, maxCount, maxBytes }: Omit<RequestOf<"PullUpdates">, "terminalId">,
  ): Promise<ReplyOf<"PullUpdates">> {
    const terminal = (await this.#parts.ledger.terminals.get(known.id)) ?? known;
    const after = afterCursor === null || afterCursor === "" ? this.cursor(terminal) : positionOf(afterCursor);
    if (!after) throw invalid("afterCursor is not a cursor of this hub", "INVALID_CURSOR");
    const most = maxCount !== null && maxCount > 0 ? Math.min(maxCount, MOST_UPDATES) : MOST_UPDATES;
    const bytes = Math.min(
      this.#limits.replyBytes,
      maxBytes !== null && maxBytes > 0 ? maxBytes : this.#limits.replyBytes,
    );
    const taken: Single[] = [];
    let room = bytes - ENVELOPE_BYTES;
    let through = after;
    for (;;) {
      const page = await this.#page(terminal, through);
      for (const single of page.singles) {
        const size = sizeOf(single);
        if (this.#isTooLarge(single)) await this.#park(terminal, single, size);
        else {
          // One that is larger than the client asked for goes alone: it must not stand in the way for ever.
          if (taken.length === most || (taken.length > 0 && size > room))
            return this.#give(terminal, taken, after, through, true);
          taken.push(single);
          room -= size;
        }
        through = single.position;
      }
      through = page.through;
      if (!page.more) return this.#give(terminal, taken, after, through, false);
    }
  }

  #give(
    terminal: Terminal,
    taken: readonly Single[],
    after: Position,
    through: Position,
    hasMore: boolean,
  ): ReplyOf<"PullUpdates"> {
    this.#tell(this.#delivered, terminal, taken);
    return batch(taken, after, through, hasMore);
  }

  #tell(teller: DeliveryTeller, { id }: Terminal, taken: readonly Single[]): void {
    const now = this.#parts.runtime.clock.now();
    const entries = new Map(taken.map(({ entry, update }) => [entry, update.traceParent ?? null]));
    const arriving = [...entries].map(([entry, trace]) => ({ id: entry, trace, at: now }));
    teller.tell(id, arriving, { from: now, to: now });
  }

  /** Applied, failed and skipped all move the cursor; a failed row is shown at the hub until a newer update of its key comes. */
  async acknowledge(
    known: Terminal,
    { batchId, results }: Omit<RequestOf<"AcknowledgeUpdates">, "terminalId">,
  ): Promise<ReplyOf<"AcknowledgeUpdates">> {
    if (results === null) throw invalid("results is required");
    const range = batchId === null ? null : batchOf(batchId);
    if (!range) throw invalid("batchId is not one of a reply to PullUpdates", "INVALID_BATCH");
    const terminal = (await this.#parts.ledger.terminals.get(known.id)) ?? known;
    const waiting = new Map(results.map((result) => [result.updateId, result]));
    let cursor = this.cursor(terminal);
    // A batch from before the cursor is acknowledged again in peace: its answer was lost.
    let place = isBehind(range.after, cursor) ? range.after : cursor;
    let unbroken = !isBehind(cursor, range.after);
    const refused: { id: UpdateId; code: FaultCode; detail: string }[] = [];
    const applied: Single[] = [];
    let found = 0;
    if (!unbroken) place = range.after;
    for (let more = true; more && isBehind(place, range.through);) {
      const page = await this.#page(terminal, place);
      for (const single of page.singles) {
        if (isBehind(range.through, single.position)) break;
        const result = waiting.get(single.updateId);
        if (result) {
          found++;
          if (result.status === "Applied") applied.push(single);
          if (result.status === "Failed")
            refused.push({
              id: single.entry,
              code: "ROW_REFUSED",
              detail: refusedWords(
                `${single.update.entity ?? ""} ${single.update.key ?? ""}: ${result.error ?? "the terminal gave no reason"}`,
                this.#parts.settings.personal,
              ),
            });
        }
        unbroken &&= result !== undefined || this.#isTooLarge(single);
        if (unbroken && isBehind(cursor, single.position)) cursor = single.position;
      }
      place = page.through;
      more = page.more;
    }
    if (unbroken && isBehind(cursor, range.through)) cursor = range.through;
    await this.#move(terminal, cursor, refused);
    this.#tell(this.#applied, terminal, applied);
    return { acknowledged: found, unknown: waiting.size - found, cursor: cursorOf(cursor) };
  }

  async pending(terminal: Terminal): Promise<number> {
    let count = 0;
    let place = this.cursor(terminal);
    for (let pages = 0; pages < COUNT_PAGES; pages++) {
      const page = await this.#page(terminal, place);
      count += page.singles.length;
      place = page.through;
      if (!page.more) break;
    }
    return count;
  }

  async #page(terminal: Terminal, after: Position): Promise<Page> {
    const audiences = audiencesOf(terminal.id, terminal.tags);
    const { updates, through, more } = await this.#parts.ledger.updates.read(
      audiences,
      terminal.id,
      readAfter(after),
      READ_BYTES,
    );
    const singles = updates.flatMap((entry) => singlesOf(entry, after));
    const end: Position = { id: updateId(Math.max(through, readAfter(after))), part: 0 };
    return { singles, through: isBehind(end, after) ? after : end, more };
  }

  #isTooLarge(single: Single): boolean {
    const { update } = single;
    return (
      sizeOf(single) > this.#limits.replyBytes - ENVELOPE_BYTES ||
      (update.payload?.length ?? 0) > this.#limits.textLength ||
      (update.key?.length ?? 0) > this.#limits.textLength
    );
  }

  /** A row that no client could read has its end here: told as refused, like one that the terminal itself refuses. */
  async #park(terminal: Terminal, single: Single, bytes: number): Promise<void> {
    const detail = `${single.update.entity ?? ""} ${(single.update.key ?? "").slice(0, 100)}: ${bytes} bytes are more than a SOAP client takes (soap.replyKib, soap.textLength)`;
    this.#parts.log.warn({ terminal: terminal.id, update: single.updateId, bytes }, "soap.update-parked");
    await this.#parts.ledger.updates.acknowledge(terminal.id, terminal.appliedThrough, [
      { id: single.entry, code: "VALUE_TOO_LARGE", detail },
    ]);
  }

  async #move(
    terminal: Terminal,
    cursor: Position,
    refused: readonly { readonly id: UpdateId; readonly code: FaultCode; readonly detail: string }[],
  ): Promise<void> {
    const whole = updateId(Math.max(terminal.appliedThrough, readAfter(cursor)));
    this.#inside.delete(terminal.id);
    if (cursor.part > 0) {
      const oldest = this.#inside.keys().next();
      if (this.#inside.size >= REMEMBERED && !oldest.done) this.#inside.delete(oldest.value);
      this.#inside.set(terminal.id, cursor);
    }
    if (whole > terminal.appliedThrough || refused.length > 0)
      await this.#parts.ledger.updates.acknowledge(terminal.id, whole, refused);
  }
}

const sizeOf = ({ update }: Single): number => Buffer.byteLength(encodeItem("Update", update));

const batch = (
  taken: readonly Single[],
  after: Position,
  through: Position,
  hasMore: boolean,
): ReplyOf<"PullUpdates"> => ({
  batchId: batchIdOf({ after, through }),
  updates: taken.map(({ update }) => update),
  nextCursor: cursorOf(through),
  hasMore,
});
