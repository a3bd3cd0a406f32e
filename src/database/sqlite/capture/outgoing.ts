import type { Clock } from "../../../base/clock.ts";
import { seq, type Epoch, type Seq } from "../../../base/ids.ts";
import type { Timers } from "../../../base/runtime.ts";
import { CHAIN_START } from "../../../message/chain.ts";
import type { PackedLine } from "../../port.ts";
import type { Connection } from "../connection.ts";
import { renumbered } from "./lines.ts";
import { chainAfter, readLines, readPosition, storeLine, writePosition, type Position } from "./store.ts";

type Marks = { readonly receivedThrough: Seq; readonly loadedThrough: Seq };
/** How much one write transaction moves or drops. */
const STEP_BYTES = 1024 * 1024;

/** The stored messages on their way out: what the other side has of them, and what may be forgotten. */
export class Outgoing {
  readonly #connection: Connection;
  readonly #pace: { readonly clock: Clock; readonly timers: Timers };
  /** Said by the other side and not yet written: it would be a transaction for every answer. Lost in a crash, it is said again. */
  #marks: Marks | null = null;

  constructor(connection: Connection, pace: { readonly clock: Clock; readonly timers: Timers }) {
    this.#connection = connection;
    this.#pace = pace;
  }

  acknowledge(marks: Marks): void {
    this.#marks = {
      receivedThrough: higher(this.#marks?.receivedThrough, marks.receivedThrough),
      loadedThrough: higher(this.#marks?.loadedThrough, marks.loadedThrough),
    };
  }

  /** The position with what the other side has said since it was written. Loaded implies received. */
  withMarks(position: Position): Position {
    const upTo = (mark: Seq): Seq => seq(Math.min(mark, position.packedThrough));
    const loadedThrough = higher(position.loadedThrough, upTo(this.#marks?.loadedThrough ?? seq(0)));
    const receivedThrough = higher(
      higher(position.receivedThrough, loadedThrough),
      upTo(this.#marks?.receivedThrough ?? seq(0)),
    );
    return { ...position, receivedThrough, loadedThrough };
  }

  /** Writes nothing when nothing is new. */
  async flush(keep: number): Promise<void> {
    const stored = readPosition(this.#connection);
    const marked = this.withMarks(stored);
    if (marked.receivedThrough !== stored.receivedThrough || marked.loadedThrough !== stored.loadedThrough) {
      this.#connection.immediate(() => writePosition(this.#connection, this.withMarks(readPosition(this.#connection))));
    }
    await this.#inSteps(() => this.#drop(keep));
    await this.#inSteps(() => this.#dropOtherEpochs());
  }

  rewind(receivedThrough: Seq): void {
    this.#marks = null;
    const lower = (mark: Seq): Seq => seq(Math.min(mark, receivedThrough));
    this.#connection.immediate(() => {
      const position = readPosition(this.#connection);
      writePosition(this.#connection, {
        ...position,
        receivedThrough: lower(position.receivedThrough),
        loadedThrough: lower(position.loadedThrough),
      });
    });
  }

  /**
   * The messages that were not received are written again under the new epoch's numbers, in steps, beside the old ones; the
   * last step makes the new epoch the epoch. A process killed before that has changed nothing: the copies are dropped, later.
   */
  async beginEpoch(epoch: Epoch): Promise<void> {
    const old = this.withMarks(readPosition(this.#connection));
    if (old.epoch === epoch) return;
    await this.#inSteps(() => this.#dropOtherEpochs());
    const offset = old.receivedThrough;
    // The parts of a message that is still being packed move along.
    const all: Position = { ...old, packedThrough: seq(old.packedThrough + (old.open ? 1 : 0)) };
    let after = { seq: offset, part: 0 };
    let chain = CHAIN_START;
    let complete = CHAIN_START;
    await this.#inSteps(() => {
      const lines = this.#connection.snapshot(() => readLines(this.#connection, all, after, STEP_BYTES));
      const moved: PackedLine[] = [];
      for (const line of lines) {
        const copy = renumbered(line, seq(line.seq - offset), chain);
        moved.push(copy);
        chain = copy.chain;
        if (line.seq <= old.packedThrough) complete = chain;
        after = { seq: line.seq, part: line.part };
      }
      if (moved.length > 0)
        this.#connection.immediate(() => moved.forEach((line) => storeLine(this.#connection, epoch, line)));
      return moved.length > 0;
    });
    this.#connection.immediate(() =>
      writePosition(this.#connection, {
        epoch,
        packedThrough: seq(old.packedThrough - offset),
        chain: complete,
        receivedThrough: seq(0),
        loadedThrough: seq(0),
        droppedThrough: seq(0),
        droppedChain: CHAIN_START,
        open: old.open && { ...old.open, chain },
      }),
    );
    this.#marks = null;
    await this.#inSteps(() => this.#dropOtherEpochs());
  }

  /** One step of dropping loaded messages beyond the newest `keep`. @returns whether there may be more */
  #drop(keep: number): boolean {
    const position = readPosition(this.#connection);
    const through = seq(Math.max(0, position.loadedThrough - keep));
    if (position.epoch === null || through <= position.droppedThrough) return false;
    const last = this.#lastWithin(position.epoch, through);
    const chain = chainAfter(this.#connection, position, last);
    this.#connection.immediate(() => {
      this.#connection.statement("delete from waybill_message where epoch = ? and seq <= ?").run(position.epoch, last);
      writePosition(this.#connection, { ...readPosition(this.#connection), droppedThrough: last, droppedChain: chain });
    });
    return last < through;
  }

  /** The last message of a step: about STEP_BYTES from the oldest on, at least one message. */
  #lastWithin(epoch: Epoch, through: Seq): Seq {
    const rows = this.#connection
      .statement(
        "select m.seq, length(m.bytes) as bytes from waybill_message as m where m.epoch = ? and m.seq <= ? order by m.seq, m.part",
      )
      .iterate(epoch, through);
    let bytes = 0;
    let last: number | null = null;
    for (const row of rows) {
      const number = Number(row["seq"]);
      if (last !== null && number !== last && bytes > STEP_BYTES) return seq(last);
      bytes += Number(row["bytes"]);
      last = number;
    }
    return through;
  }

  #dropOtherEpochs(): boolean {
    const { epoch } = readPosition(this.#connection);
    const ids = this.#connection
      .statement("select m.rowid as id from waybill_message as m where m.epoch <> ? order by m.rowid limit 200")
      .all(epoch ?? "");
    if (ids.length === 0) return false;
    this.#connection.immediate(() => {
      for (const { id } of ids)
        this.#connection.statement("delete from waybill_message where rowid = ?").run(Number(id));
    });
    return true;
  }

  /** SQLite's waiting writers look in intervals: between two steps they get as long as a step took. */
  async #inSteps(step: () => boolean): Promise<void> {
    const { clock, timers } = this.#pace;
    for (;;) {
      const began = clock.elapsed();
      if (!step()) return;
      await timers.sleep(Math.ceil(clock.elapsed() - began));
    }
  }
}

const higher = (a: Seq | undefined, b: Seq): Seq => (a !== undefined && a > b ? a : b);
