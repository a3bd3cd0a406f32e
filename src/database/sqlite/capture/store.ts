import { epoch, seq, type Epoch, type Seq } from "../../../base/ids.ts";
import { WaybillError } from "../../../base/errors.ts";
import { CHAIN_START } from "../../../message/chain.ts";
import type { CapturePlan, PackedLine } from "../../port.ts";
import type { Connection } from "../connection.ts";

/** The one row of `waybill_capture`: where numbering stands. */
export type Position = {
  readonly epoch: Epoch | null;
  readonly packedThrough: Seq;
  /** Chain after `packedThrough`. */
  readonly chain: Uint8Array;
  readonly receivedThrough: Seq;
  readonly loadedThrough: Seq;
  /** Messages through this number are no longer stored; the chain after them still is. */
  readonly droppedThrough: Seq;
  readonly droppedChain: Uint8Array;
  /** The message that is being packed in steps. */
  readonly open: OpenMessage | null;
};
/** Message packedThrough + 1: its parts so far are stored, their outbox rows are deleted, and it ends at outbox row `through`. */
export type OpenMessage = {
  readonly part: number;
  readonly through: number;
  readonly chain: Uint8Array;
  readonly trace: string;
};

export function readPosition(connection: Connection): Position {
  const row = connection.statement("select c.* from waybill_capture as c").get();
  if (!row) throw new WaybillError("INTERNAL", `${connection.path}: capture is not installed`);
  const open =
    row["open_part"] === null
      ? null
      : {
          part: Number(row["open_part"]),
          through: Number(row["open_through"]),
          chain: row["open_chain"] as Uint8Array,
          trace: String(row["open_trace"]),
        };
  return {
    epoch: row["epoch"] === null ? null : epoch(String(row["epoch"])),
    packedThrough: seq(Number(row["packed_through"])),
    chain: row["chain"] as Uint8Array,
    receivedThrough: seq(Number(row["received_through"])),
    loadedThrough: seq(Number(row["loaded_through"])),
    droppedThrough: seq(Number(row["dropped_through"])),
    droppedChain: row["dropped_chain"] as Uint8Array,
    open,
  };
}

/** Within the caller's transaction. */
export function writePosition(connection: Connection, to: Position): void {
  const { open } = to;
  connection
    .statement(
      `update waybill_capture set epoch = ?, packed_through = ?, chain = ?, received_through = ?, loaded_through = ?,
         dropped_through = ?, dropped_chain = ?, open_part = ?, open_through = ?, open_chain = ?, open_trace = ?`,
    )
    .run(
      to.epoch,
      to.packedThrough,
      to.chain,
      to.receivedThrough,
      to.loadedThrough,
      to.droppedThrough,
      to.droppedChain,
      open?.part ?? null,
      open?.through ?? null,
      open?.chain ?? null,
      open?.trace ?? null,
    );
}

export function readPlan(connection: Connection): CapturePlan | null {
  const text = connection.statement("select c.plan from waybill_capture as c").get()?.["plan"];
  return typeof text === "string" ? (JSON.parse(text) as CapturePlan) : null;
}
export function writePlan(connection: Connection, plan: CapturePlan): void {
  connection.statement("update waybill_capture set plan = ?").run(JSON.stringify(plan));
}

export const isOff = (connection: Connection): boolean =>
  connection.statement("select c.off from waybill_capture as c").get()?.["off"] === 1;
export function setOff(connection: Connection, off: boolean): void {
  connection.statement("update waybill_capture set off = ?").run(off ? 1 : 0);
}

/** A line to be stored, as `PackedLine`. Within the caller's transaction. */
export function storeLine(connection: Connection, of: Epoch, line: PackedLine): void {
  connection
    .statement(
      "insert into waybill_message (epoch, seq, part, more, bytes, chain, changes, at) values (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .run(of, line.seq, line.part, line.more ? 1 : 0, line.bytes, line.chain, line.changes, line.at);
}

/** Stored lines of complete messages after a place, in order. `limitBytes` may be passed by the first line. */
export function readLines(
  connection: Connection,
  position: Position,
  after: { readonly seq: Seq; readonly part: number },
  limitBytes: number,
): readonly PackedLine[] {
  if (position.epoch === null) return [];
  const rows = connection
    .statement(
      `select m.seq, m.part, m.more, m.bytes, m.chain, m.changes, m.at from waybill_message as m
       where m.epoch = ? and (m.seq, m.part) > (?, ?) and m.seq <= ? order by m.seq, m.part`,
    )
    .iterate(
      position.epoch,
      after.seq,
      after.part === 0 ? Number.MAX_SAFE_INTEGER : after.part,
      position.packedThrough,
    );
  const lines: PackedLine[] = [];
  let bytes = 0;
  for (const row of rows) {
    const line = lineOf(row);
    bytes += line.bytes.byteLength;
    if (lines.length > 0 && bytes > limitBytes) break;
    lines.push(line);
  }
  return lines;
}

const lineOf = (row: Record<string, unknown>): PackedLine => ({
  seq: seq(Number(row["seq"])),
  part: Number(row["part"]),
  more: row["more"] === 1,
  bytes: row["bytes"] as Uint8Array,
  chain: row["chain"] as Uint8Array,
  changes: Number(row["changes"]),
  at: String(row["at"]),
});

/** The chain after message `number`. @throws INTERNAL when that message was dropped, or never was. */
export function chainAfter(connection: Connection, position: Position, number: Seq): Uint8Array {
  if (number === 0) return CHAIN_START;
  if (number === position.packedThrough) return position.chain;
  if (number === position.droppedThrough) return position.droppedChain;
  const row = connection
    .statement("select m.chain from waybill_message as m where m.epoch = ? and m.seq = ? order by m.part desc limit 1")
    .get(position.epoch, number);
  if (!row) throw new WaybillError("INTERNAL", `the chain after message ${number} is no longer known`);
  return row["chain"] as Uint8Array;
}
