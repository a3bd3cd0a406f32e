import { instant, type Instant } from "../base/clock.ts";
import type { LaneName, Seq, TerminalId, UpdateId } from "../base/ids.ts";
import type { Claim, LaneOutcome, Submission } from "../ledger/port.ts";
import type { UpdateEntry } from "../ledger/update-log.ts";
import type { LoadReport, TracedMessage } from "../load/port.ts";
import { contextOf, contextOfLine, newContext, type TraceContext } from "../observe/trace-context.ts";
import { untraced, type Tracing } from "../observe/tracing.ts";
import type { Random, Runtime } from "../base/runtime.ts";
import type { RequestSpan } from "./api/request-span.ts";

/**
 * The hub's part in a message's trace, told after the fact. A message's first span has the id that travels in its line, all
 * stations hang theirs below it, and each names the batch that carried it: so one message can be followed through batches of
 * thousands, and a batch shows whom it carried.
 */
export type Received = {
  readonly context: TraceContext;
  readonly terminal: TerminalId;
  readonly seq: Seq;
  readonly at: Instant;
  /** Nobody else tells of the message's first span: its sender does not trace. `under`: the request is its parent. */
  readonly first: "told by its sender" | "ours" | "ours, under the request";
};

/** Messages were stored: the request names them, and each of them names the request. */
export function tellReceived(tracing: Tracing, request: RequestSpan, messages: readonly Received[], to: Instant): void {
  for (const { context, terminal, seq, at, first } of messages) {
    if (!tracing.records(context)) continue;
    const attributes = { "waybill.terminal": terminal, "waybill.seq": seq };
    request.carried(context);
    if (first !== "told by its sender")
      tracing.span(
        { as: context, parent: first === "ours" ? null : request.context },
        { name: "capture", kind: "producer", from: at, to: at, attributes },
      );
    tracing.span(
      { parent: context },
      { name: "receive", kind: "consumer", from: request.from, to, attributes, links: [request.context] },
    );
  }
}

/** The same for messages that the hub numbered itself: where nobody named a trace for one, its first span is ours to tell, too. */
export function tellStored(
  { tracing = untraced, runtime }: { readonly tracing?: Tracing; readonly runtime: Pick<Runtime, "clock"> },
  request: RequestSpan,
  { terminal, body, lines }: Pick<Submission, "terminal" | "body" | "lines">,
  isOurs: (index: number) => boolean = () => true,
): void {
  if (!tracing.on) return;
  const messages = lines.flatMap(({ seq, at, end }, index): Received[] => {
    const context = contextOfLine(body.subarray(lines[index - 1]?.end ?? 0, end));
    const first = !isOurs(index) ? "told by its sender" : request.parent ? "ours, under the request" : "ours";
    return context ? [{ context, terminal, seq, at, first }] : [];
  });
  tellReceived(tracing, request, messages, runtime.clock.now());
}

export type LoadTimes = { readonly claimed: Instant; readonly settled: Instant };

/** A batch was settled: one span for it, with its own trace, and one for each message, with what became of it. */
export function tellLoaded(
  tracing: Tracing,
  random: Pick<Random, "bytes">,
  claims: readonly Claim[],
  report: LoadReport,
  times: LoadTimes,
): void {
  const { traces = [], outcomes } = report;
  if (traces.length === 0) return;
  const batch = newContext(random);
  const by = new Map(outcomes.map((outcome) => [outcome.lane, outcome]));
  const span = { from: times.claimed, to: times.settled };
  tracing.span(
    { as: batch },
    {
      ...span,
      name: "load batch",
      kind: "consumer",
      attributes: {
        "waybill.lanes": claims.length,
        "waybill.messages": traces.length,
        "waybill.changes": report.changes,
      },
      links: traces.map(({ context }) => context),
    },
  );
  for (const message of traces) {
    const told = fateOf(message, by);
    if (!told) continue;
    const { state, fault, attempts } = told;
    tracing.span(
      { parent: message.context },
      {
        ...span,
        name: "load",
        kind: "consumer",
        attributes: {
          "waybill.lane": message.lane,
          "waybill.seq": message.seq,
          "waybill.state": state,
          ...(attempts === null ? {} : { "waybill.attempts": attempts }),
        },
        links: [batch],
        ...(fault === null ? {} : { fault }),
      },
    );
  }
}

