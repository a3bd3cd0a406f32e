import type { Brand } from "../base/ids.ts";

/** What a message that left the happy path touches; see docs/spec.md, "Who waits". Texts made by `message/key.ts`. */
export type KeySets = {
  /** Rows it writes, and their unique values. */
  readonly writes: readonly string[];
  /** The same, for changes whose table has the policy `add`: these do not conflict with each other. */
  readonly adds: readonly string[];
  readonly creates: readonly string[];
  readonly deletes: readonly string[];
  /** Parents its rows name. */
  readonly parents: readonly string[];
};
/** As JSON. What goes from thread to thread and into the ledger is made once, and copied as one text. */
export type KeySetsText = Brand<string, "KeySetsText">;
export const setsAsText = (sets: KeySets): KeySetsText => JSON.stringify(sets) as KeySetsText;
