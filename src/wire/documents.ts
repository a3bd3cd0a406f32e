import { z } from "zod";
import type { Instant } from "../base/clock.ts";
import { joinLines, lineInvalid, Lines } from "./ndjson.ts";
import { checkLetterByLetter, readAt } from "./message-line.ts";

/** What a sender that cannot number tells instead: an id of its own, and a body that a transform turns into changes. */
export type Document = {
  readonly id: string;
  readonly type: string;
  /** When it was made, by the sender's clock; null when it does not say. */
  readonly at: Instant | null;
  /** JSON, or a string (XML, CSV). */
  readonly body: unknown;
  /** Further values by which its message can be found; an entrance that knows a business key names it. */
  readonly search?: readonly string[];
};
export type DocumentAnswer = { readonly id: string; readonly seq: number; readonly state: "accepted" | "duplicate" };

/** Documents of a type arrive as changes of this table: `tables` of the config names it, with a transform. */
export const documentTable = (type: string): string => `${TABLE_PREFIX}${type}`;
const TABLE_PREFIX = "document:";
export const isDocumentTable = (table: string): boolean => table.startsWith(TABLE_PREFIX);

const form = z.object({
  id: z.string().min(1).max(200),
  type: z.string().min(1).max(100),
  at: z.unknown().optional(),
  body: z.unknown(),
});

/** Reads the decompressed body of POST /v1/documents: one document a line. @throws LINE_INVALID with `line` and `path`; TOO_LARGE */
export function readDocuments(bytes: Uint8Array, maxLines: number): readonly Document[] {
  const all = new Lines(bytes, maxLines - 1);
  if (all.count === 0) throw lineInvalid(1, "", "is missing: there is no document");
  return all.ends.map((_, index) => {
    const line = index + 1;
    const read = form.safeParse(all.json(index));
    if (!read.success) {
      const issue = read.error.issues[0];
      throw lineInvalid(line, (issue?.path ?? []).join("."), issue?.message ?? "is not a document");
    }
    checkLetterByLetter(all.text(index), line);
    return { ...read.data, at: readAt(read.data.at, line) };
  });
}

/** The message line that a document is stored as, under the number the hub gave it. `at` is ISO 8601. */
export function documentLine(seq: number, { id, type, body }: Document, at: string, trace: string): string {
  return JSON.stringify({
    seq,
    at,
    trace,
    changes: [{ table: documentTable(type), op: "insert", key: { id }, row: { id, type, body } }],
  });
}

/** What makes a document the same as another of its id. When it was made does not count: a resend may tell another time. */
export const documentContent = ({ type, body }: Pick<Document, "type" | "body">): string =>
  JSON.stringify([type, body]);

/** The body of the answer: one line each, in the order they came. */
export function documentAnswers(answers: readonly DocumentAnswer[]): Uint8Array<ArrayBuffer> {
  return joinLines(answers.map((answer) => Buffer.from(JSON.stringify(answer))));
}