type Fate = { readonly state: string; readonly fault: string | null; readonly attempts: number | null };

/** Null for one that was claimed and not reached: it is claimed again, and tells of itself then. */
function fateOf({ lane, seq }: TracedMessage, outcomes: ReadonlyMap<LaneName, LaneOutcome>): Fate | null {
  const outcome = outcomes.get(lane);
  const exception = outcome?.exceptions.find((each) => each.seq === seq);
  if (exception)
    return { state: exception.state, fault: exception.fault ?? exception.state, attempts: exception.attempts };
  const loaded = outcome !== undefined && (seq <= outcome.loadedThrough || outcome.closed.includes(seq));
  return loaded ? { state: "loaded", fault: null, attempts: null } : null;
}

/** Changes of the centre entered the update log: each of its transactions begins here for everybody who hears of it. */
export function tellForwarded(
  tracing: Tracing,
  random: Pick<Random, "bytes">,
  entries: readonly UpdateEntry[],
  source: LaneName,
  span: { readonly from: Instant; readonly to: Instant },
): void {
  const traced = entries.flatMap((entry) => {
    const context = contextOf(entry.trace);
    return context && tracing.records(context) ? [{ entry, context }] : [];
  });
  if (traced.length === 0) return;
  const batch = newContext(random);
  const firsts = new Map(traced.map(({ entry, context }) => [entry.tx, { entry, context }]));
  const links = [...firsts.values()].map(({ context }) => context);
  const attributes = { "waybill.source": source, "waybill.entries": traced.length };
  tracing.span({ as: batch }, { ...span, name: "publish batch", kind: "producer", attributes, links });
  for (const { entry, context } of firsts.values())
    tracing.span(
      { as: context },
      { name: "capture", kind: "producer", from: entry.at, to: entry.at, attributes: { "waybill.tx": entry.tx } },
    );
  for (const { entry, context } of traced)
    tracing.span(
      { parent: context },
      { ...span, name: "publish", kind: "producer", attributes: aboutOf(entry), links: [batch] },
    );
}

const aboutOf = ({ audience, tx, count }: UpdateEntry): Record<string, string | number> => ({
  "waybill.audience": audience,
  "waybill.tx": tx,
  "waybill.changes": count,
});

/** Of one update that goes to ten thousand terminals, so many are told by the hub; what agents tell of themselves comes on top. */
const TERMINALS_TOLD = 20;
const UPDATES_REMEMBERED = 10_000;

/** One update on its way to one terminal. */
export type Arriving = { readonly id: UpdateId; readonly at: Instant; readonly trace: string | null };

/** Tells of updates given to terminals, or (SOAP) that a terminal says it has applied. */
export class DeliveryTeller {
  readonly #tracing: Tracing;
  readonly #name: "deliver" | "apply";
  readonly #told = new Map<number, number>();

  constructor(tracing: Tracing, name: "deliver" | "apply") {
    this.#tracing = tracing;
    this.#name = name;
  }

  tell(
    terminal: TerminalId,
    updates: Iterable<Arriving>,
    span: { readonly from: Instant; readonly to: Instant },
  ): void {
    if (!this.#tracing.on) return;
    for (const { id, at, trace } of updates) {
      const context = contextOf(trace);
      if (!context || !this.#tracing.records(context) || !this.#count(id)) continue;
      const attributes = { "waybill.terminal": terminal, "waybill.update": id };
      // Its terminal may have waited for news for half a minute: that is no part of this update's way.
      const from = instant(Math.max(span.from, at));
      this.#tracing.span(
        { parent: context },
        { name: this.#name, kind: this.#name === "deliver" ? "producer" : "consumer", from, to: span.to, attributes },
      );
    }
  }

  #count(id: number): boolean {
    const told = this.#told.get(id) ?? 0;
    const oldest = this.#told.keys().next();
    if (told === 0 && this.#told.size >= UPDATES_REMEMBERED && !oldest.done) this.#told.delete(oldest.value);
    this.#told.set(id, told + 1);
    return told < TERMINALS_TOLD;
  }
}
