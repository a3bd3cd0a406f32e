import { useState, type ReactNode } from "react";
import type { Bulk, BulkItem, Waiting as Behind } from "../src/ledger/exceptions.ts";
import { post } from "./api.ts";
import { ago, count, counted, when, who } from "./format.ts";
import { useAnswer, useBeat, useLive } from "./live.tsx";
import { usePages } from "./pages.ts";
import { to } from "./place.ts";
import {
  Badge,
  Card,
  Empty,
  Failure,
  Page,
  Progress,
  ReasonField,
  StateBadge,
  useAct,
  Waiting,
  type Tone,
} from "./ui.tsx";
import { VirtualList } from "./virtual-list.tsx";

export type { Bulk };
const TONES: Readonly<Record<Bulk["state"], Tone>> = {
  previewed: "info",
  running: "warn",
  done: "good",
  cancelled: "calm",
};
const WORDS: Readonly<Record<Bulk["verb"], string>> = { requeue: "Requeue", discard: "Discard" };

/** Acts on many messages, newest first. */
export function Bulks(): ReactNode {
  const { value, error, loading, again } = useAnswer<{ bulks: readonly Bulk[] }>("/api/bulk?limit=100", useBeat(2));
  return (
    <Page
      title="Acts on many"
      lead="Each froze its list before it began, and worked off exactly that list."
      aside={<a href={to("dead")}>Dead letters</a>}
    >
      {error !== null && <Failure error={error} again={again} />}
      <Card flush>
        {loading && <Waiting />}
        {value?.bulks.length === 0 && (
          <Empty title="There was none yet.">Filter the dead letters, then act on all of them.</Empty>
        )}
        <ul className="rows" aria-label="Acts on many">
          {value?.bulks.map((bulk) => (
            <li key={bulk.id}>
              <a className="row letter-grid" href={to("dead", "bulk", String(bulk.id))}>
                <span>
                  <strong>
                    {WORDS[bulk.verb]} {counted(bulk.messages, "message")}
                  </strong>
                  <small>{who(bulk.by)}</small>
                </span>
                <span>
                  <Badge tone={TONES[bulk.state]}>{bulk.state}</Badge>
                </span>
                <span className="clip">
                  <span>{bulk.reason ?? "not started"}</span>
                  <small>{filterText(bulk)}</small>
                </span>
                <span className="n">
                  <time>{when(bulk.madeAt)}</time>
                  <small>
                    {count(bulk.ordered)} done{bulk.skipped > 0 ? `, ${count(bulk.skipped)} left alone` : ""}
                  </small>
                </span>
              </a>
            </li>
          ))}
        </ul>
      </Card>
    </Page>
  );
}

const filterText = ({ filter }: Bulk): string =>
  Object.entries(filter)
    .map(([name, value]) => `${name} ${name === "since" || name === "until" ? when(Number(value)) : String(value)}`)
    .join(" · ") || "all";

/** One of them: what it would reach, then how far it is, then what became of each message. */
export function BulkDetail({ id }: { readonly id: string }): ReactNode {
  const beat = useBeat(1);
  const { value, error, loading, again } = useAnswer<{ bulk: Bulk }>(
    `/api/bulk/${encodeURIComponent(id)}?limit=1`,
    beat,
  );
  const bulk = value?.bulk ?? null;
  const pages = usePages<{ items: readonly BulkItem[]; next: number | null }, BulkItem, number>(
    `/api/bulk/${encodeURIComponent(id)}?limit=200`,
    beat,
    (address, after) => `${address}${after === null ? "" : `&after=${after}`}`,
    ({ items, next }) => ({ rows: items, next }),
  );
  return (
    <Page
      title={bulk === null ? `Act ${id}` : `${WORDS[bulk.verb]} ${counted(bulk.messages, "message")}`}
      lead={bulk === null ? undefined : filterText(bulk)}
      aside={<a href={to("dead", "bulk")}>Acts on many</a>}
    >
      {error !== null && <Failure error={error} again={again} />}
      {loading && <Waiting />}
      {bulk !== null && <State bulk={bulk} again={again} />}
      {bulk !== null && (
        <Card title="Its list, as it was frozen" flush>
          {pages.rows.length === 0 && !pages.loading ? (
            <Empty title="No message matched." />
          ) : (
            <VirtualList
              label="Messages of this act"
              rows={pages.rows}
              rowHeight={48}
              keyOf={(item) => String(item.n)}
              render={(item) => <ItemLine item={item} />}
              onEnd={pages.loadMore}
            />
          )}
        </Card>
      )}
    </Page>
  );
}

