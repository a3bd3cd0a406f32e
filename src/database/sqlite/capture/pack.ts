import type { Clock } from "../../../base/clock.ts";
import { WaybillError } from "../../../base/errors.ts";
import { seq, type Epoch, type Seq } from "../../../base/ids.ts";
import type { Random, Timers } from "../../../base/runtime.ts";
import { newTraceparent } from "../../../observe/trace-context.ts";
import type { PackedLine, PackLimits } from "../../port.ts";
import type { Connection } from "../connection.ts";
import { allRows, oneRow } from "../rows.ts";
import { Encoder, type OutboxRow } from "./encode.ts";
import { LineWriter, refusedLine } from "./lines.ts";
import { readPosition, storeLine, writePosition, type Position } from "./store.ts";
import { straighten } from "./straighten.ts";
import { widthOf } from "./tables.ts";
import { forgetUnseen, noteTakenOut, unseenBetween } from "./unseen.ts";

/**
 * Turns outbox rows into messages. SQLite gives no transaction ids, but its writers take turns: what one read snapshot shows
 * of the outbox ends at a transaction's end. So all that a snapshot shows may become one message; a message never
 * ends elsewhere, but for the two places of a backlog where a transaction's end is as good as certain (`quietGapMs`, waybill_cut),
 * and within a page of rows as they are, which are nobody's transaction: such a message is never in parts.
 *
 * A step reads and writes JSON under a read snapshot, which hinders no writer, and then stores what it made and deletes the
 * rows it was made of in one short write transaction. A message of many steps is stored part by part; `open` in the position
 * says where it must end, so a process killed between two steps goes on with the next one.
 */
export class Packer {
  readonly #connection: Connection;
  readonly #runtime: { readonly clock: Clock; readonly random: Random; readonly timers: Timers };
  /** Bytes that a step takes from the outbox, fitted to how long the last one took. */
  #stepBytes = 512 * 1024;
  /** Outbox rows through this id hold no value above `valueBytes`; 0 when that is not known. */
  #checked: { through: number; valueBytes: number } = { through: 0, valueBytes: 0 };

  constructor(
    connection: Connection,
    runtime: { readonly clock: Clock; readonly random: Random; readonly timers: Timers },
  ) {
    this.#connection = connection;
    this.#runtime = runtime;
  }

  /**
   * Packs for about `lockMs` times eight; "more": it could have gone on.
   * @throws ALREADY_RUNNING when another process packs the same outbox
   */
  async run(limits: PackLimits, quietGapMs: number, settle: (position: Position) => Position): Promise<PackedStep> {
    const { clock, timers } = this.#runtime;
    const began = clock.elapsed();
    let messages = 0;
    let changes = 0;
    for (;;) {
      const started = clock.elapsed();
      const step = this.#connection.snapshot(() => this.#prepare(limits, quietGapMs));
      if (!step) return { messages, changes, more: false };
      const heldMs = this.#store(step, settle);
      // Reading counts too: without a write-ahead log, a reader keeps the application from committing.
      this.#fit(clock.elapsed() - started, step, limits.lockMs);
      messages += step.to.packedThrough - step.from.packedThrough;
      changes += step.lines.reduce((sum, line) => sum + line.changes, 0);
      if (step.last) return { messages, changes, more: false };
      if (clock.elapsed() - began > limits.lockMs * 8) return { messages, changes, more: true };
      // SQLite's waiting writers look in intervals: without a pause as long as the hold, they could miss every gap.
      await timers.sleep(Math.ceil(heldMs));
    }
  }

