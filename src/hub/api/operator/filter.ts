import { z } from "zod";
import { FAULTS, type FaultCode } from "../../../base/errors.ts";
import { terminalId } from "../../../base/ids.ts";
import type { ExceptionFilter } from "../../../ledger/exceptions.ts";
import { time } from "./query.ts";

const SHOWN_STATES = ["received", "retrying", "held", "dead", "discarded"] as const;
const isShownState = (text: string): text is (typeof SHOWN_STATES)[number] =>
  (SHOWN_STATES as readonly string[]).includes(text);
/** Which of the messages off the happy path are meant, in a query or in a body. */
export const filterQuery = {
  states: z
    .string()
    .transform((text) => text.split(","))
    .pipe(z.array(z.string().refine(isShownState, `must be of ${SHOWN_STATES.join(", ")}`)))
    .optional()
    .describe(`any of ${SHOWN_STATES.join(",")}`),
  terminal: z.string().optional(),
  fault: z.enum(Object.keys(FAULTS) as [FaultCode, ...FaultCode[]]).optional(),
  table: z.string().min(1).max(200).optional(),
  key: z.string().min(1).max(1_000).optional().describe("a value of a searchable column, such as a receipt number"),
  since: time.optional().describe("left the happy path at or after this time"),
  until: time.optional().describe("left the happy path before this time"),
};

type Asked = z.output<z.ZodObject<typeof filterQuery>>;

export const filterOf = ({ states, terminal, ...rest }: Asked): ExceptionFilter => ({
  ...(states === undefined ? {} : { states: states.filter(isShownState) }),
  ...(terminal === undefined ? {} : { terminal: terminalId(terminal) }),
  ...(Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) as Pick<
    ExceptionFilter,
    "fault" | "table" | "key" | "since" | "until"
  >),
});
