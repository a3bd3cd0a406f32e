import { untraced, type Tracing, type TracingParts } from "./tracing.ts";

/** The tools that send spans are read from disk only when there is an address to send them to. */
export async function openTracing(parts: TracingParts): Promise<Tracing> {
  const url = parts.settings?.url;
  if (parts.settings === undefined || url === undefined) return untraced;
  const { otlpTracing } = await import("./otlp.ts");
  return otlpTracing(url, parts.settings, parts);
}
