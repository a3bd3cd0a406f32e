import { contextOf } from "../../observe/trace-context.ts";
import { isoOf } from "../../base/clock.ts";
import { updateId, type UpdateId } from "../../base/ids.ts";
import type { Change, Row } from "../../message/change.ts";
import type { OutgoingUpdate } from "../updates.ts";
import type { Reply } from "./terminal-sync.ts";

/**
 * A place in the update log as SOAP clients know it. An entry of ours may hold many rows' changes and the contract's updates
 * are one row each, so a reply may end inside an entry: `part` > 0 is behind that many changes of entry `id`; 0: behind all of it.
 */
export type Position = { readonly id: UpdateId; readonly part: number };

export const cursorOf = ({ id, part }: Position): string => (part === 0 ? String(id) : `${id}.${part}`);
/** Null when it is no cursor of ours. */
export function positionOf(cursor: string): Position | null {
  const match = /^(\d{1,15})(?:\.([1-9]\d{0,8}))?$/.exec(cursor);
  return match ? { id: updateId(match[1] ?? ""), part: Number(match[2] ?? 0) } : null;
}
/** Behind which entry the log must be read to go on from here. */
export const readAfter = ({ id, part }: Position): UpdateId => (part === 0 ? id : updateId(id - 1));
export const isBehind = (a: Position, b: Position): boolean => {
  const whole = (part: number): number => (part === 0 ? Number.MAX_SAFE_INTEGER : part);
  return a.id < b.id || (a.id === b.id && whole(a.part) < whole(b.part));
};

/** Both ends of what one pull gave: (after, through]. */
export type BatchRange = { readonly after: Position; readonly through: Position };
export const batchIdOf = ({ after, through }: BatchRange): string => `b${cursorOf(after)}-${cursorOf(through)}`;
export function batchOf(batchId: string): BatchRange | null {
  const [after, through] = (/^b([\d.]+)-([\d.]+)$/.exec(batchId)?.slice(1) ?? []).map(positionOf);
  return after && through ? { after, through } : null;
}

/** One change of an entry as the contract's Update. */
export type Single = {
  readonly entry: UpdateId;
  readonly updateId: string;
  /** Where a terminal is that has taken it. */
  readonly position: Position;
  readonly update: Reply<"Update">;
};

/** The changes of an entry, one update each, from behind `after` on. */
export function singlesOf(entry: OutgoingUpdate, after: Position): readonly Single[] {
  const bytes = Buffer.from(entry.changes.buffer, entry.changes.byteOffset, entry.changes.byteLength);
  const changes = JSON.parse(bytes.toString("utf8")) as readonly Change[];
  return changes
    .map((change, index) => single(entry, change, index + 1, changes.length))
    .filter(({ position }) => isBehind(after, position));
}

function single(entry: OutgoingUpdate, change: Change, part: number, parts: number): Single {
  const id = parts === 1 ? String(entry.id) : `${entry.id}.${part}`;
  return {
    entry: entry.id,
    updateId: id,
    position: { id: entry.id, part: part === parts ? 0 : part },
    update: {
      updateId: id,
      entity: change.table,
      operation: change.op,
      key: keyText(change.key),
      version: BigInt(entry.id),
      occurredAt: isoOf(entry.at),
      contentType: "application/json",
      payload: change.row === undefined ? null : jsonText(change.row),
      ...(entry.trace !== null && contextOf(entry.trace) ? { traceParent: entry.trace } : {}),
    },
  };
}

/** A key of one column is its value; of several, the JSON of them. */
function keyText(key: Row): string {
  const [value, ...more] = Object.values(key);
  return more.length === 0 && value !== undefined && (typeof value === "string" || typeof value === "number")
    ? String(value)
    : jsonText(key);
}

/** JSON of letters that XML can hold: JSON escapes control characters itself, but not the two that are no characters. */
const jsonText = (value: unknown): string =>
  JSON.stringify(value).replace(/[\ufffe\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16)}`);
