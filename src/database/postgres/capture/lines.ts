import { Buffer } from "node:buffer";
import { seq, type Seq } from "../../../base/ids.ts";
import type { Random } from "../../../base/runtime.ts";
import { chainNext } from "../../../message/chain.ts";
import { newTraceparent } from "../../../observe/trace-context.ts";
import type { PackedLine } from "../../port.ts";

/**
 * Writes the lines of one message after another, cut into parts above `partBytes`, and carries the chain over them. A page of
 * rows as they are is nobody's transaction: it becomes several messages. In parts it could neither go ahead of what waits for its
 * rows nor be loaded together with it.
 */
export class LineWriter {
  readonly #partBytes: number;
  readonly #random: Random;
  #lines: PackedLine[] = [];
  #seq: number;
  #chain: Uint8Array;
  #trace = "";
  #part = 0;
  #changes: string[] = [];
  #bytes = 0;
  #at = "";
  /** Nothing but rows as they are, so far. */
  #isPage = true;

  /** @param after the last message that was written, and the chain after it */
  constructor(after: { readonly seq: Seq; readonly chain: Uint8Array }, partBytes: number, random: Random) {
    this.#seq = after.seq;
    this.#chain = after.chain;
    this.#partBytes = partBytes;
    this.#random = random;
  }

  /** The number of the last complete message, and the chain after all lines. */
  get seq(): Seq {
    return seq(this.#seq);
  }
  get chain(): Uint8Array {
    return this.#chain;
  }
  /** The lines since the last call, to be stored. */
  take(): readonly PackedLine[] {
    const lines = this.#lines;
    this.#lines = [];
    return lines;
  }

  /** @param isAsItIs a resync put it there, not the application: it stands for itself */
  add(change: string, at: string, isAsItIs = false): void {
    const bytes = Buffer.byteLength(change) + 1;
    if (this.#changes.length > 0 && this.#bytes + bytes > this.#partBytes) {
      if (this.#isPage && isAsItIs) this.end();
      else this.#writePart(true);
    }
    if (this.#trace === "") this.#trace = newTraceparent(this.#random);
    this.#isPage &&= isAsItIs;
    this.#changes.push(change);
    this.#bytes += bytes;
    this.#at = at;
  }

  /** Ends the message: one line without a part when it is short enough, else its last part. Nothing was added: no message. */
  end(): void {
    if (this.#trace === "") return;
    if (this.#part > 0) this.#writePart(false);
    else this.#write("", false, this.#changes.length, `"changes":[${this.#changes.join(",")}]`);
    this.#next();
  }

  /** Stands for a change with a value above the limit: a message of its own that the hub makes a dead letter of. */
  refuse(table: string, key: string, at: string): void {
    this.#trace = newTraceparent(this.#random);
    this.#at = at;
    this.#write("", false, 1, `"refused":"VALUE_TOO_LARGE","table":${table},"key":${key}`);
    this.#next();
  }

  #next(): void {
    this.#seq += 1;
    this.#part = 0;
    this.#trace = "";
    this.#isPage = true;
  }
  #writePart(more: boolean): void {
    this.#part += 1;
    const changes = `"changes":[${this.#changes.join(",")}]`;
    this.#write(`"part":${this.#part},"more":${more},`, more, this.#changes.length, changes);
  }
  #write(part: string, more: boolean, changes: number, rest: string): void {
    const number = seq(this.#seq + 1);
    const bytes = Buffer.from(`{"seq":${number},${part}"at":"${this.#at}","trace":"${this.#trace}",${rest}}`);
    this.#chain = chainNext(this.#chain, bytes);
    this.#lines.push({ seq: number, part: this.#part, more, bytes, chain: this.#chain, changes, at: this.#at });
    this.#changes = [];
    this.#bytes = 0;
  }
}

/** The same line under another number. Every line of ours begins with its number. */
export function renumbered(line: PackedLine, to: Seq, chain: Uint8Array): PackedLine {
  const head = Buffer.from(`{"seq":${to}`);
  const bytes = Buffer.concat([head, line.bytes.subarray(`{"seq":${line.seq}`.length)]);
  return { ...line, seq: to, bytes, chain: chainNext(chain, bytes) };
}
