import { useState, type ReactNode } from "react";
import { FAULTS } from "../src/base/errors.ts";
import { EVENTS, type EventKind } from "../src/ledger/events.ts";
import { LIFE } from "../src/message/lifecycle.ts";
import { exceptionPath, path, post, type Event, type TraceAnswer, type TracedMessage } from "./api.ts";
import { counted, when } from "./format.ts";
import { faultOfJson, indented } from "./json-text.ts";
import { useAnswer, useBeat } from "./live.tsx";
import { capturedAt, Changes, Diff, traceOf } from "./payload.tsx";
import { to } from "./place.ts";
import { Card, Failure, Page, StateBadge, TONES, Waiting } from "./ui.tsx";

/** One message's waybill: every stamp it got, what it carries, and what a person may do. */
export function MessageDetail(place: {
  readonly terminal: string;
  readonly epoch: string;
  readonly seq: string;
}): ReactNode {
  const { terminal, epoch, seq } = place;
  const { value, error, loading, again } = useAnswer<TraceAnswer>(
    path("api", "trace", terminal, `${epoch}/${seq}`),
    useBeat(1),
  );
  const message = value?.messages[0];
  return (
    <Page
      title={`${terminal} № ${seq}`}
      lead={
        <>
          Epoch <code>{epoch}</code>
        </>
      }
      aside={<a href={to("terminals", terminal)}>This terminal</a>}
    >
      {error !== null && <Failure error={error} again={again} />}
      {loading && <Waiting />}
      {message !== undefined && <Waybill message={message} again={again} key={`${message.lane}/${message.seq}`} />}
    </Page>
  );
}

function Waybill({ message, again }: { readonly message: TracedMessage; readonly again: () => void }): ReactNode {
  const { state, exception, payload } = message;
  const fault = exception?.fault ?? null;
  return (
    <>
      <div className={`verdict ${TONES[state]}`} role="status">
        <StateBadge state={state} />
        <div>
          <p>{message.headline}</p>
          {exception !== null && state !== "loaded" && exception.detail !== "" && (
            <p className="detail">{exception.detail}</p>
          )}
          {fault !== null && state !== "loaded" && state !== "discarded" && (
            <p className="fine">{FAULTS[fault].hint}</p>
          )}
          {message.waitsFor !== null && (
            <p>
              <a href={to("message", ...message.waitsFor.lane.split("/"), String(message.waitsFor.seq))}>
                See № {message.waitsFor.seq}, which it waits for
              </a>
            </p>
          )}
          {exception !== null && exception.holds > 0 && (
            <p className="fine">{counted(exception.holds, "message")} held behind it.</p>
          )}
        </div>
      </div>
      <div className="two">
        <Card title="What it carries">
          <Changes lines={payload.lines} />
          {payload.truncated && <p className="fine">The message is longer; this is its beginning.</p>}
        </Card>
        <div>
          {exception !== null && LIFE[state].discard !== null && <Acts message={message} again={again} />}
          <Card title="Waybill">
            <Timeline message={message} />
          </Card>
        </div>
      </div>
    </>
  );
}

function Timeline({ message: { events, payload } }: { readonly message: TracedMessage }): ReactNode {
  const captured = capturedAt(payload.lines);
  const trace = traceOf(payload.lines);
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
              by its own clock
            </p>
          </li>
        )}
        {events.map((event) => (
          <Stamp key={event.id} event={event} />
        ))}
      </ol>
      {trace !== null && (
        <p className="fine">
          Trace <code>{trace.split("-")[1] ?? trace}</code>
        </p>
      )}
    </>
  );
}

const KIND_TONES: Readonly<Record<string, string>> = {
  loaded: "good",
  "loaded late": "good",
  dead: "bad",
  retrying: "warn",
  held: "warn",
};

function Stamp({ event }: { readonly event: Event }): ReactNode {
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
      {event.detail !== "" && <p className="detail">{event.detail}</p>}
      {meaning !== null && <p className="fine">{meaning}</p>}
      <p className="fine">
        <time>{when(event.at)}</time> · {event.actor}
      </p>
    </li>
  );
}

/** What an operator may do with a message in trouble. Every act needs a reason; it is kept in the audit trail. */
function Acts({ message, again }: { readonly message: TracedMessage; readonly again: () => void }): ReactNode {
  const original = indented(message.payload.lines[0] ?? "");
  const [reason, setReason] = useState("");
  const [edited, setEdited] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const mayRequeue = LIFE[message.state].requeue !== null;
  const mayEdit = mayRequeue && message.payload.lines.length === 1 && !message.payload.truncated;
  const fault = edited === null ? null : faultOfJson(edited);
  const ready = reason.trim() !== "" && !busy;

  const act = (verb: "requeue" | "discard", payload: string | null): void => {
    setBusy(true);
    setError(null);
    post(`${exceptionPath(message.lane, message.seq)}/${verb}`, {
      reason: reason.trim(),
      ...(payload === null ? {} : { payload }),
    })
      .then(
        () => {
          setEdited(null);
          setReason("");
          again();
        },
        (thrown: Error) => setError(thrown),
      )
      .finally(() => setBusy(false));
  };
  return (
    <Card title="What now?">
      {error !== null && <Failure error={error} />}
      <label htmlFor="reason">Reason</label>
      <input
        id="reason"
        value={reason}
        maxLength={1_000}
        onChange={(event) => setReason(event.target.value)}
        placeholder="Kept in the audit trail with your name"
        autoComplete="off"
      />
      {edited !== null && (
        <>
          <label htmlFor="payload">Payload</label>
          <textarea
            id="payload"
            value={edited}
            spellCheck={false}
            rows={Math.min(24, edited.split("\n").length + 1)}
            onChange={(event) => setEdited(event.target.value)}
            aria-describedby="payload-fault"
          />
          <div id="payload-fault">
            {fault === null ? <Diff before={original} after={edited} /> : <p className="notice bad">{fault}</p>}
          </div>
        </>
      )}
      <div className="buttons">
        {mayRequeue && edited === null && (
          <button type="button" className="primary" disabled={!ready} onClick={() => act("requeue", null)}>
            Requeue as it is
          </button>
        )}
        {edited !== null && (
          <button
            type="button"
            className="primary"
            disabled={!ready || fault !== null || edited === original}
            onClick={() => act("requeue", edited)}
          >
            Requeue with the edit
          </button>
        )}
        {mayEdit && (
          <button type="button" onClick={() => setEdited(edited === null ? original : null)}>
            {edited === null ? "Edit the payload" : "Leave it as it was"}
          </button>
        )}
        {edited === null && (
          <button type="button" className="danger" disabled={!ready} onClick={() => act("discard", null)}>
            Discard for good
          </button>
        )}
      </div>
      {!ready && !busy && <p className="fine">Give a reason first.</p>}
    </Card>
  );
}
