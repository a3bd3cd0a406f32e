import type { ReactNode } from "react";
import { FAULTS } from "../src/base/errors.ts";
import type { ExceptionGroup } from "../src/ledger/exceptions.ts";
import { may, post, query as queryText, type ExceptionRow, type Picture } from "./api.ts";
import type { Bulk } from "./bulk.tsx";
import { count, counted, when } from "./format.ts";
import { useAnswer, useBeat, useLive } from "./live.tsx";
import { PagedList } from "./paged-list.tsx";
import { usePages } from "./pages.ts";
import { go, to } from "./place.ts";
import { titleOf } from "./prose.ts";
import { Card, Chips, Empty, Failure, Filter, Page, StateBadge, useAct } from "./ui.tsx";

const STATES = ["dead", "held", "retrying", "received", "discarded"] as const;
type State = (typeof STATES)[number];
const LABELS: Readonly<Record<State, string>> = {
  dead: "dead",
  held: "held",
  retrying: "retrying",
  received: "requeued",
  discarded: "discarded",
};
/** What can befall a message when it is loaded. */
const LOAD_FAULTS = Object.entries(FAULTS)
  .filter(([, { blame }]) => blame === "message" || blame === "either")
  .map(([code]) => code);
const AGES = { hour: 3_600_000, day: 86_400_000, week: 7 * 86_400_000 } as const;
type Age = keyof typeof AGES;
/** What a filter of the address is called in the API, except for the age. */
const FILTERS = ["terminal", "table", "fault", "key"] as const;

/** Messages that left the happy path: what befell them, how many, and acts on one or on all that are shown. */
export function DeadLetters({ query }: { readonly query: URLSearchParams }): ReactNode {
  const { picture } = useLive();
  const state = STATES.find((each) => each === query.get("state")) ?? "dead";
  const age = (Object.keys(AGES) as Age[]).find((each) => each === query.get("age")) ?? null;
  const given = Object.fromEntries(FILTERS.map((name) => [name, query.get(name)]));
  const isFiltered = age !== null || FILTERS.some((name) => query.has(name));
  const change = (changed: Readonly<Record<string, string | null>>): void =>
    go(`${to("dead")}${queryText({ ...Object.fromEntries(query), ...changed })}`);
  // To the minute: each look would otherwise be another question, and the list would begin anew.
  const since = age === null || picture === null ? null : Math.floor(picture.at / 60_000) * 60_000 - AGES[age];
  const filter = { states: state, ...given, since: since === null ? null : String(since) };
  const pages = usePages<{ rows: readonly ExceptionRow[]; next: string | null }, ExceptionRow, string>(
    queryText({ ...filter, limit: 100 }),
    useBeat(2),
    (address, after) => `/api/exceptions${address}${after === null ? "" : `&after=${encodeURIComponent(after)}`}`,
    ({ rows, next }) => ({ rows, next }),
  );
  return (
    <Page
      title="Dead letters"
      lead="Messages that left the happy path. Nothing here is ever dropped by itself."
      aside={may("operator") && <a href={to("dead", "bulk")}>Acts on many</a>}
    >
      <div className="filters">
        <Chips
          label="State"
          chosen={state}
          options={STATES.map((each) => ({
            value: each,
            label: LABELS[each],
            href: `${to("dead")}${queryText({ ...Object.fromEntries(query), state: each === "dead" ? null : each })}`,
            ...noteOf(picture, each),
          }))}
        />
        <Filter label="Terminal" value={given["terminal"]} change={(terminal) => change({ terminal })} />
        <Filter label="Receipt or key" value={given["key"]} change={(key) => change({ key })} />
        <Filter label="Table" value={given["table"]} change={(table) => change({ table })} />
        <label>
          <span className="unseen">Fault</span>
          <select value={query.get("fault") ?? ""} onChange={({ target }) => change({ fault: target.value })}>
            <option value="">Every fault</option>
            {LOAD_FAULTS.map((code) => (
              <option key={code}>{code}</option>
            ))}
          </select>
        </label>
        <label>
          <span className="unseen">Since</span>
          <select value={age ?? ""} onChange={({ target }) => change({ age: target.value })}>
            <option value="">Of any age</option>
            <option value="hour">Of the last hour</option>
            <option value="day">Of the last day</option>
            <option value="week">Of the last week</option>
          </select>
        </label>
        {isFiltered && <a href={`${to("dead")}${queryText({ state: query.get("state") })}`}>Clear</a>}
      </div>
      <Groups filter={filter} query={query} />
      {pages.error !== null && <Failure error={pages.error} again={pages.again} />}
      <Card
        flush
        title={isFiltered ? "Messages that match" : "One by one, oldest first"}
        aside={pages.rows.length > 0 && state !== "discarded" && <ActOnAll filter={filter} state={state} />}
      >
        <PagedList
          pages={pages}
          empty={
            <Empty title={isFiltered ? "No message matches." : `No message is ${LABELS[state]}.`}>
              {isFiltered ? "Clear a filter, or look at another state." : "Nothing to do here."}
            </Empty>
          }
          label="Messages"
          rowHeight={68}
          keyOf={(row) => `${row.lane}/${row.seq}`}
          render={(row) => <ExceptionLine row={row} />}
        />
      </Card>
    </Page>
  );
}

