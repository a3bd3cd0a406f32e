import type { Ledger } from "../port.ts";

/** A ledger under test, with a hand on its clock. Made anew for each test and gone with it. */
export interface Subject extends AsyncDisposable {
  readonly ledger: Ledger;
  /** Moves the ledger's clock on. */
  advance(ms: number): Promise<void>;
  /** Closes the ledger and opens the same one again, as after a restart; `ledger` is then the new one. */
  restart(): Promise<void>;
}
export type OpenSubject = () => Promise<Subject>;
