import type { ReactNode } from "react";
import type { ListedMessage, MessageList } from "../src/hub/api/operator/messages.ts";
import { STATE_KINDS } from "../src/message/lifecycle.ts";
import { query as queryText } from "./api.ts";
import { counted, when } from "./format.ts";
import { useBeat, useLive } from "./live.tsx";
import { furtherBack, PagedList } from "./paged-list.tsx";
import { usePages } from "./pages.ts";
import { go, to } from "./place.ts";
import { Card, Empty, Failure, Filter, StateBadge } from "./ui.tsx";

const AGES = { hour: 3_600_000, day: 86_400_000, week: 7 * 86_400_000 } as const;
type Age = keyof typeof AGES;

/** The messages of one terminal, whatever became of them: by table, state and time, newest first. */
export function MessagesOf({ query }: { readonly query: URLSearchParams }): ReactNode {
  const [of, table, state] = [query.get("of"), query.get("table"), query.get("state")];
  const age = (Object.keys(AGES) as Age[]).find((each) => each === query.get("age")) ?? null;
  const change = (changed: Readonly<Record<string, string | null>>): void =>
    go(`${to("messages")}${queryText({ ...Object.fromEntries(query), ...changed })}`);
  return (
    <>
      <div className="filters">
        <Filter label="Or a terminal’s name" value={of} change={(terminal) => change({ of: terminal })} />
        {of !== null && (
          <>
            <Filter label="Table" value={table} change={(wanted) => change({ table: wanted })} />
            <label>
              <span className="unseen">State</span>
              <select value={state ?? ""} onChange={({ target }) => change({ state: target.value || null })}>
                <option value="">Every state</option>
                {STATE_KINDS.map((each) => (
                  <option key={each}>{each}</option>
                ))}
              </select>
            </label>
            <label>
              <span className="unseen">Since</span>
              <select value={age ?? ""} onChange={({ target }) => change({ age: target.value || null })}>
                <option value="">Of any time</option>
                <option value="hour">Of the last hour</option>
                <option value="day">Of the last day</option>
                <option value="week">Of the last week</option>
              </select>
            </label>
          </>
        )}
      </div>
      {of === null ? (
        <Card>
          <Empty title="Ask for a receipt above, or name a terminal to see its messages.">
            Messages are kept by terminal: a list of them is always of one.
          </Empty>
        </Card>
      ) : (
        <List key={of} of={of} table={table} state={state} age={age} />
      )}
    </>
  );
}

function List({
  of,
  table,
  state,
  age,
}: {
  readonly of: string;
  readonly table: string | null;
  readonly state: string | null;
  readonly age: Age | null;
}): ReactNode {
  const { picture } = useLive();
  // To the minute: each look would otherwise be another question, and the list would begin anew.
  const since = age === null || picture === null ? null : Math.floor(picture.at / 60_000) * 60_000 - AGES[age];
  const isFiltered = table !== null || state !== null || age !== null;
  const pages = usePages<MessageList, ListedMessage, string>(
    queryText({ terminal: of, table, state, since, limit: 100 }),
    useBeat(2),
    (address, before) => `/api/messages${address}${before === null ? "" : `&before=${encodeURIComponent(before)}`}`,
    ({ messages, next }) => ({ rows: messages, next }),
  );
  return (
    <>
      {pages.error !== null && <Failure error={pages.error} again={pages.again} />}
      {pages.error === null && (
        <Card flush title={`Messages of ${of}, newest first`} aside={furtherBack(pages)}>
          <PagedList
            pages={pages}
            empty={
              <Empty title={isFiltered ? `No message of ${of} matches.` : `${of} has sent nothing that is still kept.`}>
                {pages.more ? "There may be some further back." : "Clear a filter, or look at another terminal."}
              </Empty>
            }
            least={20}
            label="Messages"
            rowHeight={52}
            keyOf={({ lane, seq }) => `${lane}/${seq}`}
            render={(message) => <Line message={message} />}
          />
        </Card>
      )}
    </>
  );
}

const Line = ({
  message: { lane, seq, state, tables, changes, receivedAt },
}: {
  readonly message: ListedMessage;
}): ReactNode => (
  <a className="row letter-grid low" href={to("message", ...lane.split("/"), String(seq))}>
    <strong>№ {seq}</strong>
    <span>
      <StateBadge state={state} />
    </span>
    <span className="clip">
      {tables.join(", ") || "cannot be read"} <span className="faint">{counted(changes, "row")}</span>
    </span>
    <span className="n">
      <time>{when(receivedAt)}</time>
    </span>
  </a>
);
