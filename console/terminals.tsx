import { useState, type ReactNode } from "react";
import { HEALTHS, type FleetHealth, type TerminalLine } from "../src/ledger/fleet.ts";
import { may, query, type FleetPage } from "./api.ts";
import { EnrolForm } from "./enrol.tsx";
import { ago, count, counted, duration, updatesBehind } from "./format.ts";
import { useBeat, useLive } from "./live.tsx";
import { PagedList } from "./paged-list.tsx";
import { usePages } from "./pages.ts";
import { go, to } from "./place.ts";
import { Badge, Card, Chips, Empty, Failure, Filter, Page, useSettled, type Tone } from "./ui.tsx";

export const HEALTH_TONES: Readonly<Record<FleetHealth, Tone>> = {
  trouble: "bad",
  away: "warn",
  waiting: "warn",
  well: "good",
  revoked: "calm",
};

/** All terminals, by name, tags and health: whatever is asked for is found by the hub, a page at a time. */
export function Terminals({ query: given }: { readonly query: URLSearchParams }): ReactNode {
  const [text, setText] = useState("");
  const [isEnrolling, setEnrolling] = useState(false);
  const settled = useSettled(text);
  const { picture } = useLive();
  const chosen = HEALTHS.find((each) => each === given.get("health")) ?? null;
  const tag = given.get("tag");
  const isTag = tag === null || /^[^:,]+:[^,]+(,[^:,]+:[^,]+)*$/.test(tag);
  const pages = usePages<FleetPage, TerminalLine, string>(
    query({ text: settled, health: chosen, tag: isTag ? tag : null }),
    useBeat(3),
    (address, after) =>
      `/api/terminals${address === "" ? "?" : `${address}&`}limit=200${after === null ? "" : `&after=${encodeURIComponent(after)}`}`,
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
            placeholder="Name, store, region …"
            value={text}
            spellCheck={false}
            autoComplete="off"
            onChange={(event) => setText(event.target.value)}
          />
        </label>
        <Filter
          label="Tag, such as store:014"
          value={tag}
          change={(wanted) => go(`${to("terminals")}${query({ health: chosen, tag: wanted })}`)}
        />
        <Chips
          label="Health"
          chosen={chosen ?? "all"}
          options={[
            { value: "all", label: "all", href: `${to("terminals")}${query({ tag })}` },
            ...HEALTHS.filter((each) => each !== "revoked" || chosen === each || (picture?.fleet.revoked ?? 0) > 0).map(
              (each) => ({
                value: each,
                label: each,
                href: `${to("terminals")}${query({ health: each, tag })}`,
                ...(picture === null ? {} : { note: count(picture.fleet[each]) }),
              }),
            ),
          ]}
        />
      </div>
      {!isTag && (
        <p className="notice warn">A tag is its name and its value with a colon between, such as store:014.</p>
      )}
      {pages.error !== null && <Failure error={pages.error} again={pages.again} />}
      <Card flush>
        <PagedList
          pages={pages}
          empty={
            <Empty title="No terminal fits.">
              {settled === "" && chosen === null && tag === null
                ? "Enrol the first one with the button above; it gets a token to begin with."
                : "Try another name, tag or health."}
            </Empty>
          }
          head={<TerminalHead />}
          label="Terminals"
          rowHeight={56}
          keyOf={(line) => line.terminal}
          render={(line) => <TerminalRow line={line} head={picture?.overview.updatesHead ?? 0} now={now} />}
        />
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
  readonly line: TerminalLine;
  readonly head: number;
  readonly now: number;
}): ReactNode {
  const open = line.dead + line.held + line.retrying;
  const behind = updatesBehind(head, line.appliedThrough);
  return (
    <a className="row terminal-grid" href={to("terminals", line.terminal)}>
      <span>
        <strong>{line.terminal}</strong>
        <small>{Object.values(line.tags).join(" · ") || "\u00a0"}</small>
      </span>
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