  #prepare(limits: PackLimits, quietGapMs: number): Step | null {
    const position = readPosition(this.#connection);
    if (position.epoch === null) return null;
    const top = position.open?.through ?? this.#top();
    if (top === null) return null;
    const encoder = new Encoder(this.#connection, widthOf(this.#connection));
    // Looked for before the message begins: it must know that its other changes wait behind the refused one.
    const refused = position.open ? [] : this.#oversized(encoder, top, limits.valueBytes);
    if (refused.length > 0) return this.#refuse(position, position.epoch, encoder, refused, limits);
    return this.#message(position, position.epoch, encoder, top, limits, quietGapMs);
  }

  #message(
    position: Position,
    epoch: Epoch,
    encoder: Encoder,
    top: number,
    limits: PackLimits,
    quietGapMs: number,
  ): Step {
    const number = seq(position.packedThrough + 1);
    const open = position.open ?? {
      part: 0,
      through: top,
      chain: position.chain,
      trace: newTraceparent(this.#runtime.random),
    };
    const taken = this.#take(encoder, top, quietGapMs, position.open !== null);
    const writer = new LineWriter({ ...open, seq: number }, limits.partBytes);
    let { rows, ended } = taken;
    if (position.open === null && rows.every(isAsItIs)) {
      // In parts a page could neither go ahead of what waits for its rows nor be loaded together with it.
      const full = rows.findIndex((row) => !writer.addIfFits(encoder.change(row), row.at));
      if (full > 0) rows = rows.slice(0, full);
      ended = true;
    } else {
      const unseen = unseenBetween(this.#connection, rows[0]?.id ?? 0, rows.at(-1)?.id ?? 0);
      for (const row of straighten(rows, encoder, unseen)) writer.add(encoder.change(row), row.at);
    }
    const through = rows.at(-1)?.id;
    if (through === undefined)
      throw new WaybillError("INTERNAL", `waybill_outbox has lost the rows of message ${number}`);
    if (ended) writer.end();
    else writer.pause();
    const to: Position = ended
      ? { ...position, packedThrough: number, chain: writer.chain, open: null }
      : { ...position, open: { ...open, part: writer.part, chain: writer.chain } };
    // Not `top`: for a message begun by an earlier step that is where it must end, and more has been committed since.
    const last = through === this.#top();
    return { from: position, to, epoch, lines: writer.lines, consumed: { through }, last };
  }

  /** Changes that cannot be carried become messages of their own, before the message of the changes around them, which so wait behind them. */
  #refuse(position: Position, epoch: Epoch, encoder: Encoder, ids: readonly number[], limits: PackLimits): Step {
    const lines: PackedLine[] = [];
    let { packedThrough, chain }: { packedThrough: Seq; chain: Uint8Array } = position;
    for (const id of ids) {
      const values = oneRow(
        this.#connection.exact(`select ${encoder.columns} from waybill_outbox as o where o.id = ?`),
        [BigInt(id)],
      );
      if (!values) continue;
      const line = refusedLine(
        packedThrough + 1,
        encoder.row(values),
        encoder,
        chain,
        newTraceparent(this.#runtime.random),
        limits.valueBytes,
      );
      lines.push(line);
      ({ seq: packedThrough, chain } = line);
    }
    return { from: position, to: { ...position, packedThrough, chain }, epoch, lines, consumed: { ids }, last: false };
  }

  /** The rows of this step, and whether the message ends with them. */
  #take(
    encoder: Encoder,
    top: number,
    quietGapMs: number,
    begun: boolean,
  ): { readonly rows: ReturnType<Encoder["row"]>[]; readonly ended: boolean } {
    const rows: ReturnType<Encoder["row"]>[] = [];
    const cut = this.#cut(top);
    const statement = this.#connection.exact(
      `select ${encoder.columns} from waybill_outbox as o where o.id <= ? order by o.id`,
    );
    let bytes = 0;
    for (const values of statement.iterate(BigInt(cut)) as unknown as Iterable<Parameters<Encoder["row"]>[0]>) {
      const row = encoder.row(values);
      const last = rows.at(-1);
      if (last !== undefined) {
        const quiet = (row.at - last.at) * DAY_MS >= quietGapMs;
        if (quiet && (begun || rows.length >= BACKLOG_ROWS)) return { rows, ended: true };
        if (bytes > this.#stepBytes) return { rows, ended: false };
      }
      rows.push(row);
      bytes += weight(values);
    }
    return { rows, ended: true };
  }

  /** @returns how long the write lock was held, in milliseconds */
  #store(step: Step, settle: (position: Position) => Position): number {
    const { clock } = this.#runtime;
    let began = 0;
    this.#connection.immediate(() => {
      began = clock.elapsed();
      const now = readPosition(this.#connection);
      if (
        now.packedThrough !== step.from.packedThrough ||
        now.open?.part !== step.from.open?.part ||
        now.epoch !== step.epoch
      ) {
        throw new WaybillError("ALREADY_RUNNING", `another process packs the outbox of ${this.#connection.path}`);
      }
      for (const line of step.lines) storeLine(this.#connection, step.epoch, line);
      this.#discard(step);
      writePosition(this.#connection, settle(step.to));
    });
    // An outbox that was emptied, or has lost its last row, gives the same ids to other rows.
    if (step.last || "ids" in step.consumed) this.#checked = { through: 0, valueBytes: 0 };
    return clock.elapsed() - began;
  }

  /** Halves the next steps when one took more than half of `lockMs`; doubles them when a full one took less than an eighth. */
  #fit(tookMs: number, step: Step, lockMs: number): void {
    if (tookMs > lockMs / 2) this.#stepBytes = Math.max(MIN_STEP_BYTES, Math.floor(this.#stepBytes / 2));
    else if (tookMs < lockMs / 8 && step.to.open !== null)
      this.#stepBytes = Math.min(MAX_STEP_BYTES, this.#stepBytes * 2);
  }

