import { seq, type LaneName, type Seq } from "../base/ids.ts";
import { WaybillError } from "../base/errors.ts";
import type { LedgerBytes, StoredPiece } from "../ledger/bytes.ts";
import type { Change, Row } from "../message/change.ts";
import { nameOf, type Fault } from "./plan.ts";

/** A stored line as it was read: the changes, or why there are none. */
export type Line = {
  readonly seq: Seq;
  /** Commit time at the terminal; null when the line cannot be read. */
  readonly at: string | null;
  /** Its traceparent as it came, not checked. */
  readonly trace: string | null;
  readonly changes: readonly Change[];
  readonly fault: Fault | null;
};

/** Bytes of one read; a message in parts is held in memory by about this much at a time. */
const READ_BYTES = 4 * 1024 * 1024;

/** The messages `from`…`through` of a lane, none of them in parts. @throws NotStored */
export async function readMessages(bytes: LedgerBytes, lane: LaneName, from: Seq, through: Seq): Promise<Line[]> {
  const lines: Line[] = [];
  for (let next = from; next <= through;) {
    const before = next;
    for (const piece of await bytes.read(lane, next, through, 0, READ_BYTES)) {
      for (const [at, text] of linesOf(piece).entries()) {
        const number = seq(piece.from + at);
        if (number !== next || number > through) continue;
        lines.push(readLine(number, text));
        next = seq(number + 1);
      }
    }
    if (next === before) throw new NotStored(lane, next);
  }
  return lines;
}

/** One message, in one piece or in parts, a piece at a time. Each time it is called the reading begins anew. */
export async function* readOne(bytes: LedgerBytes, lane: LaneName, number: Seq): AsyncGenerator<Line> {
  let part = 0;
  for (;;) {
    const pieces = await bytes.read(lane, number, number, part, READ_BYTES);
    const last = part;
    for (const piece of pieces) {
      if (piece.part === 0) {
        const text = linesOf(piece)[number - piece.from];
        if (text === undefined) throw new NotStored(lane, number);
        yield readLine(number, text);
        return;
      }
      for (const [at, text] of linesOf(piece).entries()) {
        if (piece.part + at <= part) continue;
        part = piece.part + at;
        yield readLine(number, text);
      }
    }
    if (part === 0) throw new NotStored(lane, number);
    if (part === last) return;
  }
}

/** Some messages of a lane, by ascending numbers; "in parts" for one that only `readOne` can read. Those not stored are left out. */
export async function readNumbers(
  bytes: LedgerBytes,
  lane: LaneName,
  numbers: readonly Seq[],
): Promise<Map<Seq, Line | "in parts">> {
  const lines = new Map<Seq, Line | "in parts">();
  for (const number of numbers) {
    if (lines.has(number)) continue;
    const [piece] = await bytes.read(lane, number, number, 0, 1);
    if (!piece) continue;
    if (piece.part > 0) {
      lines.set(number, "in parts");
      continue;
    }
    // A piece holds many messages; those asked for are taken from it at once.
    const texts = linesOf(piece);
    for (const wanted of numbers) {
      const text = wanted < number ? undefined : texts[wanted - piece.from];
      if (text !== undefined) lines.set(wanted, readLine(wanted, text));
    }
  }
  return lines;
}

/** The ledger does not have a line that it gave out to be loaded, or that is needed to know what it touches. */
export class NotStored extends WaybillError {
  constructor(lane: LaneName, number: Seq) {
    super("INTERNAL", `the ledger does not have the line of message ${lane}/${number}`);
  }
}

function linesOf({ bytes }: StoredPiece): string[] {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8").split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** A line that is not a message becomes one with a fault: people must see it, and the lane must not stop. */
export function readLine(number: Seq, text: string): Line {
  const broken = (
    code: Fault["code"],
    detail: string,
    at: string | null = null,
    trace: string | null = null,
  ): Line => ({
    seq: number,
    at,
    trace,
    changes: [],
    fault: { code, detail },
  });
  let line: unknown;
  try {
    line = JSON.parse(text);
  } catch (thrown) {
    // The rest of the engine's words quotes the line.
    const place = thrown instanceof Error ? (/\bat position \d+/.exec(thrown.message)?.[0] ?? "") : "";
    return broken("PAYLOAD_UNREADABLE", `the line is no JSON ${place}`.trimEnd());
  }
  if (typeof line !== "object" || line === null) return broken("PAYLOAD_UNREADABLE", "the line is no object");
  const {
    at,
    trace: named,
    changes,
    refused,
    detail,
    table,
    key,
  } = line as Partial<Record<"at" | "trace" | "changes" | "refused" | "detail" | "table" | "key", unknown>>;
  const committed = typeof at === "string" ? at : null;
  const trace = typeof named === "string" ? named : null;
  if (refused !== undefined)
    return { seq: number, at: committed, trace, ...refusedLine(table, key, unreadableWhy(refused, detail)) };
  if (!Array.isArray(changes)) return broken("PAYLOAD_UNREADABLE", "the line has no changes", committed, trace);
  return { seq: number, at: committed, trace, changes: changes as Change[], fault: null };
}

/** A gate that took a message it could not read (SOAP) says why; null for every other refusal. */
const unreadableWhy = (refused: unknown, detail: unknown): string | null =>
  refused === "PAYLOAD_UNREADABLE" ? (typeof detail === "string" ? detail : "the message could not be read") : null;

/** The terminal could not carry one value. Which row it was is known, so that what follows on that row waits. */
function refusedLine(table: unknown, key: unknown, unreadable: string | null): Pick<Line, "changes" | "fault"> {
  const known = typeof table === "string" && typeof key === "object" && key !== null && !Array.isArray(key);
  const changes: Change[] = known ? [{ table, op: "upsert", key: key as Row, row: {} }] : [];
  const row = known ? nameOf(table, key as Row) : "a row";
  if (unreadable !== null) return { changes, fault: { code: "PAYLOAD_UNREADABLE", detail: `${row}: ${unreadable}` } };
  return {
    changes,
    fault: { code: "VALUE_TOO_LARGE", detail: `${row}: the terminal did not send a value above its limit` },
  };
}
