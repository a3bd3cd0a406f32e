import { z } from "zod";

/** How many rows of a list are wanted: at least 1, at most `most`. */
export const count = (fallback: number, most: number): z.ZodDefault<z.ZodCoercedNumber> =>
  z.coerce.number().int().min(1).max(most).default(fallback);
