import { WaybillError } from "../../../base/errors.ts";
import { epoch, seq, type Epoch, type Seq } from "../../../base/ids.ts";
import { CHAIN_START } from "../../../message/chain.ts";
import type { CapturePlan, PackedLine } from "../../port.ts";
import type { Connection, TextRow } from "../connection.ts";

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
  /** A pg_snapshot: all that it shows of the outbox has been packed. */
  readonly seen: string | null;
};

const bytesOf = (hex: string | null | undefined): Uint8Array => Buffer.from((hex ?? "").slice(2), "hex");

/** @param lock "update": nobody else moves it until the transaction ends */
export async function readPosition(connection: Connection, lock: "none" | "update" = "none"): Promise<Position> {
  const [row] = await connection.query(
    `select epoch, packed_through, chain, received_through, loaded_through, dropped_through, dropped_chain, seen::text
     from public.waybill_capture${lock === "update" ? " for update" : ""}`,
  );
  if (!row) throw new WaybillError("INTERNAL", "capture is not installed");
  const [named, packed, chain, received, loaded, dropped, droppedChain, seen] = row;
  return {
    epoch: named === null || named === undefined ? null : epoch(named),
    packedThrough: seq(Number(packed)),
    chain: bytesOf(chain),
    receivedThrough: seq(Number(received)),
    loadedThrough: seq(Number(loaded)),
    droppedThrough: seq(Number(dropped)),
    droppedChain: bytesOf(droppedChain),
    seen: seen ?? null,
  };
}

/** Within the caller's transaction. */
export async function writePosition(connection: Connection, to: Position): Promise<void> {
  await connection.run(
    `update public.waybill_capture set epoch = $1, packed_through = $2, chain = $3, received_through = $4, loaded_through = $5,
       dropped_through = $6, dropped_chain = $7, seen = $8::pg_snapshot`,
    to.epoch,
    to.packedThrough,
    to.chain,
    to.receivedThrough,
    to.loadedThrough,
    to.droppedThrough,
    to.droppedChain,
    to.seen,
  );
}

export async function readPlan(connection: Connection): Promise<{ plan: CapturePlan | null; off: boolean }> {
  const [[plan, off] = []] = await connection.query("select plan, is_off from public.waybill_capture");
  return { plan: plan ? (JSON.parse(plan) as CapturePlan) : null, off: off === "t" };
}
export async function writePlan(connection: Connection, plan: CapturePlan): Promise<void> {
  await connection.run("update public.waybill_capture set plan = $1", JSON.stringify(plan));
}
export async function setOff(connection: Connection, off: boolean): Promise<void> {
  await connection.run("update public.waybill_capture set is_off = $1", off);
}

/** Within the caller's transaction. */
export async function storeLines(connection: Connection, of: Epoch, lines: readonly PackedLine[]): Promise<void> {
  if (lines.length === 0) return;
  await connection.run(
    `insert into public.waybill_message (epoch, seq, part, more, bytes, chain, changes, at)
     select $1, l.* from unnest($2::bigint[], $3::int[], $4::boolean[], $5::bytea[], $6::bytea[], $7::int[], $8::text[]) as l`,
    of,
    lines.map((line) => line.seq),
    lines.map((line) => line.part),
    lines.map((line) => line.more),
    lines.map((line) => line.bytes),
    lines.map((line) => line.chain),
    lines.map((line) => line.changes),
    lines.map((line) => line.at),
  );
}

type Place = { readonly seq: Seq; readonly part: number };

/** Stored lines of complete messages after a place, in order. `limitBytes` may be passed by the first line. */
export async function readLines(
  connection: Connection,
  position: Position,
  after: Place,
  limitBytes: number,
): Promise<readonly PackedLine[]> {
  if (position.epoch === null) return [];
  const lines: PackedLine[] = [];
  let bytes = 0;
  for (let from = after; ;) {
    // So many at once as are sure to fit memory: their lengths are summed by the server before a byte is sent.
    const rows = await connection.query(
      `select seq, part, more, bytes, chain, changes, at from (
         select m.*, sum(octet_length(bytes)) over (order by seq, part) - octet_length(bytes) as sent
         from (select * from public.waybill_message where epoch = $1 and (seq, part) > ($2, $3) and seq <= $4
               order by seq, part limit 500) m
       ) m where sent = 0 or sent + octet_length(bytes) <= $5 order by seq, part`,
      position.epoch,
      from.seq,
      from.part === 0 ? MAX_PART : from.part,
      position.packedThrough,
      Math.min(limitBytes - bytes, READ_BYTES),
    );
    const last = rows.at(-1);
    if (last === undefined) return lines;
    for (const line of rows.map(lineOf)) {
      bytes += line.bytes.byteLength;
      if (lines.length > 0 && bytes > limitBytes) return lines;
      lines.push(line);
    }
    const place = lines.at(-1) as PackedLine;
    from = { seq: place.seq, part: place.part };
    if (bytes >= limitBytes) return lines;
  }
}
const READ_BYTES = 8 * 1024 * 1024;
const MAX_PART = 2_147_483_647;

const lineOf = ([number, part, more, bytes, chain, changes, at]: TextRow): PackedLine => ({
  seq: seq(Number(number)),
  part: Number(part),
  more: more === "t",
  bytes: bytesOf(bytes),
  chain: bytesOf(chain),
  changes: Number(changes),
  at: at ?? "",
});

/** The chain after message `number`. @throws INTERNAL when that message was dropped, or never was. */
export async function chainAfter(connection: Connection, position: Position, number: Seq): Promise<Uint8Array> {
  if (number === 0) return CHAIN_START;
  if (number === position.packedThrough) return position.chain;
  if (number === position.droppedThrough) return position.droppedChain;
  const sql = "select chain from public.waybill_message where epoch = $1 and seq = $2 order by part desc limit 1";
  const [[chain] = []] = await connection.query(sql, position.epoch, number);
  if (chain === undefined) throw new WaybillError("INTERNAL", `the chain after message ${number} is no longer known`);
  return bytesOf(chain);
}
