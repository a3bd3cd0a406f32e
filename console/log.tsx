import type { ReactNode } from "react";
import { EVENTS, type EventKind } from "../src/ledger/events.ts";
import { query, type Event } from "./api.ts";
import { when, who } from "./format.ts";
import { useBeat } from "./live.tsx";
import { furtherBack, PagedList } from "./paged-list.tsx";
import { usePages, type Pages } from "./pages.ts";
import { to } from "./place.ts";
import { Prose } from "./prose.tsx";
import { RequestTrace } from "./request-trace.tsx";
import { Card, Empty, Failure } from "./ui.tsx";

export type LogFilter = {
  readonly terminal?: string | null;
  readonly kind?: string | null;
  readonly actor?: string | null;
  readonly since?: string | null;
};

/** `traceLink`: where traces are looked at, with `{trace}` in it. */
type LogEvent = Event & { readonly traceLink: string | null };
type EventsAnswer = {
  readonly events: readonly Event[];
  readonly next: number | null;
  readonly traceLink: string | null;
};

/** The audit trail, newest first, as far back as somebody looks: a page sees a bounded stretch of it, so one may be empty. */
export function useLog(filter: LogFilter, limit: number): Pages<LogEvent> {
  return usePages<EventsAnswer, LogEvent, number>(
    query({ ...filter, limit }),
    useBeat(2),
    (address, before) => `/api/events${address}${before === null ? "" : `&before=${before}`}`,
    ({ events, next, traceLink }) => ({ rows: events.map((event) => ({ ...event, traceLink })), next }),
  );
}

export function Log({
  title,
  filter,
  empty,
}: {
  readonly title?: string;
  readonly filter: LogFilter;
  readonly empty: string;
}): ReactNode {
  const pages = useLog(filter, 200);
  return (
    <>
      {pages.error !== null && <Failure error={pages.error} again={pages.again} />}
      <Card flush {...(title === undefined ? {} : { title })} aside={furtherBack(pages)}>
        <PagedList
          pages={pages}
          empty={<Empty title={empty}>{pages.more ? "There may be something further back." : ""}</Empty>}
          least={200}
          label="Events"
          rowHeight={52}
          keyOf={(event) => String(event.id)}
          render={(event) => <EventLine event={event} />}
        />
      </Card>
    </>
  );
}

function EventLine({ event }: { readonly event: LogEvent }): ReactNode {
  const meaning = Object.hasOwn(EVENTS, event.kind) ? EVENTS[event.kind as EventKind] : "";
  const [terminal = "", epoch = ""] = (event.lane ?? "").split("/");
  const numbers = event.from === event.through ? String(event.from) : `${event.from}–${event.through}`;
  return (
    <div className="row event-grid">
      <time className="n">{when(event.at)}</time>
      <strong>{event.kind}</strong>
      <span className="clip">
        {event.lane !== null && event.from > 0 && (
          <a href={to("message", terminal, epoch, String(event.from))}>
            {terminal} № {numbers}
          </a>
        )}
        {event.lane !== null && event.from === 0 && <a href={to("terminals", terminal)}>{terminal}</a>}
        <small title={event.detail || meaning}>
          <Prose text={event.detail || meaning} />
        </small>
      </span>
      <span className="faint clip" title={event.actor}>
        {who(event.actor)}
        <RequestTrace of={event.requestTrace} link={event.traceLink} />
      </span>
    </div>
  );
}
