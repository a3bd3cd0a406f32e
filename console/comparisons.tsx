import { useState, type ReactNode } from "react";
import type { Difference, Reconcile, TableReport } from "../src/ledger/reconciles.ts";
import type { WireValue } from "../src/message/change.ts";
import { may, path, post, query as queryText } from "./api.ts";
import { CompareForm } from "./compare-form.tsx";
import { ago, count, counted, when, who } from "./format.ts";
import { useAnswer, useBeat, useLive } from "./live.tsx";
import { PagedList } from "./paged-list.tsx";
import { usePages } from "./pages.ts";
import { to } from "./place.ts";
import { Prose } from "./prose.tsx";
import { Repair } from "./repair.tsx";
import { Act, Badge, Card, Empty, Failure, Page, Waiting, type Tone } from "./ui.tsx";
import { VirtualList } from "./virtual-list.tsx";

const TONES: Readonly<Record<Reconcile["state"], Tone>> = {
  waiting: "info",
  running: "info",
  done: "good",
  failed: "bad",
  cancelled: "calm",
};

type Listed = { readonly reconciles: readonly Reconcile[]; readonly next: string | null };

/** Whether terminals and the centre hold the same rows: what was compared, what differed, what was sent again. */
export function Comparisons(): ReactNode {
  const [isOrdering, setOrdering] = useState(false);
  const pages = usePages<Listed, Reconcile, string>(
    queryText({ limit: 50 }),
    useBeat(2),
    (address, before) => `/api/reconciles${address}${before === null ? "" : `&before=${encodeURIComponent(before)}`}`,
    ({ reconciles, next }) => ({ rows: reconciles, next }),
  );
  return (
    <Page
      title="Comparisons"
      lead="Whether a terminal and the centre hold the same rows, and what was sent again where they did not."
      aside={
        may("operator") &&
        !isOrdering && (
          <button type="button" onClick={() => setOrdering(true)}>
            Compare a terminal
          </button>
        )
      }
    >
      {isOrdering && (
        <CompareForm
          done={() => {
            setOrdering(false);
            pages.again();
          }}
        />
      )}
      {pages.error !== null && <Failure error={pages.error} again={pages.again} />}
      <Card flush>
        <PagedList
          pages={pages}
          empty={
            <Empty title="Nothing was compared yet.">
              {may("operator")
                ? "Compare a terminal when you doubt that all of it arrived: every row is looked at on both sides, while it goes on selling."
                : "An operator can compare a terminal with the centre, row by row."}
            </Empty>
          }
          label="Comparisons"
          rowHeight={68}
          keyOf={({ id }) => id}
          render={(one) => <ComparisonLine one={one} />}
        />
      </Card>
    </Page>
  );
}

export function ComparisonLine({ one }: { readonly one: Reconcile }): ReactNode {
  const { id, terminal, state, by, orderedAt, reason } = one;
  return (
    <a className="row letter-grid" href={to("comparisons", id)}>
      <span>
        <strong>{terminal}</strong>
        <small>{whatOf(one)}</small>
      </span>
      <span>
        <Badge tone={state === "done" && isOdd(one) ? "warn" : TONES[state]}>{state}</Badge>
      </span>
      <span className="clip">
        <span>{resultOf(one)}</span>
        <small title={reason}>{reason}</small>
      </span>
      <span className="n">
        <time>{when(orderedAt)}</time>
        <small>{who(by)}</small>
      </span>
    </a>
  );
}

const whatOf = ({ work }: Reconcile): string =>
  work.kind === "repair"
    ? "send again what differed"
    : `${work.tables === null ? "all tables" : work.tables.join(", ")}${work.mend ? ", and send again" : ""}`;

const differencesIn = (tables: readonly TableReport[]): number =>
  tables.reduce(
    (sum, { missingAtCentre, missingAtTerminal, different }) => sum + missingAtCentre + missingAtTerminal + different,
    0,
  );
/** Something of it needs a look. */
const isOdd = ({ work, report: { tables } }: Reconcile): boolean =>
  work.kind === "compare" && differencesIn(tables) > 0;

/** What came of it, in a sentence. */
function resultOf({ work, state, report }: Reconcile): string {
  const { tables, sent, fault, doing } = report;
  if (fault !== null) return fault.what;
  if (state === "waiting") return "its turn has not come yet";
  if (state === "running") return doing ?? "under way";
  if (state === "cancelled") return "it was ended before its time";
  const found = differencesIn(tables);
  const mended = `${counted(sent.up, "row")} sent again by the terminal, ${count(sent.down)} by the centre; ${count(sent.healed)} ${sent.healed === 1 ? "is" : "are"} equal now`;
  if (work.kind === "repair") return mended;
  if (found === 0) return "both sides are equal";
  return work.mend ? `${counted(found, "row")} differed; ${mended}` : counted(found, "row differs", "rows differ");
}

type Answer = Reconcile & { readonly differences: readonly Difference[]; readonly next: number | null };

