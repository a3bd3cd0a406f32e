import type { Instant } from "../../base/clock.ts";
import type { Act, Actor } from "../../base/ids.ts";
import type { Runtime } from "../../base/runtime.ts";
import { contextOf, newContext, traceparentOf, type TraceContext } from "../../observe/trace-context.ts";
import type { Tracing } from "../../observe/tracing.ts";

/** A request's place in a trace: the caller's, when it came with a `traceparent`, else one of its own. Its trace id stands in the log and in the answer. */
export class RequestSpan {
  readonly context: TraceContext;
  readonly parent: TraceContext | null;
  readonly from: Instant;
  readonly #links: TraceContext[] = [];
  #named = false;

  constructor(traceparent: string | undefined, { clock, random }: Pick<Runtime, "clock" | "random">) {
    this.parent = contextOf(traceparent);
    this.context = newContext(random, this.parent);
    this.from = clock.now();
  }

  /** 32 hexadecimal digits. */
  get trace(): string {
    return this.context.traceId;
  }

  /** What others will name as their parent, in an update or a message: then it must be told itself, too. */
  name(): string {
    this.#named = true;
    return traceparentOf(this.context);
  }

  /** The caller, as the audit trail names an act of theirs. */
  by(actor: Actor): Act {
    return { actor, requestTrace: this.trace };
  }

  /** The request carried a message of this trace. */
  carried(message: TraceContext): void {
    this.#links.push(message);
  }

  /** Tells of it, if it belongs to somebody's trace or carried something: a poll without news is nobody's business. */
  end(tracing: Tracing, method: string, route: string, status: number, to: Instant): void {
    if (!tracing.on || (this.parent === null && !this.#named && this.#links.length === 0)) return;
    tracing.span(
      { as: this.context, parent: this.parent },
      {
        name: `${method} ${route}`,
        kind: "server",
        from: this.from,
        to,
        attributes: { "http.request.method": method, "http.route": route, "http.response.status_code": status },
        links: this.#links,
        ...(status >= 500 ? { fault: String(status) } : {}),
      },
    );
  }
}
