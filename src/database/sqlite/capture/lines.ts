import { Buffer } from "node:buffer";
import { seq, type Seq } from "../../../base/ids.ts";
import { chainNext } from "../../../message/chain.ts";
import type { PackedLine } from "../../port.ts";
import { isoOfJulian, type Encoder, type OutboxRow } from "./encode.ts";

/** Writes the lines of one message, cut into parts above `partBytes`, and carries the chain over them. */
export class LineWriter {
  readonly lines: PackedLine[] = [];
  readonly #seq: Seq;
  readonly #trace: string;
  readonly #partBytes: number;
  #part: number;
  #chain: Uint8Array;
  #changes: string[] = [];
  #bytes = 0;
  /** Julian day of the last change; it is put into words once a line. */
  #at = 0;

  /** @param part the parts of this message that were written before, 0 for none; `chain` is the chain after them */
  constructor(
    of: { readonly seq: Seq; readonly part: number; readonly chain: Uint8Array; readonly trace: string },
    partBytes: number,
  ) {
    this.#seq = of.seq;
    this.#part = of.part;
    this.#chain = of.chain;
    this.#trace = of.trace;
    this.#partBytes = partBytes;
  }

  get part(): number {
    return this.#part;
  }
  get chain(): Uint8Array {
    return this.#chain;
  }

  add(change: string, at: number): void {
    const bytes = Buffer.byteLength(change) + 1;
    if (!this.#fits(bytes)) this.#writePart(true);
    this.#push(change, bytes, at);
  }

  /** The same where the message may as well end before this change: false when the line is full, and it was not taken. */
  addIfFits(change: string, at: number): boolean {
    const bytes = Buffer.byteLength(change) + 1;
    if (!this.#fits(bytes)) return false;
    this.#push(change, bytes, at);
    return true;
  }

  /** A change larger than a part is a part alone. */
  #fits(bytes: number): boolean {
    return this.#changes.length === 0 || this.#bytes + bytes <= this.#partBytes;
  }
  #push(change: string, bytes: number, at: number): void {
    this.#changes.push(change);
    this.#bytes += bytes;
    this.#at = at;
  }

  /** What was added goes into a part; more follow. */
  pause(): void {
    if (this.#changes.length > 0) this.#writePart(true);
  }

  /** Ends the message: one line without a part when it is short enough, else its last part. */
  end(): void {
    if (this.#part > 0) this.#writePart(false);
    else this.#write("", false);
  }

  #writePart(more: boolean): void {
    this.#part += 1;
    this.#write(`"part":${this.#part},"more":${more},`, more);
  }

  #write(part: string, more: boolean): void {
    const at = isoOfJulian(this.#at);
    const bytes = Buffer.from(
      `{"seq":${this.#seq},${part}"at":"${at}","trace":"${this.#trace}","changes":[${this.#changes.join(",")}]}`,
    );
    this.#chain = chainNext(this.#chain, bytes);
    this.lines.push({
      seq: this.#seq,
      part: this.#part,
      more,
      bytes,
      chain: this.#chain,
      changes: this.#changes.length,
      at,
    });
    this.#changes = [];
    this.#bytes = 0;
  }
}

/** Stands for a change with a value above the limit: a message of its own that the hub makes a dead letter of. */
export function refusedLine(
  number: number,
  row: OutboxRow,
  encoder: Encoder,
  chain: Uint8Array,
  trace: string,
  valueBytes: number,
): PackedLine {
  const at = isoOfJulian(row.at);
  const key = encoder.key(row);
  // A key of that size cannot be carried either; the message then names the table alone.
  const shown = Buffer.byteLength(key) > valueBytes ? "{}" : key;
  const text = `{"seq":${number},"at":"${at}","trace":"${trace}","refused":"VALUE_TOO_LARGE","table":${encoder.table(row)},"key":${shown}}`;
  const bytes = Buffer.from(text);
  return { seq: seq(number), part: 0, more: false, bytes, chain: chainNext(chain, bytes), changes: 1, at };
}

/** The same line under another number. Every line of ours begins with its number. */
export function renumbered(line: PackedLine, to: Seq, chain: Uint8Array): PackedLine {
  const head = Buffer.from(`{"seq":${to}`);
  const bytes = Buffer.concat([head, line.bytes.subarray(`{"seq":${line.seq}`.length)]);
  return { ...line, seq: to, bytes, chain: chainNext(chain, bytes) };
}
