import { seq, type Epoch, type Seq } from "../../../base/ids.ts";
import { CHAIN_START } from "../../../message/chain.ts";
import type { Acknowledged, Kept, PackedLine } from "../../port.ts";
import { LOAD, type Connection } from "../connection.ts";
import { isBefore } from "../../kept.ts";
import { Marks, rewound } from "../../marks.ts";
import { renumbered } from "./lines.ts";
import { chainAfter, readLines, readPosition, storeLines, writePosition, type Position } from "./store.ts";

/** How much one transaction moves. */
const STEP_BYTES = 4 * 1024 * 1024;
/** How many messages one transaction drops. */
const STEP_MESSAGES = 5_000;

/** The stored messages on their way out: what the other side has of them, and what may be forgotten. */
export class Outgoing {
  readonly #connection: Connection;
  readonly #marks = new Marks();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  acknowledge(marks: Acknowledged): void {
    this.#marks.say(marks);
  }

  /** The position with what the other side has said since it was written. */
  readonly withMarks = (position: Position): Position => this.#marks.on(position);

  /** Writes nothing when nothing is new. */
  async flush(kept: Kept): Promise<void> {
    const { said } = this.#marks;
    if (this.#marks.areNewsFor(await readPosition(this.#connection))) await this.#move(this.withMarks);
    this.#marks.forget(said); // a database restored under us has heard nothing
    while (await this.#drop(kept));
    await this.#dropOtherEpochs();
  }

  async rewind(receivedThrough: Seq): Promise<void> {
    this.#marks.forget();
    await this.#move((position) => rewound(position, receivedThrough));
  }

  /**
   * The messages that were not received are written again under the new epoch's numbers, in one transaction: killed before its
   * end, nothing has changed. They pass through memory a few megabytes at a time.
   */
  async beginEpoch(epoch: Epoch, from: Epoch | null): Promise<boolean> {
    const begun = await this.#connection.transaction(LOAD, async () => {
      const old = this.withMarks(await readPosition(this.#connection, "update"));
      if (old.epoch !== from) return old.epoch === epoch;
      const offset = old.receivedThrough;
      let after = { seq: offset, part: 0 };
      let chain = CHAIN_START;
      for (;;) {
        const lines = await readLines(this.#connection, old, after, STEP_BYTES);
        if (lines.length === 0) break;
        const moved: PackedLine[] = [];
        for (const line of lines) {
          const copy = renumbered(line, seq(line.seq - offset), chain);
          moved.push(copy);
          chain = copy.chain;
          after = { seq: line.seq, part: line.part };
        }
        await storeLines(this.#connection, epoch, moved);
      }
      await writePosition(this.#connection, {
        ...old,
        epoch,
        packedThrough: seq(old.packedThrough - offset),
        chain,
        receivedThrough: seq(0),
        loadedThrough: seq(0),
        droppedThrough: seq(0),
        droppedChain: CHAIN_START,
      });
      return true;
    });
    if (!begun) return false;
    this.#marks.forget();
    await this.#dropOtherEpochs();
    return true;
  }

  async #move(to: (position: Position) => Position): Promise<void> {
    await this.#connection.transaction(LOAD, async () =>
      writePosition(this.#connection, to(await readPosition(this.#connection, "update"))),
    );
  }

  /** One step of dropping loaded messages that are not to be kept. @returns whether there may be more */
  async #drop(kept: Kept): Promise<boolean> {
    const last = await this.#lastOfStep(kept);
    if (last === null) return false;
    await this.#connection.transaction(LOAD, async () => {
      const position = await readPosition(this.#connection, "update");
      const chain = await chainAfter(this.#connection, position, last);
      const sql = "delete from public.waybill_message where epoch = $1 and seq <= $2";
      await this.#connection.run(sql, position.epoch, last);
      await writePosition(this.#connection, { ...position, droppedThrough: last, droppedChain: chain });
    });
    return true;
  }

  /** The last message of a step; null: the oldest there is is to be kept. Beyond the newest `keep` nobody asks for the age. */
  async #lastOfStep({ keep, since }: Kept): Promise<Seq | null> {
    const { epoch, loadedThrough, droppedThrough } = await readPosition(this.#connection);
    const beyond = Math.min(loadedThrough - keep, droppedThrough + STEP_MESSAGES);
    if (beyond > droppedThrough) return seq(beyond);
    if (since === null || loadedThrough <= droppedThrough) return null;
    const oldest = `select seq, at from public.waybill_message where epoch = $1 and seq > $2 and seq <= $3 order by seq, part`;
    const [first] = await this.#connection.query(`${oldest} limit 1`, epoch, droppedThrough, loadedThrough);
    if (!isBefore(first?.[1], since)) return null;
    const through = Math.min(loadedThrough, droppedThrough + STEP_MESSAGES);
    const rows = await this.#connection.query(oldest, epoch, droppedThrough, through);
    const young = rows.find(([, at]) => !isBefore(at, since));
    return seq(young === undefined ? through : Number(young[0]) - 1);
  }

  async #dropOtherEpochs(): Promise<void> {
    const { epoch } = await readPosition(this.#connection);
    const sql = `delete from public.waybill_message where ctid = any (array(
      select ctid from public.waybill_message where epoch <> $1 limit ${STEP_MESSAGES}))`;
    const [[any] = []] = await this.#connection.query(
      "select exists (select from public.waybill_message where epoch <> $1)",
      epoch ?? "",
    );
    if (any === "t") while ((await this.#connection.run(sql, epoch ?? "")) > 0);
  }
}
