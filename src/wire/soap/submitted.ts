import { hash } from "node:crypto";
import type { Row } from "../../message/change.ts";
import { contextOf } from "../../observe/trace-context.ts";
import { documentTable } from "../documents.ts";
import { decodeMember, decodeType, type Reading } from "./codec.ts";
import type { SyncMessage } from "./terminal-sync.ts";
import { PayloadRefused, payloadValue } from "./payload.ts";
import { ValueRefused } from "./values.ts";
import type { Element } from "./element.ts";

/** One SyncMessage as it was submitted: ready to become a line, or one that never can be loaded. */
export type Submitted = {
  /** From 1. */
  readonly sequence: number;
  readonly messageId: string | null;
  /** SHA-256, base64url: the same number with the same content is the same message. */
  readonly content: string;
  /** Why it can never be loaded; it takes its number all the same and becomes a dead letter. */
  readonly refused: { readonly code: string; readonly reason: string } | null;
  /** The value support staff ask for: the business key. */
  readonly search: readonly string[];
  /** The one change's table and row, for columns configured as searchable; null for a refused message. */
  readonly change: { readonly table: string; readonly row: Row } | null;
  /** ISO 8601 with zone. */
  readonly at: string;
  /** It names a trace itself, and its line has it. */
  readonly traced: boolean;
  /** The members of the line beside its number, as JSON without its braces. */
  readonly line: string;
};

const LONGEST_ID = 200;
const LONGEST_ENTITY = 100;

/**
 * What is wrong with a message's own values costs that message alone. Only a number that cannot be read is the caller's
 * fault as a whole: without it there is no place to put the message. `receivedAt` (ISO 8601) stands for a time that is none.
 * @throws ValueRefused
 */
export function readSubmitted(element: Element, reading: Reading, receivedAt: string): Submitted {
  const sequence = decodeMember("SyncMessage", "sequence", element, reading) as bigint;
  if (sequence < 1n || sequence > BigInt(Number.MAX_SAFE_INTEGER))
    throw new ValueRefused("sequence", "must be a whole number from 1");
  try {
    const message = decodeType("SyncMessage", element, "", reading);
    return wellFormed(Number(sequence), message);
  } catch (thrown) {
    if (thrown instanceof ValueRefused)
      return broken(Number(sequence), element, "INVALID_VALUE", thrown.message, receivedAt);
    if (thrown instanceof PayloadRefused)
      return broken(Number(sequence), element, "INVALID_PAYLOAD", thrown.message, receivedAt);
    throw thrown;
  }
}

function wellFormed(sequence: number, message: SyncMessage): Submitted {
  const {
    messageId,
    entity,
    operation,
    key,
    contentType,
    payload,
    payloadBytes,
    baseVersion,
    occurredAt,
    traceParent,
  } = message;
  if (entity === null || entity === "") throw new ValueRefused("entity", "is required");
  if (entity.length > LONGEST_ENTITY) throw new ValueRefused("entity", `has more than ${LONGEST_ENTITY} characters`);
  if ((messageId?.length ?? 0) > LONGEST_ID)
    throw new ValueRefused("messageId", `has more than ${LONGEST_ID} characters`);
  const id = messageId === null || messageId === "" ? String(sequence) : messageId;
  const row = {
    id,
    type: entity,
    operation,
    key,
    at: occurredAt,
    body: payload === null ? null : payloadValue(payload, contentType),
    bytes: payloadBytes,
    contentType,
    baseVersion: baseVersion === null ? null : String(baseVersion),
  };
  const content = digest([
    messageId,
    entity,
    operation,
    key,
    occurredAt,
    contentType,
    payload,
    payloadBytes,
    row.baseVersion,
  ]);
  const trace = contextOf(traceParent) ? { trace: traceParent } : {};
  const changes = [{ table: documentTable(entity), op: "insert", key: { id }, row }];
  return {
    sequence,
    messageId,
    content,
    refused: null,
    search: key === null || key === "" || key.length > LONGEST_ID ? [] : [key],
    change: { table: documentTable(entity), row: row as Row },
    at: occurredAt,
    traced: "trace" in trace,
    line: inside({ at: occurredAt, ...trace, soap: { sequence, content }, changes }),
  };
}

/** Kept with all its text, so that people see what the till meant, and can mend and requeue it. */
function broken(sequence: number, element: Element, code: string, reason: string, receivedAt: string): Submitted {
  const given = element.children.map(({ name, text }) => [name, text.toWellFormed()] as const);
  const content = digest(given.flat());
  const [entity = "", messageId = ""] = ["entity", "messageId"].map(
    (wanted) => given.find(([name]) => name === wanted)?.[1],
  );
  const table = entity === "" ? documentTable("unknown") : documentTable(entity.slice(0, LONGEST_ENTITY));
  const id = messageId === "" ? String(sequence) : messageId.slice(0, LONGEST_ID);
  return {
    sequence,
    messageId: messageId === "" ? null : messageId,
    content,
    refused: { code, reason },
    search: [],
    change: null,
    at: receivedAt,
    traced: false,
    line: inside({
      at: receivedAt,
      refused: "PAYLOAD_UNREADABLE",
      detail: reason,
      table,
      key: { id },
      soap: { sequence, content, given: Object.fromEntries(given) },
    }),
  };
}

/** A message already stored under this number in an earlier lane: it takes its number here too, and does nothing. */
export const sameAsBefore = ({ sequence, content }: Submitted, at: string): string =>
  inside({ at, soap: { sequence, content, known: true }, changes: [] });

/** The line of a message under the number it has in its lane. */
export const lineOf = (seq: number, inner: string): string => `{"seq":${seq},${inner}}`;

/** The members of a line that names no trace, with one; behind `at`, where every line of ours has it. */
export const withTrace = (inner: string, traceparent: string): string =>
  inner.replace(/^"at":"[^"]*",/, (at) => `${at}"trace":"${traceparent}",`);

const inside = (members: object): string => JSON.stringify(members).slice(1, -1);
/** The text of each part stands behind its length, so no two lists give the same bytes. */
const digest = (parts: readonly (string | null)[]): string =>
  hash("sha256", parts.map((part) => (part === null ? "-" : `${part.length}:${part}`)).join(), "base64url");
