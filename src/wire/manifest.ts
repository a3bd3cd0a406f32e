import { z } from "zod";

/**
 * GET /v1/manifest: what the hub wants of a terminal. The terminal's own config decides what it allows; the hub cannot widen it.
 * The ETag covers all but `hubTime`.
 */
export const manifest = z.object({
  terminal: z.string(),
  /** Given at enrolment; `store: "014"` puts the terminal into the audience `store:014`. */
  tags: z.record(z.string(), z.string()),
  audiences: z.array(z.string()),
  tables: z.array(
    z.object({
      /** The terminal's name of the table. */
      name: z.string(),
      /** `up`: capture it; `down`: updates of it come; `both`. */
      direction: z.enum(["up", "down", "both"]),
    }),
  ),
  streams: z.array(z.string()),
  limits: z.object({
    /** A request's body after decompression. */
    bodyBytes: z.number().int().positive(),
    /** A message longer than this travels in parts. */
    partBytes: z.number().int().positive(),
    /** A single value above this is not carried. */
    valueBytes: z.number().int().positive(),
    /** Message lines a request. */
    lines: z.number().int().positive(),
  }),
  /** ISO 8601. */
  hubTime: z.string(),
});
export type Manifest = z.infer<typeof manifest>;

/** The audiences whose updates a terminal gets: everyone's, its own, and one a tag. */
export function audiencesOf(terminal: string, tags: Readonly<Record<string, string>>): readonly string[] {
  return ["all", `terminal:${terminal}`, ...Object.entries(tags).map(([name, value]) => `${name}:${value}`)];
}