function State({ bulk, again }: { readonly bulk: Bulk; readonly again: () => void }): ReactNode {
  const { picture } = useLive();
  const [reason, setReason] = useState("");
  const { busy, error, run } = useAct();
  const gone = bulk.ordered + bulk.skipped;
  const order = (what: "start" | "cancel"): void =>
    run(async () => {
      await post(`/api/bulk/${bulk.id}/${what}`, { reason: reason.trim() });
      setReason("");
      again();
    });
  const isOpen = bulk.state === "previewed" || bulk.state === "running";
  return (
    <Card>
      <div className="act-head">
        <Badge tone={TONES[bulk.state]}>{bulk.state}</Badge>
        <p>{sentenceOf(bulk, picture?.at ?? bulk.madeAt)}</p>
      </div>
      {bulk.state !== "previewed" && <Progress label="How far it is" done={gone} of={bulk.messages} />}
      <Reach bulk={bulk} />
      {error !== null && <Failure error={error} />}
      {isOpen && (
        <>
          <ReasonField value={reason} change={setReason} />
          <div className="buttons">
            {bulk.state === "previewed" && bulk.messages > 0 && (
              <button
                type="button"
                className={bulk.verb === "discard" ? "danger" : "primary"}
                disabled={busy || reason.trim() === ""}
                onClick={() => order("start")}
              >
                {WORDS[bulk.verb]} {counted(bulk.messages, "message")}
              </button>
            )}
            <button type="button" disabled={busy || reason.trim() === ""} onClick={() => order("cancel")}>
              {bulk.state === "previewed" ? "Leave it" : "Cancel the rest"}
            </button>
          </div>
        </>
      )}
    </Card>
  );
}

function sentenceOf(bulk: Bulk, now: number): string {
  const by = bulk.by.replace(/^operator:/, "");
  if (bulk.state === "previewed")
    return `Nothing is done yet. ${counted(bulk.messages, "message")} of ${counted(bulk.terminals, "terminal")} would be ${bulk.verb === "requeue" ? "tried again" : "given up for good"}.`;
  const skipped = bulk.skipped > 0 ? `; ${count(bulk.skipped)} had moved on and were left alone` : "";
  const done = `${count(bulk.ordered)} of ${counted(bulk.messages, "message")} ordered${skipped}`;
  if (bulk.state === "running") return `${done}. Started ${ago(bulk.startedAt ?? bulk.madeAt, now)} by ${by}.`;
  return `${done}. ${bulk.state === "done" ? "Ended" : "Cancelled"} ${ago(bulk.endedAt ?? bulk.madeAt, now)}; ${by}: ${bulk.reason ?? ""}`;
}

function Reach({ bulk: { waiting, beyond, verb } }: { readonly bulk: Bulk }): ReactNode {
  return (
    <>
      {beyond > 0 && (
        <p className="fine">
          {counted(beyond, "message")} more matched; a list has an upper size, so act once more after this.
        </p>
      )}
      <Impact
        waiting={waiting}
        none="Nothing waits behind them."
        many={verb === "requeue" ? "go on when they are loaded" : "go on without them"}
      />
    </>
  );
}

/** What waits behind a message, or behind many. */
export function Impact({
  waiting,
  none,
  many,
}: {
  readonly waiting: Behind;
  readonly none: string;
  readonly many: string;
}): ReactNode {
  const { picture } = useLive();
  if (waiting.messages === 0) return <p className="fine">{none}</p>;
  const since = waiting.since === null ? "" : `, the oldest since ${ago(waiting.since, picture?.at ?? waiting.since)}`;
  return (
    <div className="impact">
      <p>
        <strong>{counted(waiting.messages, "message waits", "messages wait")} behind</strong>, of{" "}
        {counted(waiting.terminals, "terminal")}
        {since}; they {many}.
      </p>
      {waiting.keys.length > 0 && (
        <p className="fine">
          For{" "}
          {waiting.keys
            .map(({ on, messages }) => `${on.replace(/^~/, "")}${messages > 1 ? ` (${messages})` : ""}`)
            .join(", ")}
        </p>
      )}
    </div>
  );
}

function ItemLine({ item }: { readonly item: BulkItem }): ReactNode {
  const [terminal = "", epoch = ""] = item.lane.split("/");
  return (
    <a className="row letter-grid low" href={to("message", terminal, epoch, String(item.seq))}>
      <strong>
        {terminal} <span className="faint">№ {item.seq}</span>
      </strong>
      <span>
        <StateBadge state={item.now} />
      </span>
      <span className="clip faint">{item.why}</span>
      <span className="n">{item.outcome ?? "not yet"}</span>
    </a>
  );
}
