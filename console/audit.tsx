import type { ReactNode } from "react";
import { EVENTS, type EventKind } from "../src/ledger/events.ts";
import type { Event } from "./api.ts";
import { when } from "./format.ts";
import { useBeat } from "./live.tsx";
import { usePages } from "./pages.ts";
import { to } from "./place.ts";
import { Card, Empty, Failure, Page, Waiting } from "./ui.tsx";
import { VirtualList } from "./virtual-list.tsx";

const PAGE = 200;

export function Audit(): ReactNode {
  const pages = usePages<{ events: readonly Event[] }, Event, number>(
    `?limit=${PAGE}`,
    useBeat(2),
    (address, before) => `/api/events${address}${before === null ? "" : `&before=${before}`}`,
    ({ events }) => ({ rows: events, next: events.length < PAGE ? null : (events.at(-1)?.id ?? null) }),
  );
  return (
    <Page title="Audit" lead="Everything that happened, newest first, and who did it.">
      {pages.error !== null && <Failure error={pages.error} again={pages.again} />}
      <Card flush>
        {pages.loading ? (
          <Waiting />
        ) : pages.rows.length === 0 ? (
          <Empty title="Nothing has happened yet." />
        ) : (
          <VirtualList
            label="Events"
            rows={pages.rows}
            rowHeight={52}
            keyOf={(event) => String(event.id)}
            render={(event) => <EventLine event={event} />}
            onEnd={pages.loadMore}
          />
        )}
      </Card>
    </Page>
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
