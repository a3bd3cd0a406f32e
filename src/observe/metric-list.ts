export type Kind = "counter" | "gauge" | "histogram";
export type Station = "hub" | "terminal";
export type Entry = {
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
