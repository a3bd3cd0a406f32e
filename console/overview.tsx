import { useState, type ReactNode } from "react";
import { HEALTHS } from "../src/ledger/fleet.ts";
import { lagAt } from "../src/ledger/history.ts";
import { type Minute, type Picture, type Point } from "./api.ts";
import { Chart } from "./chart.tsx";
import { OLD_MS, sentencesOf } from "./attention.ts";
import { count, duration, rate } from "./format.ts";
import { dayOf, ratesOf } from "./flow.ts";
import { useAnswer, useBeat, useLive } from "./live.tsx";
import { Ask } from "./messages.tsx";
import { Pauses } from "./pauses.tsx";
import { to } from "./place.ts";
import { TerminalHead, TerminalRow } from "./terminals.tsx";
import { Badge, Card, Empty, Failure, Figure, Page, Waiting } from "./ui.tsx";

export function Overview(): ReactNode {
  const { picture } = useLive();
  return (
    <Page title="Overview" lead="Where is it, and why? What needs a person stands first; any receipt can be asked for.">
      {picture === null ? <Waiting /> : <Now picture={picture} />}
    </Page>
  );
}

const OPEN = [
  { state: "dead", label: "Dead letters", note: "wait for a person", tone: "bad" },
  { state: "held", label: "Held", note: "wait behind others", tone: "warn" },
  { state: "retrying", label: "Retrying", note: "will be tried again", tone: "warn" },
] as const;

function Now({ picture }: { readonly picture: Picture }): ReactNode {
  const { overview, rates, fleet, lag, at } = picture;
  const age = overview.oldestReceivedAt === null ? null : Math.max(0, at - overview.oldestReceivedAt);
  return (
    <>
      <Attention picture={picture} />
      <Pauses />
      <Ask what="" at="" />
      <div className="figures">
        <Figure
          label="In, loaded"
          value={`${rate(rates.received)} · ${rate(rates.loaded)}`}
          unit="/s"
          note={`${count(overview.loaded)} loaded in all`}
        />
        <Figure label="Updates out" value={rate(rates.out)} unit="/s" note="to the update log" />
        <Figure
          label="Backlog"
          value={count(overview.backlog)}
          note={age === null ? "nothing waits" : `oldest ${duration(age)}`}
          {...(age !== null && age > OLD_MS ? { tone: "warn" as const } : {})}
        />
        <Figure
          label="Till to centre"
          value={lag === null ? "–" : duration(lag.p50Ms)}
          note={lag === null ? "nothing of late" : `99 of 100 within ${duration(lag.p99Ms)}`}
        />
      </div>
      <div className="figures">
        {OPEN.map(({ state, label, note, tone }) => (
          <Figure
            key={state}
            label={label}
            value={count(overview[state])}
            note={note}
            href={state === "dead" ? to("dead") : `${to("dead")}?state=${state}`}
            {...(overview[state] > 0 ? { tone } : {})}
          />
        ))}
        <Figure
          label="Terminals"
          value={count(overview.terminals)}
          note={HEALTHS.filter((health) => fleet[health] > 0)
            .map((health) => `${count(fleet[health])} ${health}`)
            .join(", ")}
          href={to("terminals")}
        />
      </div>
      <Charts />
      <Card title="Terminals to look at" aside={<a href={to("terminals")}>All terminals</a>} flush>
        {fleet.first.length === 0 ? (
          <Empty title="Every terminal is well." />
        ) : (
          <>
            <TerminalHead />
            <ul className="rows" aria-label="Terminals to look at">
              {fleet.first.map((line) => (
                <li key={line.terminal}>
                  <TerminalRow line={line} head={overview.updatesHead} now={at} />
                </li>
              ))}
            </ul>
          </>
        )}
      </Card>
    </>
  );
}

function Attention({ picture }: { readonly picture: Picture }): ReactNode {
  const sentences = sentencesOf(picture);
  if (sentences.length === 0)
    return (
      <div className="attention well">
        <Badge tone="good">All is well</Badge>
        <span>Nothing needs a person.</span>
      </div>
    );
  return (
    <ul className="attention" aria-label="What needs attention">
      {sentences.map(({ tone, text, href, act }) => (
        <li key={text.replaceAll(/\d/g, "")} className={tone}>
          <span className="dot" />
          <span>{text}.</span>
          {href !== undefined && <a href={href}>{act}</a>}
        </li>
      ))}
    </ul>
  );
}

