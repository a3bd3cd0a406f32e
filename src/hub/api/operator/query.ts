import { z } from "zod";
import { instant, instantOf, type Instant } from "../../../base/clock.ts";

/** How many rows of a list are wanted: at least 1, at most `most`. */
export const count = (fallback: number, most: number): z.ZodDefault<z.ZodCoercedNumber> =>
  z.coerce.number().int().min(1).max(most).default(fallback);

/** A time as people write it (ISO 8601) or as the API tells it (milliseconds since 1970). */
export const time = z
  .string()
  .transform((text) => (/^\d{1,15}$/.test(text) ? instant(Number(text)) : instantOf(text)))
  .refine((at): at is Instant => at !== null, 'must be a time such as "2026-11-26T09:00:00Z"');

/** `store:014,region:north` */
export const tagsText = z
  .string()
  .max(200)
  .transform((text) => text.split(",").map((pair) => pair.split(/:(.*)/s, 2)))
  .refine((pairs) => pairs.every(([name, value]) => name && value), "must look like `store:014`, with commas between")
  .transform((pairs) => Object.fromEntries(pairs) as Readonly<Record<string, string>>)
  .default({});
