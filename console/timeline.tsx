import type { ReactNode } from "react";
import { EVENTS, type EventKind } from "../src/ledger/events.ts";
import { tracePage } from "../src/observe/trace-link.ts";
import type { Event, TracedMessage } from "./api.ts";
import { when, who } from "./format.ts";
import { capturedAt } from "./payload-line.ts";
import { Prose } from "./prose.tsx";
import { RequestTrace } from "./request-trace.tsx";

const KIND_TONES: Readonly<Record<string, string>> = {
  loaded: "good",
  "loaded late": "good",
  dead: "bad",
  retrying: "warn",
  held: "warn",
};

/** Every stamp the message got, in order, each with what it means. */
export function Timeline({
  message: { events, payload, trace },
  traceLink,
}: {
  readonly message: TracedMessage;
  readonly traceLink: string | null;
}): ReactNode {
  const captured = capturedAt(payload.lines);
  return (
    <>
      <ol className="timeline">
        {captured !== null && (
          <li>
            <p>
              <strong>committed at the till</strong>
            </p>
            <p className="fine">
              <time dateTime={captured}>
                {Number.isNaN(Date.parse(captured)) ? captured : when(Date.parse(captured))}
              </time>{" "}
              by its own clock; captured in the same transaction
            </p>
          </li>
        )}
        {events.map((event) => (
          <Stamp key={event.id} event={event} traceLink={traceLink} />
        ))}
      </ol>
      {trace !== null && (
        <p className="fine trace">
          Trace <code>{trace}</code> {traceLink !== null && <a href={tracePage(traceLink, trace)}>Look at it</a>}
        </p>
      )}
    </>
  );
}

function Stamp({ event, traceLink }: { readonly event: Event; readonly traceLink: string | null }): ReactNode {
  const meaning = Object.hasOwn(EVENTS, event.kind) ? EVENTS[event.kind as EventKind] : null;
  return (
    <li className={KIND_TONES[event.kind] ?? ""}>
      <p>
        <strong>{event.kind}</strong>{" "}
        {event.from !== event.through && (
          <span className="faint">
            with № {event.from}–{event.through}
          </span>
        )}
      </p>
      {event.detail !== "" && (
        <p className="detail">
          <Prose text={event.detail} />
        </p>
      )}
      {meaning !== null && <p className="fine">{meaning}</p>}
      <p className="fine">
        <time>{when(event.at)}</time> · {who(event.actor)}
        <RequestTrace of={event.requestTrace} link={traceLink} />
      </p>
    </li>
  );
}
