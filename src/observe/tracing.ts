import { z } from "zod";
import type { Instant } from "../base/clock.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { TraceContext } from "./trace-context.ts";

/** A piece of work, told when it is over. Times by the clock of the station that tells it. */
export type SpanFacts = {
  readonly name: string;
  readonly kind: "internal" | "server" | "client" | "producer" | "consumer";
  readonly from: Instant;
  readonly to: Instant;
  readonly attributes?: Readonly<Record<string, string | number | boolean>>;
  /** A batch names the messages it carried, a message the batch that carried it. At most `MOST_LINKS` are kept. */
  readonly links?: readonly TraceContext[];
  /** Why it did not go well: a fault's code. */
  readonly fault?: string;
};
/** Which span it is: one whose id is known already (it was sent along), or a new one below `parent`. */
export type SpanPlace =
  | { readonly as: TraceContext; readonly parent?: TraceContext | null }
  | { readonly parent: TraceContext };

/**
 * Where spans go. Told after the fact and never waited for: a collector that is away costs spans, not messages. Whoever
 * would work to make spans asks `on` first, so that nothing is spent when nobody listens.
 */
export interface Tracing {
  readonly on: boolean;
  /** Whether this trace is recorded: by its id alone, so that every station with the same ratio decides the same. */
  records(context: TraceContext): boolean;
  /** Tells of a span, if its trace is recorded. Never throws. */
  span(place: SpanPlace, facts: SpanFacts): void;
  /** Sends what waits, for at most `TRACES_CLOSE_MS`. */
  close(): Promise<void>;
}
export const MOST_LINKS = 128;
export const TRACES_CLOSE_MS = 2_000;

export const untraced: Tracing = {
  on: false,
  records: () => false,
  span: () => undefined,
  close: () => Promise.resolve(),
};

/** The settings of hub and agent alike. */
export const tracingConfig = z.strictObject({
  url: z
    .url({ protocol: /^https?$/, error: 'must be an address such as "http://localhost:4318/v1/traces"' })
    .optional()
    .describe("where spans are sent by OTLP over HTTP (Jaeger, Tempo, any collector); without it nothing is traced"),
  headers: z
    .record(z.string().min(1), z.string())
    .default({})
    .describe('headers of those requests, such as {"authorization": "${OTLP_TOKEN}"}'),
  ratio: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe("which part of all traces is sent; give hub and terminals the same, so that no trace has holes"),
});
export type TracingSettings = z.output<typeof tracingConfig>;

/** Whether a trace is among the share that is recorded: by the last 32 bits of its id, which the standard wants to be random. */
export const recordsBy =
  (ratio: number) =>
  ({ traceId }: TraceContext): boolean =>
    Number.parseInt(traceId.slice(-8), 16) / 0x1_0000_0000 < ratio;

export type TracingParts = {
  readonly settings: TracingSettings | undefined;
  /** `waybill-hub` or `waybill-terminal`, and which one. */
  readonly service: string;
  readonly instance: string;
  readonly runtime: Pick<Runtime, "timers" | "random">;
  readonly log: Log;
  readonly metrics: Metrics;
};
