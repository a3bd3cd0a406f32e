import type { LaneName, TerminalId } from "../../base/ids.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { Ledger } from "../../ledger/port.ts";
import type { HealthReport } from "../../observe/health.ts";
import type { Log } from "../../observe/log.ts";
import type { Metrics } from "../../observe/metrics.ts";
import type { AlertSettings } from "../alerts/settings.ts";
import type { Tracing } from "../../observe/tracing.ts";
import type { BreakerState } from "../breaker.ts";
import type { Central } from "../central.ts";
import type { RetentionKeeper } from "../retention-keeper.ts";
import type { HubRole } from "../roles.ts";
import type { HubSettings } from "../settings.ts";
import type { MakeBrowserSide } from "./browser-side.ts";
import type { UpdateSignal } from "./update-signal.ts";

/** What may still be stored. Asked about once a second, never per request. */
export type Capacity = {
  readonly backlogBytes: number;
  /** Infinity where the ledger is on a server, whose disk is not seen from here. */
  readonly freeDiskBytes: number;
  readonly ledgerBytes?: number;
};

/** What the hub gives its HTTP side. */
export type HubApiParts = {
  readonly ledger: Ledger;
  readonly settings: HubSettings;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Without it nothing is traced. */
  readonly tracing?: Tracing;
  readonly wake: {
    /** New messages are stored, or an operator made one due: the processor may look for work. */
    /** Of these lanes; without them of whatever lanes. */
    received(lanes?: readonly LaneName[]): void;
    /** A terminal was enrolled: it needs a first snapshot of the tables that go down. */
    enrolled?(terminal: TerminalId): void;
    /** A reconciliation was ordered. */
    ordered?(): void;
  };
  /** Where an edit is tried before it is taken; without it an edit is checked for its form only. */
  readonly central?: Pick<Central, "rehearse">;
  /** Rung by the publisher after each forward; long polls wait at it. */
  readonly updates: UpdateSignal;
  /** Whether ids of the update log may be given: the ledger is known to be no old copy. Without it they may. */
  readonly compared?: () => Promise<boolean>;
  /** What this process serves; without it everything. */
  readonly roles?: readonly HubRole[];
  /** Who is told of what; without it nobody is. */
  readonly alerts?: {
    readonly settings: AlertSettings;
    /** @throws NOT_FOUND; NOTICE_UNDELIVERED */
    test(channel: string): Promise<{ readonly channel: string; readonly key: string }>;
  };
  /** For /readyz; without it the hub is ready whenever it can answer. */
  readonly health?: () => Promise<HealthReport> | HealthReport;
  /** The breaker of the centre, where this process loads. */
  readonly breaker?: () => BreakerState;
  /** Without it nothing is refused for a full backlog or disk. */
  readonly capacity?: () => Promise<Capacity>;
  /** Takes away what is over and beyond its time; without it only when a person asks. */
  readonly retention?: Pick<RetentionKeeper, "state" | "begin">;
  /** Without it the hub serves programs only. */
  readonly browser?: MakeBrowserSide;
};
