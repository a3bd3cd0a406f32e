import { z } from "zod";
import { FAULTS, type FaultCode } from "../base/errors.ts";
import { ROLES } from "../ledger/access.ts";
import type { Row } from "../message/change.ts";
import type { Transform } from "../load/rules.ts";
import { oidcConfig } from "./oidc-config.ts";
import { alertsConfig } from "./alerts/config.ts";
import { tracingConfig } from "../observe/tracing.ts";
import { soapConfig } from "./soap/config.ts";

/** A function of the config: taken as it is, checked only for being one (JSON and YAML configs cannot hold any). */
const fn = <F>(what: string): z.ZodType<F> =>
  z.custom<F>((given) => typeof given === "function", `must be a function: ${what}`);

/** Faults that a message may be retried for: all that are said of a message. */
const RETRYABLE = (Object.keys(FAULTS) as FaultCode[]).filter(
  (code) => FAULTS[code].blame === "message" || FAULTS[code].blame === "either",
) as [FaultCode, ...FaultCode[]];

const databaseUrl = z
  .string()
  .regex(/^(sqlite:|postgres(ql)?:\/\/)./, 'must look like "sqlite:./data/central.db" or "postgres://host/database"');
const identifier = z.string().min(1).max(200);

const conflict = z.union([
  z.enum(["terminal", "central", "detect"]),
  z.strictObject({ newest: identifier.describe("column whose later value wins") }),
  z.strictObject({ add: z.array(identifier).min(1).describe("numeric columns applied as differences") }),
]);

/** What happens to a message that was refused but may pass later. */
const retryShape = {
  attempts: z
    .number()
    .int()
    .min(1)
    .max(100)
    .default(8)
    .describe("tries of a refused message in all, before it is dead"),
  firstMs: z.number().int().min(1).default(1_000).describe("wait before the second try, in ms"),
  factor: z.number().min(1).max(10).default(3).describe("each further wait is this many times longer"),
  capMs: z.number().int().min(1).default(600_000).describe("longest wait between tries, in ms"),
  jitter: z.number().min(0).max(1).default(0.5).describe("how much of each wait is left to chance, from 0 to 1"),
  codes: z
    .array(z.enum(RETRYABLE))
    .optional()
    .describe("faults that are tried again; without it all that may pass later (docs/errors.md)"),
};

/** One table's settings; see docs/configuration.md for worked examples. */
export const tableConfig = z.strictObject({
  direction: z.enum(["up", "down", "both"]).describe("up: terminals → centre; down: centre → terminals; both"),
  target: identifier.optional().describe("table at the centre, when its name differs"),
  columns: z
    .record(identifier, z.union([identifier, z.literal(false)]))
    .default({})
    .describe("terminal's column → centre's column where the names differ; false: not carried"),
  unknownColumns: z
    .enum(["refuse", "ignore"])
    .default("refuse")
    .describe("what to do with a column that the centre does not have; it is reported either way"),
  owner: z
    .strictObject({
      column: identifier.describe("column at the centre that says whose row it is"),
      is: z.union([z.literal("terminal"), z.string().regex(/^tag:./, 'must be "terminal" or "tag:<name>"')]),
    })
    .optional()
    .describe("rows of an up table that belong to one terminal; rows of another owner are refused with NOT_OWNER"),
  conflict: conflict
    .default("terminal")
    .describe("who wins when both sides changed a row: terminal, central, detect, {newest: column}, {add: [columns]}"),
  onExisting: z
    .enum(["refuse", "overwrite", "keep"])
    .default("refuse")
    .describe("an insert whose key is there with other values, not written by the same owner"),
  audience: z
    .union([z.string().min(1), fn<(row: Row) => string | readonly string[]>("(row) => audience")])
    .optional()
    .describe('who gets a row on the way down: "all", "store:{store_id}", "terminal:{till}", or a function of the row'),
  onLeave: z
    .enum(["delete", "keep"])
    .default("delete")
    .describe("what a terminal does with a row that left its audience"),
  transform: fn<Transform>("(change, context) => changes")
    .optional()
    .describe("pure function that turns one change into the changes to load"),
  retry: z
    .strictObject({
      attempts: retryShape.attempts.unwrap().optional(),
      firstMs: retryShape.firstMs.unwrap().optional(),
      factor: retryShape.factor.unwrap().optional(),
      capMs: retryShape.capMs.unwrap().optional(),
      jitter: retryShape.jitter.unwrap().optional(),
      codes: retryShape.codes,
    })
    .optional()
    .describe("how refusals of this table are tried again, where that differs from `retry`"),
  search: z
    .array(identifier)
    .default([])
    .describe("columns by whose values a message can be found: `waybill trace t1 4711`"),
  personal: z
    .array(identifier)
    .default([])
    .describe(
      "columns that say something about a person: hidden from people who may only look, and taken out of the words of faults, events, alerts and log lines",
    ),
});

const whole = (from: number, to = Number.MAX_SAFE_INTEGER): z.ZodNumber => z.number().int().min(from).max(to);
const days = (usual: number): z.ZodDefault<z.ZodNumber> => whole(1, 36_500).default(usual);
const section = <T extends z.ZodRawShape>(shape: T): z.ZodPrefault<z.ZodObject<T, z.core.$strict>> =>
  z.strictObject(shape).prefault({} as never);

