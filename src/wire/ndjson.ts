import { isUtf8 } from "node:buffer";
import { WaybillError } from "../base/errors.ts";

/**
 * NDJSON as both ends speak it: UTF-8, one JSON value a line, every line ends in "\n" (the last one too: a missing
 * newline is how a body that was cut off shows itself).
 */
const NEWLINE = 0x0a;

/** @param path the member at fault, as `changes[2].row.total`; empty for the whole line */
export function lineInvalid(line: number, path: string, what: string): WaybillError {
  const where = path === "" ? `line ${line}` : `line ${line}, ${path}`;
  return new WaybillError("LINE_INVALID", `${where}: ${what}`, { facts: { line, path } });
}

/** Lines of a body by offset, so that a line's bytes are never copied to be counted, hashed or stored. */
export class Lines {
  readonly bytes: Buffer;
  /** `ends[i]` is the offset just behind the newline of line i (from 0). */
  readonly ends: readonly number[];

  /**
   * @param limit lines behind the header line
   * @throws LINE_INVALID for bytes that are not UTF-8 and for a last line without newline; TOO_LARGE above `limit`
   */
  constructor(body: Uint8Array, limit: number) {
    this.bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    const ends: number[] = [];
    for (let at = 0; at < this.bytes.byteLength;) {
      const newline = this.bytes.indexOf(NEWLINE, at);
      if (newline < 0) throw lineInvalid(ends.length + 1, "", "does not end in a newline; was the body cut off?");
      at = newline + 1;
      ends.push(at);
      if (ends.length > limit + 1)
        throw new WaybillError("TOO_LARGE", `more than ${limit} lines in one body`, { facts: { limit } });
    }
    this.ends = ends;
    // One pass over the whole body; only a body that fails it is searched for the line at fault.
    if (!isUtf8(this.bytes)) {
      const at = ends.findIndex((_, index) => !isUtf8(this.at(index)));
      throw lineInvalid(at + 1, "", "is not UTF-8");
    }
  }

  get count(): number {
    return this.ends.length;
  }
  /** The bytes of line `index` without its newline. */
  at(index: number): Buffer {
    return this.bytes.subarray(index === 0 ? 0 : this.ends[index - 1], (this.ends[index] ?? 0) - 1);
  }
  text(index: number): string {
    return this.bytes.toString("utf8", index === 0 ? 0 : this.ends[index - 1], (this.ends[index] ?? 0) - 1);
  }
  /** @throws LINE_INVALID */
  json(index: number): unknown {
    return parseLine(this.text(index), index + 1);
  }
}

/** @throws LINE_INVALID. Duplicate members: the last one counts, here and wherever the line is read again. */
export function parseLine(text: string, line: number): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw lineInvalid(line, "", "is not JSON");
  }
}

const newline = Buffer.from("\n");

/** The lines with a newline behind each, as one body. */
export function joinLines(lines: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array[] = [];
  for (const line of lines) pieces.push(line, newline);
  return Buffer.concat(pieces);
}

/**
 * `{"a":1,"<name>":<json>}`: a member whose JSON is at hand as bytes is put in as it is, neither parsed nor copied through a
 * string. `head` must have at least one member.
 */
export function withMember(head: object, name: string, json: Uint8Array): Uint8Array {
  const opening = JSON.stringify(head).slice(0, -1);
  return Buffer.concat([Buffer.from(`${opening},${JSON.stringify(name)}:`), json, Buffer.from("}")]);
}
