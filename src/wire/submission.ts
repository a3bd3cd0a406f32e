import { z } from "zod";
import type { Instant } from "../base/clock.ts";
import { WaybillError } from "../base/errors.ts";
import { epoch, seq, type Epoch, type Seq, type TerminalId } from "../base/ids.ts";
import { chainNext, chainOf } from "../message/chain.ts";
import { field, type Change, type WireValue } from "../message/change.ts";
import { readMessageLine, type MessageLine } from "./message-line.ts";
import { joinLines, lineInvalid, Lines } from "./ndjson.ts";

/** The first line of a submission. Members it does not name are ignored. */
export const submissionHeader = z
  .object({
    epoch: z.string().describe("the lane's epoch, as POST /v1/epochs gave it"),
    stream: z.literal("main").default("main").describe("reserved; always `main`"),
    after: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).describe("the number before the first line"),
    part: z
      .number()
      .int()
      .min(0)
      .max(Number.MAX_SAFE_INTEGER)
      .default(0)
      .describe("above 0: the lines go on inside message `after` + 1, behind this part; `chain` is the chain there"),
    chain: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .describe("chain(after), 64 hexadecimal digits"),
    oldest: z
      .number()
      .int()
      .min(1)
      .max(Number.MAX_SAFE_INTEGER)
      .optional()
      .describe("the first number the sender still has, when it gave up older ones"),
  })
  .describe("header line of POST /v1/messages");
export type SubmissionHeader = z.input<typeof submissionHeader>;

/** What the hub's ledger takes as one submission; nothing of it is trusted for order against the lane or for content yet. */
export type ReadSubmission = {
  readonly terminal: TerminalId;
  readonly epoch: Epoch;
  readonly after: Seq;
  readonly part: number;
  readonly chain: Uint8Array;
  readonly oldest: Seq | null;
  /** All message lines, each with its newline, exactly as they came: a view of the body that was read. */
  readonly body: Uint8Array;
  readonly lines: readonly ReadLine[];
  /** 32 bytes a line: the chain after it. */
  readonly chains: Uint8Array;
};
export type ReadLine = {
  readonly seq: Seq;
  readonly part: number;
  readonly more: boolean;
  readonly end: number;
  readonly at: Instant;
  readonly changes: number;
  readonly search: readonly string[];
};
export type SubmissionReader = {
  readonly terminal: TerminalId;
  /** Lines a body may have, the header not counted. */
  readonly maxLines: number;
  /** Source table → columns by whose values a message can be found. */
  readonly search: ReadonlyMap<string, readonly string[]>;
  /** Stands for the commit time of a part that does not tell it. */
  readonly receivedAt: Instant;
};

/** Values beyond this many characters are not searchable: they are no receipt numbers. */
const SEARCH_LENGTH = 200;

/**
 * Reads the decompressed body of POST /v1/messages: form, numbering within the body, chains. One bad line refuses all.
 * @throws LINE_INVALID with `line` (from 1, the header) and `path`; TOO_LARGE
 */
export function readSubmission(bytes: Uint8Array, reader: SubmissionReader): ReadSubmission {
  const all = new Lines(bytes, reader.maxLines);
  const header = readHeader(all);
  if (all.count < 2 && header.oldest === null)
    throw lineInvalid(2, "", "is missing: a submission has at least one message line");
  const origin = all.ends[0] ?? 0;
  const lines: ReadLine[] = [];
  const chains = new Uint8Array(32 * (all.count - 1));
  let chain: Uint8Array = header.chain;
  let position: Position = { seq: header.after, part: header.part };
  let at = reader.receivedAt;
  for (let index = 1; index < all.count; index++) {
    const line = readMessageLine(all.text(index), index + 1);
    position = follow(position, line, index + 1);
    at = line.at ?? (line.part > 1 ? at : reader.receivedAt);
    chain = chainNext(chain, all.at(index));
    chains.set(chain, 32 * (index - 1));
    const search = searchValues(line.changes, reader.search);
    lines.push({
      seq: seq(line.seq),
      part: line.part,
      more: line.more,
      end: (all.ends[index] ?? 0) - origin,
      at,
      changes: line.changes.length,
      search,
    });
  }
  return { terminal: reader.terminal, ...header, body: all.bytes.subarray(origin), lines, chains };
}

/** The body of POST /v1/messages. `lines` are packed lines without their newlines, byte-identical on every resend. */
export function submissionBody(header: SubmissionHeader, lines: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return joinLines([Buffer.from(JSON.stringify(header)), ...lines]);
}

type Header = Pick<ReadSubmission, "epoch" | "after" | "part" | "chain" | "oldest">;

function readHeader(all: Lines): Header {
  if (all.count === 0) throw lineInvalid(1, "", "is missing: the first line is the header");
  const read = submissionHeader.safeParse(all.json(0));
  if (!read.success) {
    const issue = read.error.issues[0];
    throw lineInvalid(1, (issue?.path ?? []).join("."), issue?.message ?? "is not a header");
  }
  const chain = chainOf(read.data.chain);
  if (chain === null) throw lineInvalid(1, "chain", "must be 64 hexadecimal digits");
  const named = epochOf(read.data.epoch);
  // A copy of its own: a view of a pooled buffer would take the whole pool along to the ledger's thread.
  return {
    epoch: named,
    after: seq(read.data.after),
    part: read.data.part,
    chain: Uint8Array.from(chain),
    oldest: read.data.oldest === undefined ? null : seq(read.data.oldest),
  };
}

function epochOf(text: string): Epoch {
  try {
    return epoch(text);
  } catch (thrown) {
    throw lineInvalid(1, "epoch", thrown instanceof WaybillError ? thrown.what : "is not an epoch");
  }
}

/** The last line's place: all of `seq` when `part` is 0, else message `seq` + 1 up to this part. */
type Position = { readonly seq: number; readonly part: number };

/** The place after `line`, which must be the very next. @throws LINE_INVALID */
function follow(last: Position, line: MessageLine, number: number): Position {
  if (line.seq !== last.seq + 1)
    throw lineInvalid(number, "seq", `must be ${last.seq + 1}: numbers follow one another`);
  if (last.part > 0 && line.part !== last.part + 1) throw lineInvalid(number, "part", `must be ${last.part + 1}`);
  if (last.part === 0 && line.part > 1) throw lineInvalid(number, "part", "must be 1: parts follow one another");
  return line.more ? { seq: last.seq, part: line.part } : { seq: line.seq, part: 0 };
}

function searchValues(changes: readonly Change[], search: SubmissionReader["search"]): readonly string[] {
  if (search.size === 0) return [];
  const values = new Set<string>();
  for (const change of changes) {
    for (const column of search.get(change.table) ?? []) {
      for (const row of [change.row, change.before, change.key]) {
        const text = row && searchable(field(row, column));
        if (text) values.add(text);
      }
    }
  }
  return [...values];
}

function searchable(value: WireValue | undefined): string | null {
  const text = typeof value === "string" ? value : typeof value === "number" ? String(value) : null;
  return text !== null && text.length <= SEARCH_LENGTH ? text : null;
}
