import type { By, Seq } from "../base/ids.ts";

/**
 * The kinds of lines the ledger itself writes into the audit trail, each with its meaning for people. Those about messages
 * cover the numbers from…through of a lane. The loader and the publisher add kinds of their own ("row recreated", …).
 */
export const EVENTS = {
  // messages
  received: "stored at the hub, durably",
  loaded: "in effect in the central database, in order",
  "loaded late": "in effect in the central database, after it had left the happy path",
  retrying: "refused; is tried again by itself",
  held: "waits behind an earlier message that touches the same rows",
  dead: "refused for good; waits for a person",
  requeued: "a person ordered another try",
  "discard ordered": "a person ordered that it be given up",
  discarded: "given up; it will never have an effect",
  "handed back": "a worker gave it back untried: the target was ill, or the worker stopped",
  "lease lost": "its worker did not come back in time; another takes over",
  adopted: "the central database knew more than the ledger, which now agrees with it",
  "restored centre":
    "the central database knew less than the ledger: it was restored, and these messages are loaded again",
  missing:
    "nobody has these messages any more: lost by the terminal before the hub had them, or by a restore older than what is kept",
  "bulk started": "a person ordered an act on many messages, whose list was previewed",
  "bulk cancelled": "a person ended it before its time; what had been ordered stays ordered",
  "bulk done": "every message of its list has had its turn",
  // what stands still
  paused: "a person paused everything, a terminal, a lane or the route of a table",
  "route paused": "one fault met many lanes: messages of this table wait, untried, until a probe goes through",
  resumed: "it goes on: a person said so, or the probe of a route went through",
  "breaker opened": "a target did not answer; nothing is tried and nothing is judged meanwhile",
  "breaker probed": "a target was asked again and still did not answer; told at 2, 4, 8 … failures in a row",
  "breaker closed": "the target answers again",
  // lanes, terminals, updates
  "epoch opened": "a terminal began to number from 1",
  "epoch asked": "an install wants to send for the terminal, but another does; a person must say which is the real one",
  "epoch allowed": "a person let an install take the terminal over",
  "began elsewhere":
    "A terminal showed a cursor of a history that neither the update log nor the centre has: both were restored. It goes on behind all there is and gets every row as it is.",
  "began again":
    "a terminal was away for longer than updates are kept: it goes on behind them, and both sides are compared and mended",
  "restore settled": "a terminal that was set back to an older copy is well again",
  "reconcile ordered": "a terminal's tables are to be compared with the centre's",
  "repair ordered": "a person ordered that rows which differ be sent again",
  reconciled: "a comparison or repair is done, with what it found",
  "reconcile failed": "a comparison or repair could not be finished",
  "reconcile cancelled": "a person ended a comparison or repair before its time",
  "epoch ended": "a newer epoch took its place; nothing more is taken for it",
  "token made": "an operator made an enrolment token",
  enrolled: "a terminal got its key",
  revoked: "a terminal's key was taken from it",
  forwarded: "changes of the central database entered the update log",
  published: "changes were published to the update log through the API",
  "term begun": "ids of updates go on above all that were ever shown: this ledger was restored",
  "update refused": "a terminal could not apply a row of an update",
  "retention ended": "what is over and beyond its time was taken away",
  // people
  "operator added": "a person may sign in",
  "operator changed": "a person's role or password was changed, and every session of theirs ended",
  "operator removed": "a person may not sign in any more",
  "api token made": "a program may use the operator API",
  "api token revoked": "a program's token was taken from it",
  "signed in": "a person signed in to the console",
  // alerts
  "alert raised": "people are told of a trouble",
  "alert grown": "people are told again, since the trouble grew",
  "alert cleared": "the trouble is over, and people are told so",
  "alert seen": "a person has seen an alert",
  "ledger migrated": "the ledger's tables were brought to a newer form",
} as const;

export type EventKind = keyof typeof EVENTS;

/** A line about no message in particular has both numbers 0. */
export type NewEvent = {
  readonly lane: number | null;
  readonly from: Seq;
  readonly through: Seq;
  readonly kind: EventKind | (string & {});
  readonly by: By;
  readonly detail: string;
};

/** How much of the trail one page of it looks at. */
export const PAGE_EVENTS = 2_000;
/** The same for a person who looks back for what is rare: one terminal of thousands. */
export const LOOKED_BACK_EVENTS = 20_000;
