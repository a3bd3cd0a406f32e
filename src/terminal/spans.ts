import { instantOf, type Instant } from "../base/clock.ts";
import type { Random } from "../base/runtime.ts";
import type { PackedLine } from "../database/port.ts";
import { contextOf, contextOfLine, newContext, type TraceContext } from "../observe/trace-context.ts";
import type { Tracing } from "../observe/tracing.ts";
import type { IncomingUpdate } from "../wire/updates.ts";

/** A request on its way: the hub's own span of it hangs below. */
export type SubmitSpan = { readonly context: TraceContext; readonly from: Instant };

export const beginSubmit = (random: Pick<Random, "bytes">, from: Instant): SubmitSpan => ({
  context: newContext(random),
  from,
});

/**
 * Lines were stored by the hub. Each message that is complete with them tells of its beginning, under the id that travels in
 * its line, and of the way to the hub.
 */
export function tellSubmitted(
  tracing: Tracing,
  { context: batch, from }: SubmitSpan,
  lines: readonly PackedLine[],
  to: Instant,
): void {
  const messages = lines.flatMap(({ seq, more, at, bytes }) => {
    const context = more ? null : contextOfLine(bytes);
    return context && tracing.records(context) ? [{ seq, context, at: instantOf(at) ?? from }] : [];
  });
  if (messages.length === 0) return;
  const links = messages.map(({ context }) => context);
  const attributes = { "waybill.messages": messages.length };
  tracing.span({ as: batch }, { name: "submit batch", kind: "client", from, to, attributes, links });
  for (const { seq, context, at } of messages) {
    const about = { "waybill.seq": seq };
    tracing.span({ as: context }, { name: "capture", kind: "producer", from: at, to: at, attributes: about });
    tracing.span({ parent: context }, { name: "submit", kind: "client", from, to, attributes: about, links: [batch] });
  }
}

/** Updates took effect here, or `refused` some of their rows did not. */
export function tellApplied(
  tracing: Tracing,
  updates: readonly IncomingUpdate[],
  refused: ReadonlyMap<number, string>,
  span: { readonly from: Instant; readonly to: Instant },
): void {
  for (const { id, trace, changes } of updates) {
    const context = contextOf(trace);
    if (!context || !tracing.records(context)) continue;
    const fault = refused.get(id);
    tracing.span(
      { parent: context },
      {
        name: "apply",
        kind: "consumer",
        from: span.from,
        to: span.to,
        attributes: { "waybill.update": id, "waybill.changes": changes.length },
        ...(fault === undefined ? {} : { fault }),
      },
    );
  }
}
