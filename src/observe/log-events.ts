/**
 * Every event a log line may name, with its meaning. The only list: a name that is not here does not compile, and the
 * documentation is made from it. Names are `thing.happened`; particulars stand in the line's facts, never in the name.
 */
export const LOG_EVENTS = {
  // process
  "hub.started": "The hub answers requests at `address`.",
  "hub.draining": "A stop was asked for: no new work is taken, batches under way are finished.",
  "hub.stopped": "Everything is settled and closed.",
  "hub.failed": "The hub could not start or go on; `error` says why.",
  "traces.unsent":
    "The collector does not take spans; they are dropped, nothing else waits for it. Told once until it is back.",
  "traces.sent-again": "The collector takes spans again.",
  "close.failed": "Something could not be closed in order; the rest went on closing.",

  // requests
  "request.failed": "A request ended with a fault of ours; its `trace` is in the answer too.",
  "request.refused": "A request was answered with a problem that the caller must mend.",
  "ingest.refusing": "The backlog or the disk does not allow to store more; terminals are asked to come back.",
  "ingest.resumed": "New messages are taken again.",
  "capacity.unknown": "The backlog or the free disk could not be read; the last known figures stand.",
  "sightings.unwritten": "When terminals were last seen could not be stored; the next calls tell it again.",
  "lane.alarm":
    "A terminal sent a known number with other content: it was restored or copied; or, `early`, one from before its beginning.",
  "lane.begun": "A SOAP terminal joined with a number above 1; lower ones belong to the system it came from.",
  "lane.restored": "A terminal was set back to an older copy, copied or re-imaged: it numbers anew in `epoch`.",
  "soap.fault": "A SOAP request was answered with a fault; `code` and the terminal, where it signed in, are told.",
  "soap.update-parked":
    "An update is larger than SOAP clients take; it is told as refused, and the terminal goes on behind it.",
  "soap.tee": "A request was also given to the old server; both answers are compared.",

  "bulk.failed": "An act on many messages met a fault; it goes on at the next look.",
  // people
  "signin.failed": "A sign-in to the console was refused; `name` is what was given.",
  "oidc.failed": "A sign-in by the OpenID provider did not end well; `why` says what is known of it.",
  "setup.offered": "There is no operator yet: whoever opens `link` becomes the first admin.",
  "history.unwritten": "The figures of a minute could not be kept; its charts have a gap.",

  // alerts
  "alert.raised": "A rule found a trouble; `what` says which. The same is sent to the channels.",
  "alert.grown": "A trouble that people know of has grown since.",
  "alert.cleared": "A trouble is over.",
  "alert.test": "Somebody tried the log as a channel of alerts.",
  "alert.delivered": "A channel took a notice.",
  "alert.undelivered": "A channel did not take a notice; it is tried again, for a day.",
  "alerts.failed": "A rule could not be looked at, or the ledger not be asked; it is tried again.",

  // central database
  "central.opened": "The central database is connected, its triggers and tables are in place.",
  "central.unavailable": "The central database did not answer at the start; terminals' messages are stored meanwhile.",
  "central.capture.refused": "A `down` table cannot be captured; `why` says what to do.",
  "central.thread.ended": "The loading thread ended by itself and is started again.",
  "breaker.opened": "A target does not answer: nothing is tried before `retryInMs`; no attempt is counted.",
  "breaker.probing": "One batch tries whether the target answers again.",
  "route.paused": "One fault meets many lanes: messages of this table wait untried, until a probe goes through.",
  "trail.failed": "A line of the audit trail about this hub itself could not be written.",
  "pause.ended": "Something that stood still goes on.",
  "pauses.unread": "What is paused could not be read; it is read again in a moment.",
  "breaker.closed": "The target answers again after `failures` failures in a row.",

  // loading
  "run.claimed": "Messages of these lanes are being loaded.",
  "run.loaded": "A batch was committed at the centre and settled in the ledger.",
  "run.released": "A claim was given back unloaded; nothing was judged.",
  "run.lapsed": "A claim ended unsettled after a fault of ours; the next one is smaller.",
  "run.isolated": "A batch of several lanes met a fault of ours; each lane is tried alone.",
  "message.excepted": "A message left the happy path: retrying, held or dead.",
  "versions.differ":
    "The centre shows other versions of these lanes than the ledger: one of the two was restored, or a worker died; they are compared under a lease.",
  "versions.unknown": "Ledger and centre could not be compared now; it is tried again.",
  "lane.moved": "The centre knows more of a lane than the ledger; the ledger was caught up.",
  "lane.centre-behind":
    "The centre knows less of a lane than the ledger: it was restored; its messages are loaded again.",
  "lease.lost": "Another worker took a lane over; this one judges nothing of it.",
  "renewal.failed": "Leases could not be renewed now; tried again on the next beat.",
  "claim.failed": "The ledger gave no claim; tried again after a pause.",
  "settle.failed": "The ledger did not take an outcome; the next claim learns it from the centre.",

  // publishing
  "updates.forwarded": "Changes of the centre are in the update log.",
  "updates.table-unknown":
    "The centre captured a table that is not configured to go down; its changes were not published.",
  "upkeep.failed": "The ledger's server did not tell how it is; it is asked again.",
  "upkeep.held":
    "A transaction in the ledger's database has been open for long: dead rows cannot be cleared away. `by` says whose.",
  "reconcile.began": "A terminal's tables are being compared with the centre's, or rows that differ sent again.",
  "reconcile.done": "A comparison or repair is done; its result is in the ledger.",
  "reconcile.failed": "A comparison or repair could not be finished; it is ordered again.",
  "publisher.failed": "Publishing met a fault; nothing is skipped, it is tried again.",
  "retention.ended": "What was over and beyond its time has been taken away; `removed` says what and how much.",
  "retention.failed": "A retention pass ended before its time; the next one goes on.",
  "seat.taken": "This process does from now on what one of several hubs does alone.",
  "seat.lost": "Another hub took that over; this one stands by.",
  "seat.failed": "The ledger did not say whose task it is; the seat runs out unless it answers in time.",
  "publisher.lost-race": "Another publisher forwarded first; this one starts again from where the ledger is.",
  "publisher.rows-again":
    "Terminals have seen updates that the restored log does not know; the centre may be older, too: every table is sent as it is.",
  "publisher.centre-restored":
    "The centre shows fewer or other updates than were forwarded: it was restored; a new epoch begins.",
  "publisher.ledger-restored":
    "The ledger shows fewer forwarded updates than the centre was told: it was restored; they are forwarded again.",
  "publisher.updates-missing":
    "Updates the ledger lost are no longer kept at the centre; all tables are sent again as they are.",
  "updates.begun-again":
    "A terminal was away for longer than updates are kept: it goes on behind them, and both sides are compared and mended.",
  "updates.other-history":
    "A terminal shows a cursor of a history that neither the update log nor the centre has: both were restored. It gets every row as it is.",
  "updates.log-restored":
    "A terminal's cursor is ahead of the update log: the ledger was restored; ids go on in a new term above it.",
  "snapshot.ordered": "Terminals get the rows of their audiences as they are now.",
  "capture.remade": "Triggers of these tables were missing or old and have been made again; their rows are sent again.",

  // terminal
  "terminal.started": "The agent captures and is ready to send.",
  "terminal.metrics-served": "The agent's figures for Prometheus are at `address`.",
  "terminal.stopped": "The agent has ended in order.",
  "terminal.enrolled": "The hub knows this terminal now; its key is stored.",
  "terminal.manifest": "The hub's list of tables changed and was taken over.",
  "terminal.table-refused": "A table of the manifest is not captured here; `why` says what to do.",
  "capture.packed": "Committed changes got their numbers.",
  "capture.failed": "Packing met a fault; nothing is lost, it is tried again.",
  "submit.acknowledged": "The hub stored messages of ours.",
  "submit.failed": "Sending met a fault; it is tried again after a pause.",
  "submit.stopped": "The hub does not let this terminal send any more; capture goes on.",
  "receive.goes-elsewhere":
    "The hub has no such history of updates as the cursor is of: it was restored, and every row comes again.",
  "receive.begins-again":
    "The hub keeps no updates from so long ago: this terminal goes on behind them, and the hub compares both sides.",
  "submit.rewound": "The hub lost messages it had acknowledged (restored); they are sent again.",
  "epoch.begun": "A new numbering began: this terminal or the hub was restored.",
  "epoch.known-again":
    "The hub was restored to a time before this epoch; it knows it again, and what it lost is sent again.",
  "resync.started": "Rows of these tables are put into the lane as they are.",
  "resync.done": "All rows asked for have been put into the lane.",
  "receive.applied": "Updates took effect here.",
  "receive.refused": "A row of an update was refused here; it is marked stale and reported.",
  "receive.failed": "Taking updates met a fault; it is tried again after a pause.",
  "terminal.hub-failed": "Enrolment or the manifest met a fault; it is tried again after a pause.",
  "terminal.hub-blocked": "The hub refuses this terminal until somebody acts; capture goes on.",
  "terminal.answer-failed": "A question of the hub about this database could not be answered; tried again.",
  "terminal.answered": "A question of the hub about this database was answered.",
  "terminal.status-failed": "The status file could not be written; tried again at the next beat.",
} as const satisfies Record<string, string>;

export type LogEvent = keyof typeof LOG_EVENTS;
