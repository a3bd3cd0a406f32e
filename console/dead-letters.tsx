import { useState, type ReactNode } from "react";
import { FAULTS } from "../src/base/errors.ts";
import { query as queryText, type ExceptionRow } from "./api.ts";
import { counted, when } from "./format.ts";
import { useBeat } from "./live.tsx";
import { usePages } from "./pages.ts";
import { to } from "./place.ts";
import { Card, Empty, Failure, Page, StateBadge, useSettled, Waiting } from "./ui.tsx";
import { VirtualList } from "./virtual-list.tsx";

const STATES = ["dead", "held", "retrying", "received", "discarded"] as const;
/** What can befall a message when it is loaded. */
const LOAD_FAULTS = Object.entries(FAULTS)
  .filter(([, { blame }]) => blame === "message" || blame === "either")
  .map(([code]) => code);

export function DeadLetters({ query }: { readonly query: URLSearchParams }): ReactNode {
  const state = STATES.find((each) => each === query.get("state")) ?? "dead";
  const [terminal, setTerminal] = useState("");
  const [table, setTable] = useState("");
  const [fault, setFault] = useState("");
  const pages = usePages<{ rows: readonly ExceptionRow[]; next: string | null }, ExceptionRow, string>(
    queryText({ states: state, terminal: useSettled(terminal), table: useSettled(table), fault, limit: 100 }),
    useBeat(2),
    (address, after) => `/api/exceptions${address}${after === null ? "" : `&after=${encodeURIComponent(after)}`}`,
    ({ rows, next }) => ({ rows, next }),
  );
  return (
    <Page
      title="Dead letters"
      lead="Messages that left the happy path, oldest first. Nothing here is ever dropped by itself."
    >
      <div className="filters">
        <nav className="chips" aria-label="State">
          {STATES.map((each) => (
            <a
              key={each}
              href={`${to("dead")}${queryText({ state: each === "dead" ? null : each })}`}
              {...(state === each ? { "aria-current": "true" as const } : {})}
            >
              {each === "received" ? "requeued" : each}
            </a>
          ))}
        </nav>
        <label>
          <span className="unseen">Terminal</span>
          <input
            type="search"
            placeholder="Terminal’s whole name"
            value={terminal}
            onChange={(event) => setTerminal(event.target.value)}
          />
        </label>
        <label>
          <span className="unseen">Table</span>
          <input type="search" placeholder="Table" value={table} onChange={(event) => setTable(event.target.value)} />
        </label>
        <label>
          <span className="unseen">Fault</span>
          <select value={fault} onChange={(event) => setFault(event.target.value)}>
            <option value="">Every fault</option>
            {LOAD_FAULTS.map((code) => (
              <option key={code}>{code}</option>
            ))}
          </select>
        </label>
      </div>
      {pages.error !== null && <Failure error={pages.error} again={pages.again} />}
      <Card flush>
        {pages.loading ? (
          <Waiting />
        ) : pages.rows.length === 0 ? (
          <Empty title="Nothing here.">No message is in this state with these filters.</Empty>
        ) : (
          <VirtualList
            label="Messages"
            rows={pages.rows}
            rowHeight={68}
            keyOf={(row) => `${row.lane}/${row.seq}`}
            render={(row) => <ExceptionLine row={row} />}
            onEnd={pages.loadMore}
          />
        )}
      </Card>
    </Page>
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
        <span>{row.fault ?? (row.behind === null ? "" : `behind № ${row.behind.seq}`)}</span>
        <small title={row.detail}>{row.detail || row.behind?.on}</small>
      </span>
      <span className="n">
        <time>{when(row.since)}</time>
        <small>{row.holds > 0 ? `${counted(row.holds, "message")} behind it` : "\u00a0"}</small>
      </span>
    </a>
  );
}
