import type { LaneName } from "../../base/ids.ts";
import type { StateKind } from "../../message/lifecycle.ts";
import type { Ledger } from "../port.ts";

/** A row of the view `message_state`. */
export type StateRange = { readonly from: number; readonly through: number; readonly state: StateKind };

/** A ledger under test, with a hand on its clock. Made anew for each test and gone with it. */
export interface Subject extends AsyncDisposable {
  readonly ledger: Ledger;
  /** Moves the ledger's clock on. */
  advance(ms: number): Promise<void>;
  /** Sets the ledger's clock back, as a person or a time server does. */
  setBack(ms: number): Promise<void>;
  /** Given where many processes may hold a ledger: the leases of one that ends run out by the clock. Else a restart ends them. */
  readonly leasesOutliveRestart?: true;
  /** Closes the ledger and opens the same one again, as after a restart; `ledger` is then the new one. */
  restart(): Promise<void>;
  /** All rows of `message_state` for the lane, as anyone with SQL would read them. */
  ranges(lane: LaneName): Promise<readonly StateRange[]>;
}
export type OpenSubject = () => Promise<Subject>;
