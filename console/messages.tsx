import { useId, useState, type ReactNode, type SubmitEvent } from "react";
import { query, type FleetPage, type TraceAnswer, type TracedMessage } from "./api.ts";
import { counted, when } from "./format.ts";
import { useAnswer, useBeat } from "./live.tsx";
import { changesOf } from "./payload-line.ts";
import { go, to } from "./place.ts";
import { MessagesOf } from "./messages-of.tsx";
import { Prose } from "./prose.tsx";
import { Card, Empty, Failure, Page, StateBadge, useSettled, Waiting } from "./ui.tsx";

/** "Where is receipt 4711 of store 14?" */
export function Messages({ query: given }: { readonly query: URLSearchParams }): ReactNode {
  const [what, at] = [given.get("what") ?? "", given.get("at") ?? ""];
  return (
    <Page title="Messages" lead="Where is it, and why?">
      <Ask what={what} at={at} key={`${what} ${at}`} />
      {what === "" ? <MessagesOf query={given} /> : <Found what={what} at={at} />}
    </Page>
  );
}

/** The one question of a support desk, asked the same way wherever it stands. */
export function Ask({ what, at }: { readonly what: string; readonly at: string }): ReactNode {
  const [asked, setAsked] = useState(what);
  const [place, setPlace] = useState(at);
  const list = useId();
  const settled = useSettled(place);
  const { value } = useAnswer<FleetPage>(`/api/terminals${query({ limit: 20, text: settled })}`);
  const submit = (event: SubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    if (asked.trim() !== "") go(`${to("messages")}${query({ what: asked.trim(), at: place.trim() })}`);
  };
  return (
    <section className="card ask" aria-label="Find a message">
      <form className="search" role="search" onSubmit={submit}>
        <label>
          Receipt, key or number
          <input
            value={asked}
            required
            maxLength={1_000}
            onChange={(event) => setAsked(event.target.value)}
            spellCheck={false}
            autoComplete="off"
          />
        </label>
        <label>
          Store or terminal
          <input
            list={list}
            value={place}
            maxLength={200}
            placeholder="any"
            onChange={(event) => setPlace(event.target.value)}
            spellCheck={false}
            autoComplete="off"
          />
        </label>
        <datalist id={list}>
          {value?.terminals.map((line) => (
            <option key={line.terminal} value={line.terminal} label={Object.values(line.tags).join(" · ")} />
          ))}
        </datalist>
        <button type="submit" className="primary">
          Find
        </button>
      </form>
    </section>
  );
}

function Found({ what, at }: { readonly what: string; readonly at: string }): ReactNode {
  const { value, error, loading, again } = useAnswer<TraceAnswer>(`/api/find${query({ value: what, at })}`, useBeat(3));
  if (loading) return <Waiting />;
  if (error !== null) return <Failure error={error} again={again} />;
  if (value === null) return <Empty title="Nothing found." />;
  return (
    <Card title={`${counted(value.messages.length, "message")} found`} flush>
      <ul className="rows" aria-label="Messages found">
        {value.messages.map((message) => (
          <li key={`${message.lane}/${message.seq}`}>
            <FoundLine message={message} />
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** Says the reason at once: most people need not go further. */
function FoundLine({ message }: { readonly message: TracedMessage }): ReactNode {
  const { lane, seq, state, exception, events, payload } = message;
  const [terminal = ""] = lane.split("/");
  const tables = [...new Set(changesOf(payload.lines).map(({ table }) => table))].join(", ");
  const why = state === "loaded" || exception === null ? "" : exception.detail;
  return (
    <a className="row letter-grid" href={to("message", ...lane.split("/"), String(seq))}>
      <span>
        <strong>
          {terminal} <span className="faint">№ {seq}</span>
        </strong>
        <small>{tables || "\u00a0"}</small>
      </span>
      <span>
        <StateBadge state={state} />
      </span>
      <span className="clip">
        <span>
          <Prose text={message.headline} />
        </span>
        <small title={why}>{why || "\u00a0"}</small>
      </span>
      <span className="n">
        <time>{events[0] === undefined ? "" : when(events[0].at)}</time>
        <small>{events[0] === undefined ? "\u00a0" : "received"}</small>
      </span>
    </a>
  );
}
