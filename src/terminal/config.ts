import { z } from "zod";
import { WaybillError } from "../base/errors.ts";
import { tracingConfig } from "../observe/tracing.ts";

const whole = (from: number, to = Number.MAX_SAFE_INTEGER): z.ZodNumber => z.number().int().min(from).max(to);
const milliseconds = (from: number, fallback: number, meaning: string) =>
  whole(from).default(fallback).describe(`${meaning}, in ms`);

/** Everything a terminal's agent can be told. The only list: `waybill config`, the docs and the editor's help come from it. */
export const terminalConfig = z.strictObject({
  hub: z
    .url({ protocol: /^https?$/, error: 'must be an address such as "https://hub.example:8420"' })
    .describe("address of the hub"),
  terminal: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'must be 1–64 letters, digits, ".", "_" or "-"')
    .describe("this terminal's id, as the hub knows it"),
  database: z
    .string()
    .regex(/^(sqlite:|postgres(ql)?:\/\/)./, 'must look like "sqlite:/srv/till/till.db" or "postgres://host/database"')
    .describe("the application's database"),
  state: z
    .string()
    .min(1)
    .default("./waybill-agent")
    .describe("folder of the agent's own files: its key and its status"),
  token: z
    .string()
    .min(1)
    .optional()
    .describe("enrolment token from `waybill enroll`; used once, and not needed afterwards"),
  tags: z
    .record(z.string().min(1), z.string())
    .default({})
    .describe('facts told at enrolment, such as {"store": "014"}'),
  tables: z
    .union([z.literal("all"), z.array(z.string().min(1))])
    .default("all")
    .describe("tables that may be captured and written here; the hub cannot widen this list"),
  pollMs: milliseconds(
    5,
    50,
    "how often a quiet database is asked whether anything was committed; a busy one up to five times as often",
  ),
  lockMs: milliseconds(5, 40, "how long one transaction of the agent aims to hold the database's write lock"),
  quietGapMs: milliseconds(1, 1_000, "pause between commits at which a backlog may be cut into messages"),
  keepMessages: whole(0)
    .default(10_000)
    .describe("newest messages kept here although they are loaded, for a hub restored from a backup"),
  keepDays: whole(1, 36_500).default(90).describe("and none of these for longer, in days since it was committed here"),
  batchKib: whole(16).default(1_024).describe("payload of one request before compression, in KiB"),
  waitSeconds: whole(0, 30).default(25).describe("how long one request for updates waits at the hub, in s"),
  manifestMs: milliseconds(1_000, 60_000, "how often the hub is asked which tables to keep in step"),
  statusMs: milliseconds(100, 2_000, "how often the status file may be written"),
  timeoutMs: milliseconds(100, 30_000, "how long the hub may take for an answer"),
  retry: z
    .strictObject({
      firstMs: milliseconds(1, 500, "longest wait before the second try"),
      factor: z.number().min(1).max(10).default(2).describe("each further wait may be this many times longer"),
      capMs: milliseconds(1, 60_000, "longest wait between tries"),
    })
    .prefault({})
    .describe("how the agent comes back after a failure; every wait is drawn between nothing and its longest"),
  metrics: z
    .strictObject({
      port: whole(0, 65_535)
        .optional()
        .describe("TCP port of the agent's own /metrics for Prometheus; without it there is none"),
      host: z.string().default("127.0.0.1").describe("address it listens on"),
    })
    .prefault({})
    .describe("figures of this agent for Prometheus"),
  tracing: tracingConfig
    .prefault({})
    .describe("spans of messages sent and updates applied here, for Jaeger, Tempo and the like; see docs/tracing.md"),
  blockedMs: milliseconds(
    1_000,
    300_000,
    "how often the hub is asked again after it said that this install may not send",
  ),
});

export type TerminalConfig = z.output<typeof terminalConfig>;
/** What a config file holds, with everything that has a default left out at will. */
export type TerminalConfigInput = z.input<typeof terminalConfig>;

/** @throws CONFIG_INVALID with every fault at once: names and what was expected, never the values, which may be secrets. */
export function readTerminalConfig(given: unknown): TerminalConfig {
  const read = terminalConfig.safeParse(given);
  if (read.success) return read.data;
  const wrong = read.error.issues.map((issue) => `  ${issue.path.join(".") || "(all)"}: ${issue.message}`);
  throw new WaybillError("CONFIG_INVALID", `${wrong.length} terminal setting(s) are wrong:\n${wrong.join("\n")}`);
}
