import { WaybillError } from "../base/errors.ts";
import { METRICS, type Entry, type Kind, type MetricName, type Station } from "./metric-list.ts";

type Named<K extends Kind> = { [M in MetricName]: (typeof METRICS)[M]["kind"] extends K ? M : never }[MetricName];
type Labels<M extends MetricName> = { readonly [L in (typeof METRICS)[M]["labels"][number]]: string };
type Series = { readonly labels: string; value: number; readonly counts: number[]; count: number };

/** The figures of one process. Cheap enough to be told of every batch; reading makes text in the Prometheus format 0.0.4. */
export class Metrics {
  readonly #series = new Map<MetricName, Map<string, Series>>();
  readonly #station: Station;

  constructor(station: Station = "hub") {
    this.#station = station;
  }

  /** The metrics that stand on this station's page. */
  get names(): readonly MetricName[] {
    return namesOf(this.#station);
  }

  add<M extends Named<"counter">>(name: M, amount: number, labels: Labels<M>): void {
    this.#at(name, labels).value += amount;
  }
  set<M extends Named<"gauge">>(name: M, value: number, labels: Labels<M>): void {
    this.#at(name, labels).value = value;
  }
  observe<M extends Named<"histogram">>(name: M, value: number, labels: Labels<M>): void {
    const series = this.#at(name, labels);
    const bucket = bucketsOf(name).findIndex((limit) => value <= limit);
    if (bucket >= 0) series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.value += value;
    series.count += 1;
  }
  /** A counter's or gauge's value, or a histogram's sum; 0 when it was never told. */
  value<M extends MetricName>(name: M, labels: Labels<M>): number {
    return this.#series.get(name)?.get(labelText(name, labels))?.value ?? 0;
  }

  /** A histogram's counts: one a bucket, and one for what is above them all. */
  counts<M extends Named<"histogram">>(name: M, labels: Labels<M>): readonly number[] {
    const series = this.#at(name, labels);
    return [...series.counts, series.count - series.counts.reduce((sum, n) => sum + n, 0)];
  }

  text(): string {
    const lines: string[] = [];
    for (const name of this.names) {
      const { kind, unit, meaning }: Entry = METRICS[name];
      lines.push(`# HELP ${name} ${meaning} Unit: ${unit}.`, `# TYPE ${name} ${kind}`);
      for (const series of this.#series.get(name)?.values() ?? []) {
        lines.push(
          ...(kind === "histogram"
            ? histogramLines(name, series)
            : [`${name}${braced(series.labels)} ${series.value}`]),
        );
      }
    }
    return `${lines.join("\n")}\n`;
  }

  #at<M extends MetricName>(name: M, labels: Labels<M>): Series {
    const all = this.#series.get(name) ?? new Map<string, Series>();
    this.#series.set(name, all);
    const text = labelText(name, labels);
    const known = all.get(text);
    if (known) return known;
    const series: Series = { labels: text, value: 0, counts: bucketsOf(name).map(() => 0), count: 0 };
    all.set(text, series);
    return series;
  }
}

export const namesOf = (station: Station): readonly MetricName[] =>
  (Object.keys(METRICS) as MetricName[]).filter((name) => {
    const { station: whose = "hub" }: Entry = METRICS[name];
    return whose === station || whose === "both";
  });

function bucketsOf(name: MetricName): readonly number[] {
  const entry: Entry = METRICS[name];
  return entry.buckets ?? [];
}

function histogramLines(name: MetricName, series: Series): string[] {
  const with_ = (le: string): string => braced([series.labels, `le="${le}"`].filter((label) => label !== "").join(","));
  let below = 0;
  const lines = bucketsOf(name).map((limit, at) => {
    below += series.counts[at] ?? 0;
    return `${name}_bucket${with_(String(limit))} ${below}`;
  });
  return [
    ...lines,
    `${name}_bucket${with_("+Inf")} ${series.count}`,
    `${name}_sum${braced(series.labels)} ${series.value}`,
    `${name}_count${braced(series.labels)} ${series.count}`,
  ];
}

const braced = (labels: string): string => (labels === "" ? "" : `{${labels}}`);

function labelText<M extends MetricName>(name: M, labels: Labels<M>): string {
  const given = labels as Readonly<Record<string, string>>;
  return METRICS[name].labels
    .map((label) => {
      const value = given[label];
      if (value === undefined) throw new WaybillError("INTERNAL", `metric ${name} was told without its label ${label}`);
      return `${label}="${value.replace(/["\\\n]/g, (letter) => (letter === "\n" ? "\\n" : `\\${letter}`))}"`;
    })
    .join(",");
}
