import type { Actor } from "../../base/ids.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { Role } from "../../ledger/access.ts";
import type { Ledger } from "../../ledger/port.ts";
import type { HealthReport } from "../../observe/health.ts";
import type { Log } from "../../observe/log.ts";
import type { OidcSettings } from "../oidc-config.ts";
import type { WireRequest } from "./http.ts";
import type { Route } from "./route.ts";

/** What the hub lends to whoever serves people in a browser. */
export type BrowserSideParts = {
  readonly ledger: Ledger;
  readonly runtime: Runtime;
  readonly log: Log;
  /** Null: people sign in by name and password only. */
  readonly oidc: OidcSettings | null;
  readonly health: () => Promise<HealthReport> | HealthReport;
};

/** The console as the hub sees it. It stands on the floor above, so it is handed in, not imported. */
export interface BrowserSide extends Disposable {
  readonly routes: readonly Route[];
  /**
   * Who is behind a request's session; null when it has none.
   * @throws FORBIDDEN for an act whose page does not prove that it is ours
   */
  personOf(request: WireRequest): Promise<{ readonly actor: Actor; readonly role: Role } | null>;
  /** A secret that signs one person in once; the same one until it is used or too old. For people on the hub's own machine. */
  invite(): Promise<string>;
  /** Ends streams, so that a hub which shuts down does not wait for browsers. */
  drain(): void;
}
export type MakeBrowserSide = (parts: BrowserSideParts) => BrowserSide;
