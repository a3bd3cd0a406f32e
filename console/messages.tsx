import { useId, useState, type ReactNode, type SubmitEvent } from "react";
import { path, type FleetPage, type TraceAnswer } from "./api.ts";
import { when } from "./format.ts";
import { useAnswer, useBeat } from "./live.tsx";
import { to } from "./place.ts";
import { Card, Empty, Failure, Page, StateBadge, useSettled, Waiting } from "./ui.tsx";
import { changesOf } from "./payload.tsx";

/** "Where is sale 4711 of store 14?" */
export function Messages({
  terminal,
  what,
}: {
  readonly terminal: string | null;
  readonly what: string | null;
}): ReactNode {
  return (
    <Page title="Messages" lead="Where is it, and why? Ask by terminal and receipt number, or by a message’s number.">
      <Card>
        <SearchForm terminal={terminal ?? ""} what={what ?? ""} key={`${terminal}/${what}`} />
      </Card>
      {terminal !== null && what !== null && <Found terminal={terminal} what={what} />}
    </Page>
  );
}

export function SearchForm({ terminal, what }: { readonly terminal: string; readonly what: string }): ReactNode {
  const [at, setAt] = useState(terminal);
  const [asked, setAsked] = useState(what);
  const list = useId();
  const { value } = useAnswer<FleetPage>(`/api/fleet?limit=20&text=${encodeURIComponent(useSettled(at))}`);
  const submit = (event: SubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    if (at.trim() !== "" && asked.trim() !== "") location.hash = to("messages", at.trim(), asked.trim());
  };
  return (
    <form className="search" onSubmit={submit}>
      <label>
        Terminal
        <input
          list={list}
          value={at}
          required
          onChange={(event) => setAt(event.target.value)}
          spellCheck={false}
          autoComplete="off"
        />
      </label>
      <datalist id={list}>
        {value?.terminals.map((line) => (
          <option key={line.terminal} value={line.terminal} />
        ))}
      </datalist>
      <label>
        Receipt, key or number
        <input
          value={asked}
          required
          onChange={(event) => setAsked(event.target.value)}
          spellCheck={false}
          autoComplete="off"
        />
      </label>
      <button type="submit" className="primary">
        Find
      </button>
    </form>
  );
}

function Found({ terminal, what }: { readonly terminal: string; readonly what: string }): ReactNode {
  const { value, error, loading, again } = useAnswer<TraceAnswer>(path("api", "trace", terminal, what), useBeat(3));
  if (loading) return <Waiting />;
  if (error !== null) return <Failure error={error} again={again} />;
  if (value === null) return <Empty title="Nothing found." />;
  return (
    <Card title={`${value.messages.length} found`} flush>
      <ul className="rows" aria-label="Messages found">
        {value.messages.map((message) => (
          <li key={`${message.lane}/${message.seq}`}>
            <a className="row letter-grid" href={to("message", ...message.lane.split("/"), String(message.seq))}>
              <span>
                <strong>№ {message.seq}</strong>
                <small>
                  <code>{message.lane.split("/")[1]}</code>
                </small>
              </span>
              <span>
                <StateBadge state={message.state} />
              </span>
              <span className="clip">
                <span>{message.headline}</span>
                <small>{[...new Set(changesOf(message.payload.lines).map(({ table }) => table))].join(", ")}</small>
              </span>
              <span className="n">
                <time>{message.events[0] === undefined ? "" : when(message.events[0].at)}</time>
              </span>
            </a>
          </li>
        ))}
      </ul>
    </Card>
  );
}
