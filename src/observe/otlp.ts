import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, TraceFlags, type Link } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { ExportResultCode } from "@opentelemetry/core";
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  TracerProvider,
  type IdGenerator,
  type SpanExporter,
} from "@opentelemetry/sdk-trace";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import type { Instant } from "../base/clock.ts";
import type { Random } from "../base/runtime.ts";
import { newContext, type TraceContext } from "./trace-context.ts";
import {
  MOST_LINKS,
  recordsBy,
  TRACES_CLOSE_MS,
  type Tracing,
  type TracingParts,
  type TracingSettings,
} from "./tracing.ts";

/** Spans that may wait to be sent, about a kilobyte each; beyond that they are dropped. */
const MOST_WAITING = 16_384;
const SEND_EVERY_MS = 1_000;
const SEND_AT_ONCE = 512;
const SEND_TIMEOUT_MS = 5_000;

const KINDS = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;

/** Through the OpenTelemetry API to its SDK, and from there by OTLP. Nothing is registered globally: an application that embeds us keeps its own. */
export function otlpTracing(url: string, settings: TracingSettings, parts: TracingParts): Tracing {
  const ids = new GivenIds(parts.runtime.random);
  const provider = new TracerProvider({
    idGenerator: ids,
    sampler: new AlwaysOnSampler(),
    resource: defaultResource().merge(
      resourceFromAttributes({ "service.name": parts.service, "service.instance.id": parts.instance }),
    ),
    spanLimits: { linkCountLimit: MOST_LINKS },
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: told(
          new OTLPTraceExporter({ url, headers: settings.headers, timeoutMillis: SEND_TIMEOUT_MS }),
          parts,
        ),
        maxQueueSize: MOST_WAITING,
        maxExportBatchSize: SEND_AT_ONCE,
        scheduledDelayMillis: SEND_EVERY_MS,
        exportTimeoutMillis: SEND_TIMEOUT_MS,
      }),
    ],
  });
  const tracer = provider.getTracer("waybill");
  const records = recordsBy(settings.ratio);
  return {
    on: true,
    records,
    span: (place, { name, kind, from, to, attributes = {}, links = [], fault }) => {
      const own = "as" in place ? place.as : null;
      const parent = place.parent ?? null;
      if (!records(own ?? (parent as TraceContext))) return;
      ids.next = own;
      const span = tracer.startSpan(
        name,
        { kind: KINDS[kind], startTime: timeOf(from), attributes, links: links.slice(0, MOST_LINKS).map(linkTo) },
        parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, known(parent)),
      );
      if (fault !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: fault });
      span.end(timeOf(Math.max(from, to) as Instant));
      parts.metrics.add("waybill_spans_total", 1, { fate: "made" });
    },
    close: async () => {
      const enough = new AbortController();
      await Promise.race([
        provider.shutdown().catch(() => undefined),
        parts.runtime.timers.sleep(TRACES_CLOSE_MS, enough.signal),
      ]);
      enough.abort();
    },
  };
}

const known = ({ traceId, spanId }: TraceContext): Parameters<typeof trace.setSpanContext>[1] => ({
  traceId,
  spanId,
  traceFlags: TraceFlags.SAMPLED,
  isRemote: true,
});
const linkTo = (to: TraceContext): Link => ({ context: known(to) });

/** A message's first span has the id that travels with the message; all others get new ones. Starting a span asks at once, so one place is enough. */
class GivenIds implements IdGenerator {
  next: TraceContext | null = null;
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  // The SDK asks for the span's id first, and for the trace's only when there is no parent.
  generateSpanId(): string {
    return (this.next ??= newContext(this.#random)).spanId;
  }
  generateTraceId(): string {
    return (this.next ??= newContext(this.#random)).traceId;
  }
}

/** Counts what became of the spans, and says it once when the collector goes away and once when it is back. */
function told(exporter: SpanExporter, { log, metrics }: TracingParts): SpanExporter {
  let failing = false;
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        const sent = result.code === ExportResultCode.SUCCESS;
        metrics.add("waybill_spans_total", spans.length, { fate: sent ? "sent" : "failed" });
        if (!sent && !failing) log.warn({ error: result.error, spans: spans.length }, "traces.unsent");
        if (sent && failing) log.info({}, "traces.sent-again");
        failing = !sent;
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
  };
}

/** The SDK's own form of a time: it documents a bare number as either one since 1970 or one since its start, by size. */
const timeOf = (at: Instant): [seconds: number, nanoseconds: number] => [
  Math.floor(at / 1_000),
  (at % 1_000) * 1_000_000,
];
