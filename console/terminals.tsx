import { useState, type ReactNode } from "react";
import { HEALTHS, type FleetHealth, type FleetLine } from "../src/console/fleet.ts";
import { may, query, type FleetPage } from "./api.ts";
import { EnrolForm } from "./enrol.tsx";
import { ago, count, counted, duration, updatesBehind } from "./format.ts";
import { useBeat, useLive } from "./live.tsx";
import { usePages } from "./pages.ts";
import { to } from "./place.ts";
import { Badge, Card, Empty, Failure, Page, useSettled, Waiting, type Tone } from "./ui.tsx";
import { VirtualList } from "./virtual-list.tsx";

export const HEALTH_TONES: Readonly<Record<FleetHealth, Tone>> = {
  trouble: "bad",
  away: "warn",
  waiting: "warn",
  well: "good",
};

export function Terminals({ health }: { readonly health: string | null }): ReactNode {
  const [text, setText] = useState("");
  const [isEnrolling, setEnrolling] = useState(false);
  const settled = useSettled(text);
  const { picture } = useLive();
  const chosen = HEALTHS.find((each) => each === health) ?? null;
  const pages = usePages<FleetPage, FleetLine, string>(
    query({ text: settled, health: chosen }),
    useBeat(3),
    (address, after) =>
      `/api/fleet${address === "" ? "?" : `${address}&`}limit=200${after === null ? "" : `&after=${encodeURIComponent(after)}`}`,
    ({ terminals, next }) => ({ rows: terminals, next }),
  );
  const now = picture?.at ?? 0;
  return (
    <Page
      title="Terminals"
      lead={picture === null ? undefined : `${counted(picture.overview.terminals, "terminal")} enrolled`}
      aside={
        may("operator") &&
        !isEnrolling && (
          <button type="button" onClick={() => setEnrolling(true)}>
            Enrol a terminal
          </button>
        )
      }
    >
      {isEnrolling && <EnrolForm done={() => setEnrolling(false)} />}
      <div className="filters">
        <label>
          <span className="unseen">Name of a terminal</span>
          <input
            type="search"
            placeholder="Find a terminal"
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
        </label>
        <nav className="chips" aria-label="Health">
          <a href={to("terminals")} {...(chosen === null ? { "aria-current": "true" as const } : {})}>
            all
          </a>
          {HEALTHS.map((each) => (
            <a
              key={each}
              href={`${to("terminals")}${query({ health: each })}`}
              {...(chosen === each ? { "aria-current": "true" as const } : {})}
            >
              {each}
              {picture !== null && <span className="pill">{count(picture.fleet[each])}</span>}
            </a>
          ))}
        </nav>
      </div>
      {pages.error !== null && <Failure error={pages.error} again={pages.again} />}
      <Card flush>
        {pages.loading ? (
          <Waiting />
        ) : pages.rows.length === 0 ? (
          <Empty title="No terminal fits.">
            {settled === "" && chosen === null
              ? "A terminal is enrolled with a token, made here or by `waybill enroll`."
              : "Try another name or health."}
          </Empty>
        ) : (
          <>
            <TerminalHead />
            <VirtualList
              label="Terminals"
              rows={pages.rows}
              rowHeight={48}
              keyOf={(line) => line.terminal}
              render={(line) => <TerminalRow line={line} head={picture?.overview.updatesHead ?? 0} now={now} />}
              onEnd={pages.loadMore}
            />
          </>
        )}
      </Card>
    </Page>
  );
}

/** For the eye; each row names its own terminal for those who listen. */
export const TerminalHead = (): ReactNode => (
  <p className="rows-head terminal-grid" aria-hidden="true">
    <span>Terminal</span>
    <span>Health</span>
    <span className="n">Received</span>
    <span className="n">Waiting</span>
    <span className="n">Open</span>
    <span className="n">Till to centre</span>
    <span className="n">Updates behind</span>
    <span className="n">Seen</span>
  </p>
);

export function TerminalRow({
  line,
  head,
  now,
}: {
  readonly line: FleetLine;
  readonly head: number;
  readonly now: number;
}): ReactNode {
  const open = line.dead + line.held + line.retrying;
  const behind = updatesBehind(head, line.appliedThrough);
  return (
    <a className="row terminal-grid" href={to("terminals", line.terminal)}>
      <strong>{line.terminal}</strong>
      <span>
        <Badge tone={HEALTH_TONES[line.health]}>{line.health}</Badge>
      </span>
      <span className="n">{count(line.received)}</span>
      <span className="n">{count(line.waiting)}</span>
      <span className={open > 0 ? "n strong" : "n"}>{count(open)}</span>
      <span className="n">{line.lagMs === null ? "–" : duration(line.lagMs)}</span>
      <span className="n">{behind === null ? "–" : count(behind)}</span>
      <span className="n">{line.lastSeenAt === null ? "never" : ago(line.lastSeenAt, now)}</span>
    </a>
  );
}
