import { asWaybillError } from "../base/errors.ts";

/** Another install has this terminal: whether this one is the real one is for a person to say. */
export const isContest = (thrown: unknown): boolean =>
  ["EPOCH_CLOSED", "EPOCH_WAITS"].includes(asWaybillError(thrown).code);

/** Refused installs remembered of one terminal, the newest: one that draws a new name for each call must not fill the ledger. */
export const MOST_ASKS = 20;
