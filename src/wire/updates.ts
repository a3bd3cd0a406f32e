import { z } from "zod";
import { isoOf, type Instant } from "../base/clock.ts";
import { updateId, type LaneName, type Seq, type UpdateId } from "../base/ids.ts";
import type { Change } from "../message/change.ts";
import { readChanges } from "./message-line.ts";
import { joinLines, lineInvalid, Lines, withMember } from "./ndjson.ts";

/** An update id on the wire: a string of digits; a number is read as well. */
export const updateIdText = z.union([
  z.string().regex(/^\d{1,16}$/),
  z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
]);

export const updatesHeader = z
  .object({
    after: updateIdText,
    through: updateIdText.describe("these are all updates for this terminal in (after, through]"),
    more: z.boolean().describe("more are there already: ask again at once"),
    question: z
      .string()
      .max(64)
      .optional()
      .describe("the hub wants to know something: fetch it from GET /v1/question; an agent may leave it unanswered"),
    behind: z
      .literal(true)
      .optional()
      .describe("the hub has less of the lane than the terminal says it acknowledged, as its ledger was restored"),
    strand: z
      .string()
      .max(64)
      .optional()
      .describe("names the history of which `through` is: kept with the cursor, and said with it in the next request"),
    other: z
      .literal(true)
      .optional()
      .describe(
        "the cursor is of a history that the hub does not have: the terminal goes on at `through`, and all rows come again",
      ),
  })
  .describe("header line of GET /v1/updates");

const updateHead = z.object({
  id: updateIdText,
  tx: z.string().optional(),
  at: z.string(),
  audience: z.string(),
  origin: z.string().nullish(),
  trace: z.string().nullish(),
  changes: z.unknown(),
});

/** The `tx` of what message `number` of a centre's lane holds. Updates that were published by hand have a `tx` of another form. */
export const centralTx = (lane: LaneName, number: Seq): string => `${lane}/${number}`;
const CENTRAL_TX = /^(central\/[^/]+)\/(\d{1,16})$/;
export function placeOf(tx: string): { readonly lane: string; readonly number: number } | null {
  const [, lane, number] = CENTRAL_TX.exec(tx) ?? [];
  return lane === undefined || number === undefined ? null : { lane, number: Number(number) };
}

/** An update as the hub has it; `changes` is a JSON array in UTF-8 and goes out as it is. */
export type OutgoingUpdate = {
  readonly id: UpdateId;
  readonly tx: string;
  readonly at: Instant;
  readonly audience: string;
  readonly origin: string | null;
  readonly trace: string | null;
  readonly changes: Uint8Array;
};
/** An update as a terminal reads it. */
export type IncomingUpdate = {
  readonly id: UpdateId;
  /** Updates that follow one another with one `tx` come from one central transaction. */
  readonly tx: string;
  /** ISO 8601, by the hub's clock. */
  readonly at: string;
  readonly audience: string;
  readonly origin: string | null;
  readonly trace: string | null;
  readonly changes: readonly Change[];
};
export type Attested<Update> = {
  readonly after: UpdateId;
  readonly through: UpdateId;
  readonly more: boolean;
  readonly updates: readonly Update[];
  /** A question that waits for the terminal. */
  readonly question?: string;
  /** The hub has less than the terminal told it of its lane. */
  readonly behind?: true;
  /** Of which history `through` is; null: the hub does not tell. */
  readonly strand: string | null;
  /** What was asked for is of a history that the hub does not have: `through` is where the terminal goes on. */
  readonly other?: true;
};

/** The body of GET /v1/updates. */
export function updatesBody(batch: Attested<OutgoingUpdate>): Uint8Array<ArrayBuffer> {
  const { more, question, behind, other } = batch;
  const strand = batch.strand ?? undefined;
  const header = { after: String(batch.after), through: String(batch.through), more, question, behind, strand, other };
  return joinLines([Buffer.from(JSON.stringify(header)), ...batch.updates.map(updateLine)]);
}

function updateLine({ id, tx, at, audience, origin, trace, changes }: OutgoingUpdate): Uint8Array {
  return withMember({ id: String(id), tx, at: isoOf(at), audience, origin, trace }, "changes", changes);
}

/**
 * Reads the body of GET /v1/updates. Ids must grow and lie in (after, through]: a cursor moved by anything else would lose updates.
 * @throws LINE_INVALID with `line` and `path`
 */
export function readUpdates(bytes: Uint8Array): Attested<IncomingUpdate> {
  const all = new Lines(bytes, Number.MAX_SAFE_INTEGER);
  if (all.count === 0) throw lineInvalid(1, "", "is missing: the first line is the header");
  const header = checked(updatesHeader, all.json(0), 1);
  const [after, through] = [updateId(header.after), updateId(header.through)];
  if (through < after) throw lineInvalid(1, "through", "is below `after`");
  const updates: IncomingUpdate[] = [];
  let last = after;
  for (let index = 1; index < all.count; index++) {
    const text = all.text(index);
    const head = checked(updateHead, all.json(index), index + 1);
    const id = updateId(head.id);
    if (id <= last || id > through) throw lineInvalid(index + 1, "id", `must be above ${last} and at most ${through}`);
    last = id;
    updates.push({
      id,
      tx: head.tx ?? String(id),
      at: head.at,
      audience: head.audience,
      origin: head.origin ?? null,
      trace: head.trace ?? null,
      changes: readChanges(head.changes, index + 1, text),
    });
  }
  const { more, question, behind, strand = null, other } = header;
  return {
    ...{ after, through, more, updates, strand },
    ...(question === undefined ? {} : { question }),
    ...(behind === undefined ? {} : { behind }),
    ...(other === undefined ? {} : { other }),
  };
}

function checked<T extends z.ZodType>(schema: T, value: unknown, line: number): z.infer<T> {
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const issue = read.error.issues[0];
  throw lineInvalid(line, (issue?.path ?? []).join("."), issue?.message ?? "has another shape");
}