/** One comparison: how it stands, table by table, and every row that differs with both values. */
export function ComparisonDetail({ id }: { readonly id: string }): ReactNode {
  const { picture } = useLive();
  const address = path("api", "reconciles", id);
  const { value, error, loading, again } = useAnswer<Answer>(`${address}?limit=1`, useBeat(1));
  const pages = usePages<Answer, Difference, number>(
    `${address}?limit=200`,
    useBeat(3),
    (asked, after) => `${asked}${after === null ? "" : `&after=${after}`}`,
    ({ differences, next }) => ({ rows: differences, next }),
  );
  const isOpen = value !== null && value.endedAt === null;
  return (
    <Page
      title={value === null ? "Comparison" : value.terminal}
      lead={value === null ? undefined : `${whatOf(value)}, ordered ${when(value.orderedAt)} by ${who(value.by)}`}
      aside={
        <>
          {value !== null && <a href={to("terminals", value.terminal)}>This terminal</a>}
          <a href={to("comparisons")}>All comparisons</a>
        </>
      }
    >
      {error !== null && <Failure error={error} again={again} />}
      {loading && <Waiting />}
      {value !== null && (
        <Card>
          <div className="act-head">
            <Badge tone={value.state === "done" && isOdd(value) ? "warn" : TONES[value.state]}>{value.state}</Badge>
            <p>
              <Prose text={resultOf(value)} />
            </p>
          </div>
          <p className="fine">
            {value.reason}
            {value.endedAt !== null && picture !== null && ` · ended ${ago(value.endedAt, picture.at)}`}
          </p>
          {isOpen && (
            <Act
              label="End it"
              question="End it before its time? What was sent stays sent."
              act={() => post(`${address}/cancel`, { reason: "ended from the console" })}
              done={again}
            />
          )}
        </Card>
      )}
      {value !== null && value.report.tables.length > 0 && <Tables tables={value.report.tables} />}
      {value !== null && value.work.kind === "compare" && value.state === "done" && pages.rows.length > 0 && (
        <Repair id={id} terminal={value.terminal} />
      )}
      {value !== null && value.work.kind === "compare" && (
        <Card title="Rows that differ" flush>
          {pages.rows.length === 0 ? (
            <Empty title={isOpen ? "None so far." : "None: what was compared is equal."} />
          ) : (
            <VirtualList
              label="Rows that differ"
              rows={pages.rows}
              rowHeight={68}
              keyOf={({ n }) => String(n)}
              render={(difference) => <DifferenceLine difference={difference} />}
              onEnd={pages.loadMore}
            />
          )}
        </Card>
      )}
    </Page>
  );
}

function Tables({ tables }: { readonly tables: readonly TableReport[] }): ReactNode {
  return (
    <Card title="Table by table" flush>
      <div className="scroll" tabIndex={0} role="region" aria-label="Table by table">
        <table>
          <thead>
            <tr>
              <th>Table</th>
              <th className="n">At the terminal</th>
              <th className="n">At the centre</th>
              <th className="n">Not at the centre</th>
              <th className="n">Not at the terminal</th>
              <th className="n">Different</th>
              <th>Note</th>
            </tr>
          </thead>
          <tbody>
            {tables.map((each) => (
              <tr key={each.table}>
                <td>
                  <strong>{each.table}</strong> <span className="faint">goes {each.direction}</span>
                </td>
                {[
                  each.rowsAtTerminal,
                  each.rowsAtCentre,
                  each.missingAtCentre,
                  each.missingAtTerminal,
                  each.different,
                ].map((n, index) => (
                  <td key={index} className={index > 1 && n > 0 ? "n strong" : "n"}>
                    {each.skipped === null ? count(n) : "–"}
                  </td>
                ))}
                <td className="faint">{noteOf(each)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function noteOf({ skipped, leftOut, unsettled, underWay, complete }: TableReport): string {
  if (skipped !== null) return `not compared: ${skipped}`;
  return [
    underWay > 0 ? `${counted(underWay, "row was", "rows were")} under way` : null,
    unsettled > 0 ? `${count(unsettled)} changed all the time` : null,
    leftOut.length > 0 ? `without ${leftOut.join(", ")}` : null,
    complete ? null : "more differ than are listed",
  ]
    .filter((note) => note !== null)
    .join(" · ");
}

const KINDS: Readonly<Record<Difference["kind"], string>> = {
  "missing at centre": "only at the terminal",
  "missing at terminal": "only at the centre",
  different: "other values",
};

function DifferenceLine({ difference }: { readonly difference: Difference }): ReactNode {
  const { table, key, kind, columns, because, repair, repaired } = difference;
  const named = Object.entries(key)
    .map(([column, value]) => `${column} ${shown(value)}`)
    .join(", ");
  const values = columns
    .map(({ name, terminal, centre }) => `${name}: ${shown(terminal)} at the terminal, ${shown(centre)} at the centre`)
    .join(" · ");
  return (
    <div className="row letter-grid">
      <span>
        <strong>{table}</strong>
        <small title={named}>{named}</small>
      </span>
      <span>
        <Badge tone={repaired === "healed" ? "good" : "warn"}>{repaired === "healed" ? "equal now" : "differs"}</Badge>
      </span>
      <span className="clip">
        <span title={values}>{values || KINDS[kind]}</span>
        <small>{values === "" ? "\u00a0" : KINDS[kind]}</small>
      </span>
      <span className="n">
        {because === null ? (
          <span className="faint">{WAYS[repair ?? "nobody"]}</span>
        ) : (
          <a href={to("message", ...because.lane.split("/"), String(because.seq))}>waits: № {because.seq}</a>
        )}
      </span>
    </div>
  );
}

const WAYS = {
  up: "terminal sends it",
  down: "centre sends it",
  removal: "can be taken away",
  nobody: "a person must look",
} as const;
const shown = (value: WireValue | undefined): string =>
  value === null || value === undefined ? "empty" : typeof value === "object" ? JSON.stringify(value) : String(value);
