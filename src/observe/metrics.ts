import { WaybillError } from "../base/errors.ts";

type Kind = "counter" | "gauge" | "histogram";
type Station = "hub" | "terminal";
type Entry = {
  /** Whose page it stands on; the hub's when left out. */
  readonly station?: Station | "both";
  readonly kind: Kind;
  readonly unit: string;
  readonly meaning: string;
  readonly labels: readonly string[];
  readonly buckets?: readonly number[];
};

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600] as const;
/** Finer than `SECONDS` where a person waits: percentiles of lag are told from these (ledger/history.ts). */
export const LAG_SECONDS = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 60, 300, 1800, 3600] as const;
const COUNTS = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000] as const;

/**
 * Every metric Waybill keeps, with unit and meaning: the only list; `/metrics` and docs/metrics.md come from it. Labels
 * are few and bounded by the code (codes, states), not by terminals: those are counted in the ledger. One names terminals, up to a
 * fixed number.
 */
export const METRICS = {
  waybill_messages_received_total: {
    kind: "counter",
    unit: "messages",
    meaning: "Messages stored for the first time.",
    labels: [],
  },
  waybill_messages_duplicate_total: {
    kind: "counter",
    unit: "messages",
    meaning: "Messages that came again and changed nothing.",
    labels: [],
  },
  waybill_requests_total: {
    kind: "counter",
    unit: "requests",
    meaning: "HTTP requests answered.",
    labels: ["route", "status"],
  },
  waybill_request_seconds: {
    kind: "histogram",
    unit: "seconds",
    meaning: "From the first byte of a request to its answer.",
    labels: ["route"],
    buckets: SECONDS,
  },
  waybill_soap_faults_total: {
    kind: "counter",
    unit: "replies",
    meaning:
      "SOAP requests answered with a fault, by its code and terminal: `none` when nobody signed in, `others` beyond the first 500 terminals that had one.",
    labels: ["code", "terminal"],
  },
  waybill_messages_loaded_total: {
    kind: "counter",
    unit: "messages",
    meaning: "Messages passed by their lane's watermark, exceptions not counted.",
    labels: [],
  },
  waybill_changes_loaded_total: {
    kind: "counter",
    unit: "changes",
    meaning: "Changes applied to the central database.",
    labels: [],
  },
  waybill_exceptions_total: {
    kind: "counter",
    unit: "messages",
    meaning: "Messages that left the happy path, by the state they went to.",
    labels: ["state"],
  },
  waybill_batch_seconds: {
    kind: "histogram",
    unit: "seconds",
    meaning: "From the claim of a batch to its settlement.",
    labels: [],
    buckets: SECONDS,
  },
  waybill_load_seconds: {
    kind: "histogram",
    unit: "seconds",
    meaning: "One central transaction, its reading and planning included.",
    labels: [],
    buckets: SECONDS,
  },
  waybill_batch_messages: {
    kind: "histogram",
    unit: "messages",
    meaning: "Messages of one batch.",
    labels: [],
    buckets: COUNTS,
  },
  waybill_load_lag_seconds: {
    kind: "histogram",
    unit: "seconds",
    meaning:
      "From the commit at the terminal (its clock) to the commit at the centre, newest message of each lane and batch.",
    labels: [],
    buckets: LAG_SECONDS,
  },
  waybill_leases_lost_total: {
    kind: "counter",
    unit: "lanes",
    meaning: "Lanes another worker took over before they were settled.",
    labels: [],
  },
  waybill_batches_failed_total: {
    kind: "counter",
    unit: "batches",
    meaning: "Batches that ended with a fault and judged nothing, by its code.",
    labels: ["code"],
  },
  waybill_backlog_messages: {
    kind: "gauge",
    unit: "messages",
    meaning: "Messages stored and not yet passed by the watermark of their lane, of all hubs over this ledger.",
    labels: [],
  },
  waybill_backlog_oldest_seconds: {
    kind: "gauge",
    unit: "seconds",
    meaning: "How long the oldest of them has waited; 0 when none waits.",
    labels: [],
  },
  waybill_exceptions_open: {
    kind: "gauge",
    unit: "messages",
    meaning: "Messages off the happy path now, by state: `retrying`, `held`, `dead`.",
    labels: ["state"],
  },
  waybill_terminals_enrolled: {
    kind: "gauge",
    unit: "terminals",
    meaning: "Terminals that have a key.",
    labels: [],
  },
  waybill_breaker_open: {
    kind: "gauge",
    unit: "0 or 1",
    meaning: "1 while a target is not tried because it did not answer.",
    labels: ["target"],
  },
  waybill_route_paused: {
    kind: "gauge",
    unit: "0 or 1",
    meaning: "1 while messages of this table wait, since one fault met many lanes or a person paused it.",
    labels: ["table"],
  },
  waybill_updates_forwarded_total: {
    kind: "counter",
    unit: "entries",
    meaning: "Entries written to the update log from the centre's own changes.",
    labels: [],
  },
  waybill_publish_seconds: {
    kind: "histogram",
    unit: "seconds",
    meaning: "One look at the centre's outbox until its updates are in the log.",
    labels: [],
    buckets: SECONDS,
  },
  waybill_ingest_refusing: {
    kind: "gauge",
    unit: "0 or 1",
    meaning: "1 while terminals are asked to come again later, since the disk, the ledger or the backlog is full.",
    labels: ["why"],
  },
  waybill_retention_removed_total: {
    kind: "counter",
    unit: "rows",
    meaning: "What retention took away, by its kind; a message counts as part of the run it was stored in.",
    labels: ["kind"],
  },
  waybill_retention_pass_seconds: {
    kind: "gauge",
    unit: "seconds",
    meaning: "How long the last retention pass of this process took, its rests included.",
    labels: [],
  },
  waybill_ledger_snapshot_seconds: {
    kind: "gauge",
    unit: "seconds",
    meaning:
      "Age of the oldest transaction in the ledger's database (PostgreSQL) that keeps dead rows from being cleared away; 0 when there is none.",
    labels: [],
  },
  waybill_ledger_dead_rows: {
    kind: "gauge",
    unit: "rows",
    meaning: "Dead rows of the small tables that every batch writes to, as the server last counted them (PostgreSQL).",
    labels: ["table"],
  },
  waybill_ledger_partition_headroom_seconds: {
    kind: "gauge",
    unit: "seconds",
    meaning: "Until messages or events would land outside of the partitions made ahead (PostgreSQL).",
    labels: [],
  },
  waybill_ledger_replication_lag_seconds: {
    kind: "gauge",
    unit: "seconds",
    meaning: "How far the slowest replica of the ledger is behind (PostgreSQL); absent when there is none.",
    labels: [],
  },
  waybill_terminal_messages_packed_total: {
    station: "terminal",
    kind: "counter",
    unit: "messages",
    meaning: "Messages made of what the application committed.",
    labels: [],
  },
  waybill_terminal_changes_packed_total: {
    station: "terminal",
    kind: "counter",
    unit: "changes",
    meaning: "Row changes in those messages.",
    labels: [],
  },
  waybill_terminal_messages_acknowledged_total: {
    station: "terminal",
    kind: "counter",
    unit: "messages",
    meaning: "Messages sent that the hub answered for: it stores them, or did before.",
    labels: [],
  },
  waybill_terminal_updates_applied_total: {
    station: "terminal",
    kind: "counter",
    unit: "updates",
    meaning: "Updates of the hub that took effect here.",
    labels: [],
  },
  waybill_terminal_rows_refused_total: {
    station: "terminal",
    kind: "counter",
    unit: "rows",
    meaning: "Rows of updates that this database refused, by code.",
    labels: ["code"],
  },
  waybill_terminal_failures_total: {
    station: "terminal",
    kind: "counter",
    unit: "failures",
    meaning:
      "Steps of the agent that met a fault and are tried again, by its loop (hub, capture, submit, receive) and the fault's code.",
    labels: ["loop", "code"],
  },
  waybill_terminal_outbox_rows: {
    station: "terminal",
    kind: "gauge",
    unit: "rows",
    meaning: "Changes that are committed and not yet in a message.",
    labels: [],
  },
  waybill_terminal_messages_waiting: {
    station: "terminal",
    kind: "gauge",
    unit: "messages",
    meaning: "Messages that the hub has not acknowledged.",
    labels: [],
  },
  waybill_terminal_messages_unloaded: {
    station: "terminal",
    kind: "gauge",
    unit: "messages",
    meaning: "Messages stored by the hub and not yet passed by the watermark of the central database, as last heard.",
    labels: [],
  },
  waybill_terminal_exceptions_open: {
    station: "terminal",
    kind: "gauge",
    unit: "messages",
    meaning: "Messages of this terminal off the happy path at the hub, by state, as last heard.",
    labels: ["state"],
  },
  waybill_terminal_stale_rows: {
    station: "terminal",
    kind: "gauge",
    unit: "rows",
    meaning: "Rows that differ from the centre since this database refused them.",
    labels: [],
  },
  waybill_terminal_longest_lock_seconds: {
    station: "terminal",
    kind: "gauge",
    unit: "seconds",
    meaning: "The longest that one transaction of the agent held the database's write lock.",
    labels: [],
  },
  waybill_spans_total: {
    station: "both",
    kind: "counter",
    unit: "spans",
    meaning:
      "Spans of traces, by what became of them: `made` here, `sent` to the collector, `failed` to be sent. Those made and neither sent nor failed still wait, or were dropped since too many did.",
    labels: ["fate"],
  },
} as const satisfies Record<string, Entry>;

export type MetricName = keyof typeof METRICS;
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
