import type { Rules } from "../load/rules.ts";
import type { TracingSettings } from "../observe/tracing.ts";
import type { Role } from "../ledger/access.ts";
import type { Row } from "../message/change.ts";
import type { OidcSettings } from "./oidc-config.ts";
import type { AlertSettings } from "./alerts/settings.ts";
import type { RetentionSettings } from "./retention-keeper.ts";
import type { SoapSettings } from "./soap/settings.ts";

/** Who gets a row of a `down` table: audiences such as "all", "store:014", "region:north", "terminal:t1". */
export type AudienceOf = (row: Row) => string | readonly string[];

export type DownTable = {
  /** Name at the centre, and on the wire (the terminals' name). */
  readonly target: string;
  readonly source: string;
  /** Centre column → wire column, where they differ. */
  readonly rename: ReadonlyMap<string, string>;
  readonly ignore: ReadonlySet<string>;
  readonly audience: AudienceOf;
  /** A row that leaves an audience is deleted at its terminals. */
  readonly onLeave: "delete" | "keep";
};

/** `link`: a trace's page in the tool where people look at traces, with `{trace}` for its id. */
export type HubTracing = TracingSettings & { readonly link?: string | undefined };

/** The hub's config after it was read and checked: what the rest of the hub works with. Made by `hub/config.ts`, nowhere else. */
export type HubSettings = {
  readonly ledgerUrl: string;
  readonly centralUrl: string;
  readonly host: string;
  readonly port: number;
  readonly rules: Rules;
  /** Source names of the tables terminals capture (direction up or both). */
  readonly up: readonly string[];
  readonly down: readonly DownTable[];
  /** Source table → columns by whose values messages can be found. */
  readonly search: ReadonlyMap<string, readonly string[]>;
  /** Table, by its name at the terminals or at the centre → columns, by either name, whose values are of people. */
  readonly personal: ReadonlyMap<string, ReadonlySet<string>>;
  readonly limits: {
    /** A request's body after decompression. */
    readonly bodyBytes: number;
    readonly partBytes: number;
    readonly valueBytes: number;
    /** Lines a request. */
    readonly lines: number;
    /** Bytes waiting in the ledger above which ingest answers OVERLOADED. */
    readonly backlogBytes: number;
    /** Free disk below which ingest answers DISK_FULL. */
    readonly freeDiskBytes: number;
    /** Size of the ledger above which it does; null: whatever the disk holds. */
    readonly ledgerBytes: number | null;
  };
  readonly retention: RetentionSettings;
  readonly processor: {
    readonly workers: number;
    readonly lanesPerBatch: number;
    readonly messagesPerLane: number;
    readonly bytesPerLane: number;
    readonly leaseMs: number;
    /** Backstop: how often work is looked for without a wake-up. */
    readonly pollMs: number;
  };
  readonly publisher: { readonly pollMs: number; readonly quietGapMs: number };
  readonly reconcile: {
    /** Reconciliations in work at once. */
    readonly workers: number;
    /** Each terminal is compared this often; null: only when somebody orders it. */
    readonly everyHours: number | null;
    /** A terminal that was restored is compared by itself. */
    readonly afterRestore: boolean;
    /** How long a terminal may leave a question unanswered, or its messages unloaded. */
    readonly patienceMs: number;
  };
  /** API token hashes (SHA-256, hex) by role. */
  readonly tokens: readonly { readonly hash: string; readonly role: "publisher" | Role; readonly name: string }[];
  /** Null: people sign in by name and password only. */
  readonly oidc?: OidcSettings | null;
  /** Null: nothing is served under /soap. */
  readonly soap?: SoapSettings | null;
  /** Absent: nobody is told of anything. */
  readonly alerts?: AlertSettings;
  /** Without an address in it nothing is traced. */
  readonly tracing?: HubTracing;
  readonly drainMs: number;
};
