import type { Instant } from "../base/clock.ts";
import type { Actor, Epoch, LaneName, Seq, TerminalId, By } from "../base/ids.ts";

/** Numbers whose messages are stored nowhere any more: their terminal lost or purged them before this ledger had them (again). */
export type MissingRange = {
  readonly lane: LaneName;
  readonly from: Seq;
  readonly through: Seq;
  /** `lost`: without effect at the centre. Else it is known of the one message that it is not loaded, and how it stands. */
  readonly state: "lost" | "received" | "retrying" | "held" | "dead";
  readonly notedAt: Instant;
};
/** A terminal whose database was set back to an older copy, with the epoch that began then. */
export type RestoredTerminal = {
  readonly terminal: TerminalId;
  readonly lane: LaneName;
  readonly at: Instant;
  readonly reason: string;
};
/** An install that may not send for its terminal, since another does. */
export type EpochAsk = {
  readonly terminal: TerminalId;
  readonly install: string;
  readonly previous: Epoch | null;
  readonly reason: string;
  readonly askedAt: Instant;
  readonly allowedBy: Actor | null;
};
export interface Restores {
  /** By lane and number, of all terminals or of one. Whatever an operator has given up is not missing any more. */
  missing(terminal: TerminalId | null, limit: number): Promise<readonly MissingRange[]>;
  restored(terminal: TerminalId | null, limit: number): Promise<readonly RestoredTerminal[]>;
  /** Both sides of the terminal were compared, or a person says that it is well: it is `restored` no longer. False: it was not. */
  settled(terminal: TerminalId, by: By, why: string): Promise<boolean>;
  asks(terminal: TerminalId | null, limit: number): Promise<readonly EpochAsk[]>;
  /** The install's next call of `openEpoch` succeeds, whichever epoch is the current one; once. @throws NOT_FOUND when it never asked. */
  allow(terminal: TerminalId, install: string, by: By, reason: string): Promise<void>;
}