const SPANS = { minutes: "10 minutes", hours: "24 hours" } as const;
type Span = keyof typeof SPANS;

function Charts(): ReactNode {
  const [span, setSpan] = useState<Span>("hours");
  const choice = (
    <fieldset className="segments">
      <legend className="unseen">How far back</legend>
      {(Object.keys(SPANS) as Span[]).map((each) => (
        <label key={each}>
          <input type="radio" name="span" checked={span === each} onChange={() => setSpan(each)} />
          <span>{SPANS[each]}</span>
        </label>
      ))}
    </fieldset>
  );
  return (
    <Card title="Flow" aside={choice}>
      {span === "hours" ? <Day /> : <Minutes />}
    </Card>
  );
}

/** The last day by the minute, as the ledger keeps it. */
function Day(): ReactNode {
  const { value, error, loading, again } = useAnswer<{ minutes: readonly Minute[] }>(
    "/api/history?span=hours",
    useBeat(20),
  );
  const { times, minutes, flow } = dayOf(value?.minutes ?? []);
  if (error !== null) return <Failure error={error} again={again} />;
  if (loading) return <Waiting />;
  if (times.length < 2) return <Empty title="The first minutes are being counted." />;
  const percentile = (share: number): (number | null)[] =>
    minutes.map((minute) => {
      const lag = minute && lagAt(share, minute.lag);
      return lag === null ? null : lag / 1_000;
    });
  const [p50, p99] = [percentile(0.5), percentile(0.99)];
  const waiting = minutes.map((minute) => minute && minute.backlog);
  const open = minutes.map((minute) => minute && minute.dead + minute.held + minute.retrying);
  return (
    <div className="charts three">
      <Chart
        title="Messages a second"
        summary={`${rate(flow.received.at(-1) ?? 0)} in, ${rate(flow.loaded.at(-1) ?? 0)} loaded, ${rate(flow.out.at(-1) ?? 0)} updates out at last`}
        times={times}
        series={[
          { label: "in", colour: "--chart-2", values: flow.received },
          { label: "loaded", colour: "--chart-1", values: flow.loaded },
          { label: "updates out", colour: "--chart-3", values: flow.out },
        ]}
      />
      <Chart
        title="Waiting"
        summary={`${count(waiting.at(-1) ?? 0)} in the backlog, ${count(open.at(-1) ?? 0)} off the happy path at last`}
        times={times}
        series={[
          { label: "backlog", colour: "--chart-3", values: waiting },
          { label: "dead, held, retrying", colour: "--chart-4", values: open },
        ]}
      />
      <Chart
        title="Till to centre, seconds"
        summary={`half within ${rate(p50.at(-1) ?? 0)} s, 99 of 100 within ${rate(p99.at(-1) ?? 0)} s at last`}
        times={times}
        series={[
          { label: "p99", colour: "--chart-2", values: p99 },
          { label: "p50", colour: "--chart-1", values: p50 },
        ]}
      />
    </div>
  );
}

/** The last ten minutes by the second. */
function Minutes(): ReactNode {
  const { value, error, again } = useAnswer<{ points: readonly Point[] }>("/api/history?span=minutes", useBeat(2));
  const points = value?.points ?? [];
  const flow = ratesOf(points, 5);
  if (error !== null) return <Failure error={error} again={again} />;
  return (
    <div className="charts">
      <Chart
        title="Messages a second"
        summary={`${rate(flow.received.at(-1) ?? 0)} in, ${rate(flow.loaded.at(-1) ?? 0)} loaded at last`}
        times={points.map(({ at }) => at / 1_000)}
        series={[
          { label: "in", colour: "--chart-2", values: flow.received },
          { label: "loaded", colour: "--chart-1", values: flow.loaded },
        ]}
      />
      <Chart
        title="Waiting"
        summary={`${count(points.at(-1)?.backlog ?? 0)} in the backlog, ${count(points.at(-1)?.open ?? 0)} off the happy path at last`}
        times={points.map(({ at }) => at / 1_000)}
        series={[
          { label: "backlog", colour: "--chart-3", values: points.map(({ backlog }) => backlog) },
          { label: "dead, held, retrying", colour: "--chart-4", values: points.map(({ open }) => open) },
        ]}
      />
    </div>
  );
}
