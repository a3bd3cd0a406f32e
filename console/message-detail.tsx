import type { ReactNode } from "react";
import { FAULTS } from "../src/base/errors.ts";
import { LIFE } from "../src/message/lifecycle.ts";
import { may, path, type TraceAnswer, type TracedMessage } from "./api.ts";
import { counted } from "./format.ts";
import { Journey } from "./journey.tsx";
import { useAnswer, useBeat } from "./live.tsx";
import { Desk } from "./message-desk.tsx";
import { Changes } from "./payload.tsx";
import { to } from "./place.ts";
import { Prose } from "./prose.tsx";
import { Timeline } from "./timeline.tsx";
import { Card, Failure, Page, StateBadge, TONES, Waiting } from "./ui.tsx";
import { Waits } from "./waits.tsx";

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
      {message !== undefined && (
        <Waybill
          key={`${message.lane}/${message.seq}`}
          message={message}
          traceLink={value?.traceLink ?? null}
          again={again}
        />
      )}
    </Page>
  );
}

function Waybill({
  message,
  traceLink,
  again,
}: {
  readonly message: TracedMessage;
  readonly traceLink: string | null;
  readonly again: () => void;
}): ReactNode {
  const { state, exception, payload } = message;
  const mayAct = exception !== null && LIFE[state].discard !== null && may("operator");
  return (
    <>
      <Verdict message={message} />
      <Journey message={message} />
      {mayAct && <Desk message={message} again={again} />}
      <div className="two">
        <Card title="What it carries">
          <Changes lines={payload.lines} />
          {payload.truncated && <p className="fine">The message is longer; this is its beginning.</p>}
        </Card>
        <Card title="Stamps">
          <Timeline message={message} traceLink={traceLink} />
        </Card>
      </div>
    </>
  );
}

/** Where it is, and why: the one thing to read. */
function Verdict({ message }: { readonly message: TracedMessage }): ReactNode {
  const { state, exception, waits } = message;
  const isOpen = exception !== null && state !== "loaded" && state !== "discarded";
  return (
    <div className={`verdict ${TONES[state]}`} role="status">
      <StateBadge state={state} />
      <div>
        <p className="strong">
          <Prose text={message.headline} />
        </p>
        {isOpen && exception.detail !== "" && <p className="detail">{exception.detail}</p>}
        {isOpen && exception.fault !== null && <p className="fine">{FAULTS[exception.fault].hint}</p>}
        <Waits waits={waits} />
        {isOpen && exception.holds > 0 && (
          <p className="fine">{counted(exception.holds, "message waits", "messages wait")} behind it.</p>
        )}
      </div>
    </div>
  );
}
