import { useState, type ReactNode } from "react";
import { query, type Picture, type Point } from "./api.ts";
import { Chart } from "./chart.tsx";
import { ago, count, counted, duration, rate } from "./format.ts";
import { useAnswer, useBeat, useLive } from "./live.tsx";
import { to } from "./place.ts";
import { TerminalHead, TerminalRow } from "./terminals.tsx";
import { Badge, Card, Empty, Failure, Figure, Page, Waiting, type Tone } from "./ui.tsx";

/** Older than this, what waits is worth a sentence. */
const OLD_MS = 60_000;

export function Overview(): ReactNode {
  const { picture } = useLive();
  return (
    <Page title="Overview" lead="What needs a person, and how everything flows.">
      {picture === null ? <Waiting /> : <Now picture={picture} />}
    </Page>
  );
}

function Now({ picture }: { readonly picture: Picture }): ReactNode {
  const { overview, rates, fleet, at } = picture;
  const age = overview.oldestReceivedAt === null ? null : Math.max(0, at - overview.oldestReceivedAt);
  return (
    <>
      <Attention picture={picture} />
      <div className="figures">
        <Figure label="In" value={rate(rates.received)} unit="/s" note={`${count(overview.received)} in all`} />
        <Figure label="Loaded" value={rate(rates.loaded)} unit="/s" note={`${count(overview.loaded)} in all`} />
        <Figure
          label="Backlog"
          value={count(overview.backlog)}
          note={age === null ? "nothing waits" : `oldest ${duration(age)}`}
          {...(age !== null && age > OLD_MS ? { tone: "warn" as const } : {})}
        />
        <Figure
          label="Till to centre"
          value={fleet.lag === null ? "–" : duration(fleet.lag.typicalMs)}
          note={fleet.lag === null ? "no message yet" : `slowest ${duration(fleet.lag.slowestMs)}`}
        />
      </div>
      <div className="figures">
        <Figure
          label="Dead letters"
          value={count(overview.dead)}
          note={overview.dead > 0 ? "wait for a person" : "none"}
          href={to("dead")}
          {...(overview.dead > 0 ? { tone: "bad" as const } : {})}
        />
        <Figure
          label="Held"
          value={count(overview.held)}
          note="wait behind others"
          href={`${to("dead")}?state=held`}
          {...(overview.held > 0 ? { tone: "warn" as const } : {})}
        />
        <Figure
          label="Retrying"
          value={count(overview.retrying)}
          note="will be tried again"
          href={`${to("dead")}?state=retrying`}
          {...(overview.retrying > 0 ? { tone: "warn" as const } : {})}
        />
        <Figure
          label="Terminals"
          value={count(overview.terminals)}
          note={`${count(fleet.well)} well`}
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

type Sentence = { readonly tone: Tone; readonly text: string; readonly href?: string; readonly act?: string };

/** What needs a person, worst first, each as a sentence with a way to go on. */
function sentencesOf({ health, overview, fleet, at }: Picture): readonly Sentence[] {
  const sentences: Sentence[] = [];
  for (const [name, { state, why }] of Object.entries(health.parts))
    if (state !== "ok") sentences.push({ tone: state === "down" ? "bad" : "warn", text: why ?? `${name} is ${state}` });
  if (overview.dead > 0) {
    const behind =
      overview.held > 0 ? `; ${counted(overview.held, "message")} wait${overview.held === 1 ? "s" : ""} behind` : "";
    sentences.push({
      tone: "bad",
      text: `${counted(overview.dead, "message was", "messages were")} refused for good${behind}`,
      href: to("dead"),
      act: "Open dead letters",
    });
  }
  if (fleet.away > 0)
    sentences.push({
      tone: "warn",
      text: `${counted(fleet.away, "terminal has", "terminals have")} not been heard of for two minutes`,
      href: `${to("terminals")}${query({ health: "away" })}`,
      act: "Show them",
    });
  if (overview.oldestReceivedAt !== null && at - overview.oldestReceivedAt > OLD_MS)
    sentences.push({ tone: "warn", text: `What came ${ago(overview.oldestReceivedAt, at)} is not loaded yet` });
  return sentences;
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

function Charts(): ReactNode {
  const [span, setSpan] = useState<"minutes" | "hours">("minutes");
  const { value, error, again } = useAnswer<{ points: readonly Point[] }>(
    `/api/history?span=${span}`,
    useBeat(span === "minutes" ? 2 : 30),
  );
  const points = value?.points ?? [];
  const flow = flowOf(points, span === "minutes" ? 5 : 1);
  const choice = (
    <fieldset className="segments">
      <legend className="unseen">How far back</legend>
      {(["minutes", "hours"] as const).map((each) => (
        <label key={each}>
          <input type="radio" name="span" checked={span === each} onChange={() => setSpan(each)} />
          <span>{each === "minutes" ? "10 minutes" : "24 hours"}</span>
        </label>
      ))}
    </fieldset>
  );
  return (
    <Card title="Flow" aside={choice}>
      {error !== null && <Failure error={error} again={again} />}
      <div className="charts">
        <div>
          <h3>Messages a second</h3>
          <Chart
            summary={`Messages a second: ${rate(flow.received.at(-1) ?? 0)} in, ${rate(flow.loaded.at(-1) ?? 0)} loaded at last`}
            times={flow.times}
            series={[
              { label: "in", colour: "--chart-2", values: flow.received },
              { label: "loaded", colour: "--chart-1", values: flow.loaded },
            ]}
          />
        </div>
        <div>
          <h3>Waiting</h3>
          <Chart
            summary={`Waiting: ${count(points.at(-1)?.backlog ?? 0)} in the backlog, ${count(points.at(-1)?.open ?? 0)} off the happy path`}
            times={points.map(({ at }) => at / 1_000)}
            series={[
              { label: "backlog", colour: "--chart-3", values: points.map(({ backlog }) => backlog) },
              { label: "dead, held, retrying", colour: "--chart-4", values: points.map(({ open }) => open) },
            ]}
          />
        </div>
      </div>
      <p className="fine">Kept in the hub’s memory since it was started.</p>
    </Card>
  );
}

/** Rates from running totals, each over `over` steps so that single seconds do not jitter. */
function flowOf(points: readonly Point[], over: number): { times: number[]; received: number[]; loaded: number[] } {
  const flow: { times: number[]; received: number[]; loaded: number[] } = { times: [], received: [], loaded: [] };
  points.forEach((point, index) => {
    const before = points[Math.max(0, index - over)];
    if (!before || point.at <= before.at) return;
    const perSecond = (grown: number): number => Math.max(0, (grown * 1_000) / (point.at - before.at));
    flow.times.push(point.at / 1_000);
    flow.received.push(perSecond(point.received - before.received));
    flow.loaded.push(perSecond(point.loaded - before.loaded));
  });
  return flow;
}
