import type { ReactNode } from "react";
import type { PublishedUpdate, Reached } from "../src/ledger/spread.ts";
import { query as queryText } from "./api.ts";
import { ago, count, counted, when } from "./format.ts";
import { useAnswer, useBeat, useLive } from "./live.tsx";
import { PagedList } from "./paged-list.tsx";
import { usePages } from "./pages.ts";
import { go, to } from "./place.ts";
import { titleOf } from "./prose.ts";
import { Badge, Card, Empty, Failure, Figure, Filter, Page, Waiting, type Tone } from "./ui.tsx";
import { VirtualList } from "./virtual-list.tsx";

/** What went down, newest first, and how far each has come. */
export function Updates({ query }: { readonly query: URLSearchParams }): ReactNode {
  const audience = query.get("audience");
  const pages = usePages<{ updates: readonly PublishedUpdate[]; next: number | null }, PublishedUpdate, number>(
    queryText({ audience, limit: 20 }),
    useBeat(2),
    (address, before) => `/api/updates${address}${before === null ? "" : `&before=${before}`}`,
    ({ updates, next }) => ({ rows: updates, next }),
  );
  return (
    <Page title="Updates" lead="What the centre published to the terminals, newest first, and how far each has come.">
      <div className="filters">
        <Filter
          label="Audience, such as store:014"
          value={audience}
          change={(chosen) => go(`${to("updates")}${queryText({ audience: chosen })}`)}
        />
      </div>
      {pages.error !== null && <Failure error={pages.error} again={pages.again} />}
      <Card flush>
        <PagedList
          pages={pages}
          empty={
            <Empty title={audience === null ? "Nothing was published yet." : `Nothing was published for ${audience}.`}>
              {audience === null
                ? "What changes at the centre in a table that goes down to the terminals appears here."
                : "An audience is all, a tag such as store:014, or terminal:till-001."}
            </Empty>
          }
          label="Updates"
          rowHeight={68}
          keyOf={(update) => String(update.id)}
          render={(update) => <UpdateLine update={update} />}
        />
      </Card>
    </Page>
  );
}

const pendingOf = ({ reach, applied, delivered, refused }: PublishedUpdate): number =>
  Math.max(0, reach - applied - delivered - refused);

function UpdateLine({ update }: { readonly update: PublishedUpdate }): ReactNode {
  const pending = pendingOf(update);
  return (
    <a className="row update-grid" href={to("updates", String(update.id))}>
      <span>
        <strong>{update.audience}</strong>
        <small>№ {count(update.id)}</small>
      </span>
      <span>
        <span>{counted(update.count, "row")}</span>
        <small>{update.origin === null ? "from the centre" : `written by ${update.origin}`}</small>
      </span>
      <Spread update={update} />
      <span className="n">
        {update.refused > 0 ? (
          <Badge tone="bad">{count(update.refused)} refused</Badge>
        ) : pending > 0 ? (
          <Badge tone="info">{count(pending)} pending</Badge>
        ) : update.delivered > 0 ? (
          <Badge tone="info">{count(update.delivered)} delivered</Badge>
        ) : update.reach === 0 ? (
          <Badge tone="calm">for nobody</Badge>
        ) : (
          <Badge tone="good">applied everywhere</Badge>
        )}
      </span>
      <span className="n">
        <time>{when(update.at)}</time>
      </span>
    </a>
  );
}

/** How many of the terminals it is for have it, as a bar and in words. */
function Spread({ update }: { readonly update: PublishedUpdate }): ReactNode {
  const { reach, applied, delivered, refused } = update;
  if (reach === 0) return <span className="faint">for no terminal that is enrolled</span>;
  return (
    <span>
      <svg className="spread" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
        <rect className="rest" width="100" height="8" />
        <rect className="done" width={(100 * applied) / reach} height="8" />
        <rect className="under-way" x={(100 * applied) / reach} width={(100 * delivered) / reach} height="8" />
        <rect className="ill" x={(100 * (applied + delivered)) / reach} width={(100 * refused) / reach} height="8" />
      </svg>
      <small>
        applied by {count(applied)} of {counted(reach, "terminal")}
      </small>
    </span>
  );
}

const STATE_TONES: Readonly<Record<Reached["state"], Tone>> = {
  applied: "good",
  delivered: "info",
  pending: "calm",
  refused: "bad",
};

const SAID: Readonly<Record<Reached["state"], string>> = {
  applied: "has it in its database",
  delivered: "it was handed over; the terminal has not confirmed it yet",
  pending: "has not asked for it yet; it gets it when it does",
  refused: "",
};

/** One update: the terminals it is for, the slowest first. */
export function UpdateDetail({ id }: { readonly id: string }): ReactNode {
  const { picture } = useLive();
  const beat = useBeat(2);
  const path = `/api/updates/${encodeURIComponent(id)}`;
  const { value, error, loading, again } = useAnswer<{ update: PublishedUpdate }>(`${path}?limit=1`, beat);
  const pages = usePages<{ terminals: readonly Reached[]; next: string | null }, Reached, string>(
    `${path}?limit=200`,
    beat,
    (address, after) => `${address}${after === null ? "" : `&after=${encodeURIComponent(after)}`}`,
    ({ terminals, next }) => ({ rows: terminals, next }),
  );
  const update = value?.update ?? null;
  return (
    <Page
      title={`Update ${id}`}
      lead={update === null ? undefined : `${counted(update.count, "row")} for ${update.audience}, ${when(update.at)}`}
      aside={<a href={to("updates")}>All updates</a>}
    >
      {error !== null && <Failure error={error} again={again} />}
      {loading && <Waiting />}
      {update !== null && (
        <div className="figures five">
          <Figure label="For" value={count(update.reach)} note={update.reach === 1 ? "terminal" : "terminals"} />
          <Figure label="Applied" value={count(update.applied)} note="in their database" />
          <Figure label="Delivered" value={count(update.delivered)} note="not confirmed yet" />
          <Figure label="Pending" value={count(pendingOf(update))} note="not handed over yet" />
          <Figure
            label="Refused"
            value={count(update.refused)}
            note="could not write it"
            {...(update.refused > 0 ? { tone: "bad" as const } : {})}
          />
        </div>
      )}
      {update !== null && (
        <Card title="Terminals, the slowest first" flush>
          {pages.rows.length === 0 && !pages.loading ? (
            <Empty title="No terminal that is enrolled is in this audience." />
          ) : (
            <VirtualList
              label="Terminals of this update"
              rows={pages.rows}
              rowHeight={52}
              keyOf={({ terminal }) => terminal}
              render={({ terminal, state, lastSeenAt, refused }) => (
                <a className="row letter-grid low" href={to("terminals", terminal)}>
                  <strong>{terminal}</strong>
                  <span>
                    <Badge tone={STATE_TONES[state]}>{state}</Badge>
                  </span>
                  <span className="clip faint">
                    {refused === null ? SAID[state] : `${titleOf(refused.code)}: ${refused.detail}`}
                  </span>
                  <span className="n">
                    {lastSeenAt === null ? "never seen" : ago(lastSeenAt, picture?.at ?? lastSeenAt)}
                  </span>
                </a>
              )}
              onEnd={pages.loadMore}
            />
          )}
        </Card>
      )}
    </Page>
  );
}
