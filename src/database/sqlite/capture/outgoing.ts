import type { Clock } from "../../../base/clock.ts";
import { WaybillError } from "../../../base/errors.ts";
import { seq, type Epoch, type Seq } from "../../../base/ids.ts";
import type { Timers } from "../../../base/runtime.ts";
import { CHAIN_START } from "../../../message/chain.ts";
import type { Acknowledged, Kept, PackedLine } from "../../port.ts";
import type { Connection } from "../connection.ts";
import { isBefore } from "../../kept.ts";
import { Marks, rewound } from "../../marks.ts";
import { renumbered } from "./lines.ts";
import { chainAfter, readLines, readPosition, storeLine, writePosition, type Position } from "./store.ts";

/** How much one write transaction moves or drops. */
const STEP_BYTES = 1024 * 1024;

/** The stored messages on their way out: what the other side has of them, and what may be forgotten. */
export class Outgoing {
  readonly #connection: Connection;
  readonly #pace: { readonly clock: Clock; readonly timers: Timers };
  readonly #marks = new Marks();

  constructor(connection: Connection, pace: { readonly clock: Clock; readonly timers: Timers }) {
    this.#connection = connection;
    this.#pace = pace;
  }

  acknowledge(marks: Acknowledged): void {
    this.#marks.say(marks);
  }

  /** The position with what the other side has said since it was written. */
  readonly withMarks = (position: Position): Position => this.#marks.on(position);

  /** Writes nothing when nothing is new. */
  async flush(kept: Kept): Promise<void> {
    const { said } = this.#marks;
    if (this.#marks.areNewsFor(readPosition(this.#connection))) {
      this.#connection.immediate(() => writePosition(this.#connection, this.withMarks(readPosition(this.#connection))));
    }
    this.#marks.forget(said); // a database restored under us has heard nothing
    await this.#inSteps(() => this.#drop(kept));
    await this.#inSteps(() => this.#dropOtherEpochs());
  }

  rewind(receivedThrough: Seq): void {
    this.#marks.forget();
    this.#connection.immediate(() =>
      writePosition(this.#connection, rewound(readPosition(this.#connection), receivedThrough)),
    );
  }

  /**
   * The messages that were not received are written again under the new epoch's numbers, in steps, beside the old ones; the
   * last step makes the new epoch the epoch. A process killed before that has changed nothing: the copies are dropped, later.
   * @throws DATABASE_BUSY when another process packed meanwhile, or took the copies for leftovers; nothing has changed then
   */
  async beginEpoch(epoch: Epoch, from: Epoch | null): Promise<boolean> {
    const old = this.withMarks(readPosition(this.#connection));
    if (old.epoch !== from) return old.epoch === epoch;
    await this.#inSteps(() => this.#dropOtherEpochs());
    const offset = old.receivedThrough;
    // The parts of a message that is still being packed move along.
    const all: Position = { ...old, packedThrough: seq(old.packedThrough + (old.open ? 1 : 0)) };
    let after = { seq: offset, part: 0 };
    let chain = CHAIN_START;
    let complete = CHAIN_START;
    let copies = 0;
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
      copies += moved.length;
      if (moved.length > 0)
        this.#connection.immediate(() => moved.forEach((line) => storeLine(this.#connection, epoch, line)));
      return moved.length > 0;
    });
    const begun = this.#connection.immediate(() => {
      const now = readPosition(this.#connection);
      if (now.epoch !== from) return false;
      const same = now.packedThrough === old.packedThrough && now.open?.part === old.open?.part;
      if (!same || this.#stored(epoch) !== copies)
        throw new WaybillError("DATABASE_BUSY", `another process moved the lane of ${this.#connection.path} meanwhile`);
      writePosition(this.#connection, {
        epoch,
        packedThrough: seq(old.packedThrough - offset),
        chain: complete,
        receivedThrough: seq(0),
        loadedThrough: seq(0),
        droppedThrough: seq(0),
        droppedChain: CHAIN_START,
        open: old.open && { ...old.open, chain },
      });
      return true;
    });
    if (begun) this.#marks.forget();
    await this.#inSteps(() => this.#dropOtherEpochs());
    return begun;
  }

  #stored(epoch: Epoch): number {
    const sql = "select count(*) as n from waybill_message as m where m.epoch = ?";
    return Number(this.#connection.statement(sql).get(epoch)?.["n"]);
  }

  /** One step of dropping loaded messages that are not to be kept. @returns whether there may be more */
  #drop(kept: Kept): boolean {
    const position = readPosition(this.#connection);
    if (position.epoch === null || position.loadedThrough <= position.droppedThrough) return false;
    const last = this.#lastOfStep(position.epoch, position.loadedThrough, kept);
    if (last === null) return false;
    const chain = chainAfter(this.#connection, position, last);
    this.#connection.immediate(() => {
      this.#connection.statement("delete from waybill_message where epoch = ? and seq <= ?").run(position.epoch, last);
      writePosition(this.#connection, { ...readPosition(this.#connection), droppedThrough: last, droppedChain: chain });
    });
    return true;
  }

  /**
   * The last message of a step: about STEP_BYTES from the oldest on, at least one message; null when the oldest there is is to be
   * kept. Beyond the newest `keep` nobody asks for the age.
   */
  #lastOfStep(epoch: Epoch, loadedThrough: Seq, { keep, since }: Kept): Seq | null {
    const rows = this.#connection
      .statement(
        `select m.seq, m.at, length(m.bytes) as bytes from waybill_message as m
         where m.epoch = ? and m.seq <= ? order by m.seq, m.part`,
      )
      .iterate(epoch, loadedThrough);
    let bytes = 0;
    let last: number | null = null;
    for (const row of rows) {
      const number = Number(row["seq"]);
      const kept = number > loadedThrough - keep && !isBefore(row["at"], since);
      if (kept || (last !== null && number !== last && bytes > STEP_BYTES)) return last === null ? null : seq(last);
      bytes += Number(row["bytes"]);
      last = number;
    }
    return last === null ? null : seq(last);
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