const noteOf = (picture: Picture | null, state: State): { readonly note?: string } =>
  picture !== null && (state === "dead" || state === "held" || state === "discarded")
    ? { note: count(picture.overview[state]) }
    : {};

type Filters = Readonly<Record<string, string | null>>;

/** The same fault in the same tables is most often one cause: each group says how far it reaches and leads to its messages. */
function Groups({ filter, query }: { readonly filter: Filters; readonly query: URLSearchParams }): ReactNode {
  const { value } = useAnswer<{ groups: readonly ExceptionGroup[] }>(
    `/api/exception-groups${queryText({ ...filter, limit: 20 })}`,
    useBeat(4),
  );
  const groups = value?.groups ?? [];
  if (groups.length === 0) return null;
  return (
    <Card title="By what happened" flush>
      <ul className="rows" aria-label="Groups by fault">
        {groups.map((group) => (
          <li key={`${group.fault} ${group.tables.join(",")}`}>
            <a
              className="row group-grid"
              href={`${to("dead")}${queryText({ ...Object.fromEntries(query), fault: group.fault, table: group.tables[0] ?? null })}`}
            >
              <strong className="n">{count(group.messages)}</strong>
              <span className="clip">
                <span>
                  {titleOf(group.fault)} <span className="faint">in {group.tables.join(", ") || "no known table"}</span>
                </span>
                <small title={group.detail}>{group.detail}</small>
              </span>
              <span className="n">
                {counted(group.terminals, "terminal")}
                <small>
                  since <time>{when(group.since)}</time>
                </small>
              </span>
            </a>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** The first step of an act on many: the hub freezes the list and says what it would reach; nothing is done yet. */
function ActOnAll({ filter, state }: { readonly filter: Filters; readonly state: State }): ReactNode {
  const { busy, error, run } = useAct();
  if (!may("operator")) return null;
  const preview = (verb: "requeue" | "discard"): void =>
    run(async () => {
      const given = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== null && value !== ""));
      const { bulk } = await post<{ bulk: Bulk }>("/api/bulk", { verb, filter: given });
      go(to("dead", "bulk", String(bulk.id)));
    });
  return (
    <span className="buttons">
      {error !== null && (
        <span role="alert" className="fault">
          {error.message}
        </span>
      )}
      {(state === "dead" || state === "retrying") && (
        <button type="button" disabled={busy} onClick={() => preview("requeue")}>
          Requeue all of these…
        </button>
      )}
      {state !== "received" && (
        <button type="button" className="danger" disabled={busy} onClick={() => preview("discard")}>
          Discard all…
        </button>
      )}
    </span>
  );
}

export function ExceptionLine({ row }: { readonly row: ExceptionRow }): ReactNode {
  const [terminal = "", epoch = ""] = row.lane.split("/");
  return (
    <a className="row letter-grid" href={to("message", terminal, epoch, String(row.seq))}>
      <span>
        <strong>
          {terminal} <span className="faint">№ {row.seq}</span>
        </strong>
        <small>{row.tables.join(", ") || "\u00a0"}</small>
      </span>
      <span>
        <StateBadge state={row.state} />
      </span>
      <span className="clip">
        <span>
          {row.fault === null ? (row.behind === null ? "" : `behind № ${row.behind.seq}`) : titleOf(row.fault)}
        </span>
        <small title={row.detail}>{row.detail || row.behind?.on}</small>
      </span>
      <span className="n">
        <time>{when(row.since)}</time>
        <small>{row.holds > 0 ? `${counted(row.holds, "message")} behind it` : "\u00a0"}</small>
      </span>
    </a>
  );
}