/** Everything a hub can be told. The only list: `waybill config`, docs/configuration.md and the editor's help come from it. */
export const hubConfig = z.strictObject({
  ledger: databaseUrl.default("sqlite:./data/ledger.db").describe("where lanes, messages and the audit trail are kept"),
  central: databaseUrl
    .default("sqlite:./data/central.db")
    .describe("the system of record that messages are loaded into"),
  host: z.string().default("127.0.0.1").describe("address to listen on; 0.0.0.0 for all (put TLS in front of it)"),
  port: whole(0, 65535).default(8420).describe("TCP port that terminals call; 0 takes a free one"),
  tables: z
    .record(identifier, tableConfig)
    .refine((tables) => Object.keys(tables).length > 0, "name at least one table")
    .describe("tables kept in step, by their name at the terminals"),
  retry: section(retryShape).describe("what happens to a message that was refused but may pass later"),
  maxOpen: whole(1).default(1_000).describe("open exceptions of one lane above which it stops, and says so"),
  processor: section({
    workers: whole(1, 64).default(2).describe("batches in work at once"),
    lanesPerBatch: whole(1).default(64).describe("lanes loaded in one central transaction"),
    messagesPerLane: whole(1).default(500).describe("messages of one lane in one batch"),
    kibPerLane: whole(1).default(2_048).describe("payload of one lane in one batch, in KiB"),
    leaseMs: whole(1_000).default(30_000).describe("how long a lane belongs to a worker that says nothing, in ms"),
    pollMs: whole(10).default(1_000).describe("how often work is looked for without being told, in ms"),
  }),
  publisher: section({
    pollMs: whole(10).default(100).describe("how often the central outbox is looked at, in ms"),
    quietGapMs: whole(1)
      .default(1_000)
      .describe("pause between commits at which a backlog may be cut into messages, in ms"),
  }),
  reconcile: section({
    workers: whole(1, 16).default(2).describe("terminals compared with the centre at once"),
    everyHours: whole(1, 8_760)
      .optional()
      .describe("compare each terminal this often, in hours; without it only by order"),
    afterRestore: z.boolean().default(true).describe("compare a terminal that was set back to an older copy"),
    patienceMinutes: whole(1)
      .default(30)
      .describe("how long a terminal may take to answer before its comparison fails, in minutes"),
  }),
  limits: section({
    bodyKib: whole(64).default(8_192).describe("largest request after decompression, in KiB"),
    partKib: whole(16).default(1_024).describe("a message above this travels in parts, in KiB"),
    valueKib: whole(1).default(4_096).describe("largest single value carried, in KiB"),
    lines: whole(1).default(5_000).describe("messages in one request"),
    backlogMib: whole(1)
      .default(65_536)
      .describe("payload waiting in the ledger above which terminals are asked to wait, in MiB"),
    freeDiskMib: whole(0)
      .default(512)
      .describe("free disk (of a SQLite ledger) below which nothing more is taken, in MiB"),
    ledgerMib: whole(64)
      .optional()
      .describe(
        "size of the ledger above which nothing more is taken, in MiB; without it a PostgreSQL ledger has no bound",
      ),
  }),
  retention: section({
    everyMinutes: whole(0, 10_080)
      .default(60)
      .describe("how often what is over and beyond its time is taken away; 0: only by `waybill retention run`"),
    messagesDays: days(90).describe(
      "messages and their searchable values, since they were loaded: a centre restored to an older copy cannot be filled up from here",
    ),
    eventsDays: days(400).describe("the audit trail; not less than messagesDays"),
    updatesDays: days(90).describe("updates that every terminal has applied"),
    awayDays: days(400).describe(
      "a terminal that was not seen for so long holds no updates back, and takes a resync when it is back; not less than updatesDays",
    ),
    historyDays: days(400).describe("the charts' history, by the hour (by the minute: two days)"),
  }).describe("what is kept how long; never shortens the life of anything unfinished"),
  tokens: z
    .array(
      z.strictObject({
        name: identifier.describe("shown in the audit trail"),
        role: z.enum(["publisher", ...ROLES]).describe("publisher: sends updates; the others as for people"),
        token: z
          .string()
          .min(16, "must have at least 16 characters")
          .describe('the secret; write "${NAME}" to take it from the environment'),
      }),
    )
    .default([])
    .describe("API tokens of programs and people"),
  console: section({
    oidc: oidcConfig.optional().describe("sign-in by your own OpenID provider, beside names and passwords"),
  }).describe("how people get into the console"),
  soap: soapConfig,
  alerts: alertsConfig,
  tracing: tracingConfig
    .extend({
      link: z
        .string()
        .regex(/^https?:.*\{trace\}/, "must be an address with {trace} in it")
        .optional()
        .describe('a trace\'s page in your tracing tool: "https://jaeger.example/trace/{trace}"'),
    })
    .prefault({})
    .describe("spans of messages and updates, for Jaeger, Tempo and the like; see docs/tracing.md"),
  drainMs: whole(0).default(10_000).describe("how long a stop waits for work that has begun, in ms"),
});

/** What `waybill.config.ts` holds, with everything that has a default left out at will. */
export type HubConfig = z.input<typeof hubConfig>;
export type CheckedHubConfig = z.output<typeof hubConfig>;
export type TableConfig = z.output<typeof tableConfig>;

/** Gives the config its type, so that the editor helps while writing it. */
export const defineConfig = (config: HubConfig): HubConfig => config;