  #discard(step: Step): void {
    const { consumed } = step;
    if ("ids" in consumed) {
      for (const id of consumed.ids) this.#connection.statement("delete from waybill_outbox where id = ?").run(id);
      // An outbox that has lost its last row gives that id again, to the first row of somebody's transaction: no message may end there.
      const top = this.#top();
      this.#connection.statement("update waybill_cut set through = ? where through > ?").run(top, top ?? 0);
      noteTakenOut(this.#connection, consumed.ids, top);
    } else {
      this.#connection.statement("delete from waybill_outbox where id <= ?").run(consumed.through);
      this.#connection.statement("delete from waybill_cut where through is null or through <= ?").run(consumed.through);
      forgetUnseen(this.#connection, consumed.through);
    }
    // We hold the write lock, so no statement of anybody is under way: notes still there are of statements that came to nothing.
    this.#connection.statement("delete from waybill_note").run();
  }

  #top(): number | null {
    const id = this.#connection.statement("select max(o.id) as top from waybill_outbox as o").get()?.["top"];
    return typeof id === "number" ? id : null;
  }
  /** Where the message ends at the latest: at a cut that lies behind its first row, else at `top`. */
  #cut(top: number): number {
    const row = this.#connection
      .statement(
        `select min(c.through) as cut from waybill_cut as c
         where c.through >= (select min(o.id) from waybill_outbox as o) and c.through < ?`,
      )
      .get(top);
    return typeof row?.["cut"] === "number" ? row["cut"] : top;
  }
  #oversized(encoder: Encoder, top: number, valueBytes: number): readonly number[] {
    const from = this.#checked.valueBytes === valueBytes ? this.#checked.through : 0;
    if (top <= from) return [];
    const sql = `select o.id from waybill_outbox as o where o.id > ?1 and (${anyAbove(encoder.valueColumns)}) order by o.id limit 100`;
    const ids = allRows(this.#connection.exact(sql), [BigInt(from), BigInt(valueBytes)]).map(([id]) => Number(id));
    if (ids.length === 0) this.#checked = { through: top, valueBytes };
    return ids;
  }
}

/** A row as it is, put there by a resync, not by the application: it stands for itself, and a message may end behind it. */
const isAsItIs = ({ op }: OutboxRow): boolean => op === "upsert";

export type PackedStep = { readonly messages: number; readonly changes: number; readonly more: boolean };
type Step = {
  readonly from: Position;
  readonly to: Position;
  readonly epoch: Epoch;
  readonly lines: readonly PackedLine[];
  /** The outbox rows the lines were made of. */
  readonly consumed: { readonly through: number } | { readonly ids: readonly number[] };
  /** Nothing was left in the outbox as the step saw it. */
  readonly last: boolean;
};

const DAY_MS = 86_400_000;
/** A message ends at a quiet gap only when it has this many rows: below, what one look finds stays together, whatever the clock did. */
const BACKLOG_ROWS = 500;
const MIN_STEP_BYTES = 16 * 1024;
const MAX_STEP_BYTES = 8 * 1024 * 1024;

/** SQL: some value has more bytes than ?2. In groups, because SQLite limits how deep an expression may be. */
function anyAbove(columns: readonly string[]): string {
  const groups = Array.from({ length: Math.ceil(columns.length / 50) }, (_, i) => columns.slice(i * 50, i * 50 + 50));
  return groups.map((group) => `(${group.map((name) => `octet_length(${name}) > ?2`).join(" or ")})`).join(" or ");
}

/** About the bytes that a row will have on the wire. */
function weight(values: readonly unknown[]): number {
  let bytes = 100;
  for (const value of values) {
    if (typeof value === "string") bytes += value.length + 12;
    else if (value instanceof Uint8Array) bytes += value.byteLength * 1.4 + 12;
    else if (value !== null) bytes += 20;
  }
  return bytes;
}
