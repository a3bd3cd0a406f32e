import { z } from "zod";
import type { Row } from "../message/change.ts";
import { KINDS } from "../message/shape.ts";
import { updateIdText } from "./updates.ts";

/**
 * What a hub asks of a terminal. The hub cannot call an agent: the header of `GET /v1/updates` says that a question waits, the
 * agent fetches it and sends its answer when it has one. Rows are named by the terminal's tables and columns.
 */

const name = z.string().min(1).max(200);
const hex = z.string().regex(/^[0-9a-f]{0,32}$/);
/** Wire values as they are: a row of the terminal's own database, read back by us alone. */
const row = z.record(z.string(), z.unknown()) as unknown as z.ZodType<Row>;
const rows = z.number().int().min(0);

export const comparedColumn = z.object({
  name,
  kind: z.enum(KINDS).describe("both sides read their value as this kind"),
  collation: z.enum(["nocase", "rtrim"]).optional(),
});
const comparedTable = { table: name, key: z.array(comparedColumn).min(1), columns: z.array(comparedColumn) };

export const question = z.discriminatedUnion("ask", [
  z.object({ ask: z.literal("shapes"), tables: z.array(name) }).describe("what columns do these tables have?"),
  z
    .object({
      ask: z.literal("survey"),
      ...comparedTable,
      within: z.array(hex).min(1).describe("prefixes of one length; an empty one is the whole table"),
      width: z.number().int().min(1).max(32).nullable().describe("digits of the nodes told; null: the rows themselves"),
    })
    .describe("what are the digests of these nodes, or the rows in them?"),
  z
    .object({
      ask: z.literal("page"),
      ...comparedTable,
      after: row.nullable(),
      limit: z.number().int().min(1).max(5_000),
    })
    .describe("what are the digests of the next rows by key?"),
  z.object({ ask: z.literal("rows"), table: name, keys: z.array(row).max(1_000) }).describe("how are these rows?"),
  z
    .object({ ask: z.literal("resend"), table: name, keys: z.array(row).max(1_000) })
    .describe("an operator orders that these rows be captured again as they are"),
]);
export type Question = z.infer<typeof question>;
export type Asking<Ask extends Question["ask"]> = Extract<Question, { ask: Ask }>;

const found = z.tuple([hex, hex, row]).describe("place (hash of the key), digest of the row, key");
export const answers = {
  shapes: z.object({
    tables: z.record(z.string(), z.object({ key: z.array(name), columns: z.array(comparedColumn) })),
  }),
  survey: z.object({
    rows: rows.describe("of the whole table"),
    nodes: z.array(z.tuple([hex, rows, hex])).describe("prefix, rows, digest; nodes without rows are left out"),
    found: z.array(found),
  }),
  page: z.object({ found: z.array(found), next: row.nullable().describe("key to go on behind; null: that was all") }),
  rows: z.object({
    rows: z.array(row.nullable()).describe("in the order of the keys, perhaps fewer of them; null: there is none"),
    epoch: z.string().nullable(),
    packedThrough: rows.describe("every change these rows show is in a message through this number"),
    applied: updateIdText.describe("they show all updates through this one"),
  }),
  resend: z.object({ sent: rows.describe("rows that were there and are captured") }),
} as const;
export type Answer<Ask extends Question["ask"]> = z.infer<(typeof answers)[Ask]>;

export const askedAnswer = z.object({
  id: z.string().nullable().describe("null: nothing is asked"),
  question: question.nullable(),
});
export const answerCall = z.object({
  answer: z.unknown().optional().describe("its shape follows from the question"),
  fault: z
    .object({ code: z.string().max(64), what: z.string().max(4_000) })
    .optional()
    .describe("why there is none"),
});
export type AnswerCall = z.infer<typeof answerCall>;
export const heardAnswer = z.object({ heard: z.boolean().describe("false: this is not asked any more") });
