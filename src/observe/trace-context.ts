import { Buffer } from "node:buffer";
import type { Random } from "../base/runtime.ts";

/** A place in a trace (https://www.w3.org/TR/trace-context/): what a span further on names as its parent, or links to. */
export type TraceContext = {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
};

const TRACEPARENT = /^00-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-[0-9a-f]{2}$/;
/** Every line of ours has its trace near its beginning; a value of the application's own can only stand behind it. */
const IN_LINE = /^\{"seq":\d+,(?:"part":\d+,"more":(?:true|false),)?"at":"[^"]*","trace":"([^"]*)"/;
const LINE_HEAD = 256;

/** Null for what is no traceparent, and for the all-zero ids that the standard calls invalid. */
export function contextOf(traceparent: string | null | undefined): TraceContext | null {
  const [, traceId, spanId] = TRACEPARENT.exec(traceparent ?? "") ?? [];
  return traceId === undefined || spanId === undefined ? null : { traceId, spanId };
}

/** The flag says "sampled": whoever comes next may record it. Whether anybody does is for each station to decide. */
export const traceparentOf = ({ traceId, spanId }: TraceContext): string => `00-${traceId}-${spanId}-01`;

/** A span of its own: within the trace `within`, or (null) in a new one. */
export function newContext(random: Pick<Random, "bytes">, within: TraceContext | null = null): TraceContext {
  const hex = Buffer.from(random.bytes(within ? 8 : 24)).toString("hex");
  return { traceId: within?.traceId ?? hex.slice(16), spanId: hex.slice(0, 16) };
}

/** Where a message's way through Waybill begins: written into its line when it is packed. */
export const newTraceparent = (random: Pick<Random, "bytes">): string => traceparentOf(newContext(random));

/** The context in a stored line; null when it names none. Costs little for lines of ours, a parse for those of others. */
export function contextOfLine(line: Uint8Array): TraceContext | null {
  const bytes = Buffer.from(line.buffer, line.byteOffset, line.byteLength);
  const [, near] = IN_LINE.exec(bytes.toString("latin1", 0, LINE_HEAD)) ?? [];
  if (near !== undefined) return contextOf(near);
  try {
    const { trace } = JSON.parse(bytes.toString("utf8")) as { readonly trace?: unknown };
    return typeof trace === "string" ? contextOf(trace) : null;
  } catch {
    return null; // a line that nobody can read is in no trace
  }
}
