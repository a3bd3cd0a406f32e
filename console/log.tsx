import type { ReactNode } from "react";
import { EVENTS, type EventKind } from "../src/ledger/events.ts";
import { query, type Event } from "./api.ts";
import { when } from "./format.ts";
import { useBeat } from "./live.tsx";
import { usePages, type Pages } from "./pages.ts";
import { to } from "./place.ts";
import { Card, Empty, Failure, Waiting } from "./ui.tsx";
import { VirtualList } from "./virtual-list.tsx";

export type LogFilter = {
  readonly terminal?: string | null;
  readonly kind?: string | null;
  readonly actor?: string | null;
  readonly since?: string | null;
};

/** The audit trail, newest first, as far back as somebody looks: a page sees a bounded stretch of it, so one may be empty. */
export function useLog(filter: LogFilter, limit: number): Pages<Event> {
  return usePages<{ events: readonly Event[]; next: number | null }, Event, number>(
    query({ ...filter, limit }),
    useBeat(2),
    (address, before) => `/api/events${address}${before === null ? "" : `&before=${before}`}`,
    ({ events, next }) => ({ rows: events, next }),
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
      <Card
        flush
        {...(title === undefined ? {} : { title })}
        aside={
          pages.more && (
            <button type="button" onClick={pages.loadMore}>
              Look further back
            </button>
          )
        }
      >
        {pages.loading ? (
          <Waiting />
        ) : pages.rows.length === 0 ? (
          <Empty title={empty}>{pages.more ? "There may be something further back." : ""}</Empty>
        ) : (
          <VirtualList
            label="Events"
            rows={pages.rows}
            rowHeight={52}
            keyOf={(event) => String(event.id)}
            render={(event) => <EventLine event={event} />}
            onEnd={pages.rows.length < 200 ? undefined : pages.loadMore}
          />
        )}
      </Card>
    </>
  );
}

function EventLine({ event }: { readonly event: Event }): ReactNode {
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
        <small title={event.detail || meaning}>{event.detail || meaning}</small>
      </span>
      <span className="faint clip">{event.actor}</span>
    </div>
  );
}
