import type { LaneName, Seq } from "../../base/ids.ts";
import type { LedgerBytes, StoredPiece } from "../../ledger/bytes.ts";
import { readMessageLine } from "../../wire/message-line.ts";
import { Lines } from "../../wire/ndjson.ts";

/** As much of a message as a person can look at. */
const SHOWN_BYTES = 1024 * 1024;

/** A stored message as it came: one line, or its parts as far as they are shown. */
export type Payload = { readonly lines: readonly string[]; readonly truncated: boolean };

export async function payloadOf(bytes: LedgerBytes, lane: LaneName, seq: Seq): Promise<Payload> {
  const pieces = await bytes.read(lane, seq, seq, 0, SHOWN_BYTES);
  const lines: string[] = [];
  let shown = 0;
  for (const line of pieces.flatMap((piece) => linesOf(piece, seq))) {
    if (lines.length > 0 && shown + line.byteLength > SHOWN_BYTES) break;
    shown += line.byteLength;
    lines.push(line.toString("utf8"));
  }
  const last = lines.at(-1);
  return { lines, truncated: last !== undefined && readMessageLine(last, lines.length).more };
}

/** A piece holds whole messages one line each, or parts of one message. */
function linesOf(piece: StoredPiece, seq: Seq): readonly Buffer[] {
  const all = new Lines(piece.bytes, Number.MAX_SAFE_INTEGER);
  if (piece.part > 0) return piece.from === seq ? all.ends.map((_, index) => all.at(index)) : [];
  const index = seq - piece.from;
  return index >= 0 && index < all.count ? [all.at(index)] : [];
}
