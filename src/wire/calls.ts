import { z } from "zod";
import { updateIdText } from "./updates.ts";

/** The small JSON bodies of `/v1`, for both ends and for /openapi.json. Members they do not name are ignored. */

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);
const number = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
export const tags = z
  .record(name, z.string().min(1).max(100))
  .describe('such as `{"store": "014"}`; each is an audience');

export const enrolCall = z.object({
  token: z.string().min(1).max(200).describe("made by `waybill enroll`; valid once and for a limited time"),
  terminal: name,
  tags: tags.optional(),
  key: z
    .string()
    .regex(/^[A-Za-z0-9_-]{43,128}$/)
    .optional()
    .describe(
      "a key of at least 256 random bits made by the terminal; with it, repeating a call whose answer was lost answers the same",
    ),
});
export const enrolAnswer = z.object({ terminal: z.string(), key: z.string() });

export const epochCall = z.object({
  previous: name.nullable().describe("the epoch that this terminal sent under until now; null for its first"),
  install: z
    .string()
    .min(1)
    .max(128)
    .describe("names this install of the agent; the same install asking again gets the same answer"),
  reason: z.string().min(1).max(500),
  epoch: name
    .optional()
    .describe(
      "what the new epoch shall be called, drawn by who asks, a ULID: a hub whose ledger was restored meanwhile opens the same one. Without it the hub draws a name",
    ),
});
export type EpochCall = z.infer<typeof epochCall>;
export const epochAnswer = z.object({ epoch: z.string() });

const open = z.object({ retrying: number, held: number, dead: number });
const partial = z.object({ seq: number, part: number });
export const acknowledgement = z.object({
  receivedThrough: number.describe("durably stored at the hub through this number"),
  chain: z.string().describe("chain(receivedThrough)"),
  duplicates: number,
  loadedThrough: number.describe("all through this number are loaded or counted in `open` or discarded"),
  open,
  partial: partial.optional().describe("a message of which only these parts are stored; go on behind them"),
});
export type AcknowledgementAnswer = z.infer<typeof acknowledgement>;

export const appliedCall = z.object({
  appliedThrough: updateIdText,
  refused: z
    .array(z.object({ id: updateIdText, code: z.string().min(1).max(64), detail: z.string().max(4_000) }))
    .max(10_000)
    .default([])
    .describe("rows this terminal's database refused"),
});
export const appliedAnswer = z.object({ appliedThrough: z.string() });

export const publishCall = z.object({
  audience: z
    .string()
    .regex(/^(all|[A-Za-z0-9][A-Za-z0-9._-]{0,63}:.{1,100})$/)
    .describe("`all`, `terminal:t1`, `store:014` …"),
  changes: z.array(z.unknown()).min(1).max(100_000).describe("as in a message line"),
  at: z.iso.datetime({ offset: true }).optional(),
});
export const publishAnswer = z.object({ id: z.string() });

export const statusAnswer = z.object({
  terminal: z.string(),
  hubTime: z.string(),
  lanes: z.array(
    z.object({
      epoch: z.string(),
      current: z.boolean(),
      receivedThrough: number,
      loadedThrough: number,
      chain: z.string(),
      open,
      partial: partial.nullable(),
      receivedAt: z.string().nullable(),
      loadedAt: z.string().nullable(),
    }),
  ),
  cursor: z.object({ appliedThrough: z.string(), head: z.string() }),
  refusedUpdates: z.array(z.object({ id: z.string(), code: z.string(), detail: z.string(), at: z.string() })),
  skewMs: z.number().nullable().describe("this terminal's clock minus the hub's, as last seen"),
});
export type StatusAnswer = z.infer<typeof statusAnswer>;
