import { pino, type DestinationStream, type Logger } from "pino";
import { WaybillError } from "../base/errors.ts";
import type { LogEvent } from "./log-events.ts";

/** Particulars of one line: numbers, names, and `error` for what was thrown. Rows and payloads do not belong here. */
export type LogFacts = Readonly<Record<string, unknown>>;

/** `log.info({ lane, from, through }, "run.claimed")`: facts and a name of the catalogue, no prose to parse. */
export interface Log {
  debug(facts: LogFacts, event: LogEvent): void;
  info(facts: LogFacts, event: LogEvent): void;
  warn(facts: LogFacts, event: LogEvent): void;
  error(facts: LogFacts, event: LogEvent): void;
  /** The same log with facts that every line of it carries. */
  child(facts: LogFacts): Log;
}
export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";
export type LogOptions = {
  readonly level: LogLevel;
  /** `json` for machines, `text` for people; `auto` is text on a terminal and JSON otherwise. */
  readonly form: "json" | "text" | "auto";
  /** Where lines go; standard error when left out, so that a command's own output stays clean. */
  readonly to?: DestinationStream;
};

/** Names whose values are never shown, wherever in a line's facts they stand (two levels deep). */
const SECRET = ["key", "token", "password", "secret", "authorization", "cookie"];
const CENSOR = "[secret]";

export function createLog(options: LogOptions): Log {
  const to = options.to ?? pino.destination({ fd: 2, sync: true });
  const forPeople =
    options.form === "text" || (options.form === "auto" && options.to === undefined && process.stderr.isTTY);
  const logger = pino(
    {
      level: options.level,
      base: null,
      messageKey: "event",
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      redact: { paths: SECRET.flatMap((name) => [name, `*.${name}`]), censor: CENSOR },
      serializers: { error: errorFacts, url: withoutPassword, ledger: withoutPassword, central: withoutPassword },
    },
    forPeople ? readable(to) : to,
  );
  return over(logger);
}

/** A log that says nothing, for tests and embedding. */
export const silentLog: Log = createLog({ level: "silent", form: "json", to: { write: () => undefined } });

function over(logger: Logger): Log {
  return {
    debug: (facts, event) => logger.debug(facts, event),
    info: (facts, event) => logger.info(facts, event),
    warn: (facts, event) => logger.warn(facts, event),
    error: (facts, event) => logger.error(facts, event),
    child: (facts) => over(logger.child(facts)),
  };
}

/** What was thrown, with its causes. A stack is for faults of ours only: a refused row says enough with its words. */
function errorFacts(thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return { what: String(thrown) };
  const cause = thrown.cause === undefined || thrown.cause === null ? {} : { cause: errorFacts(thrown.cause) };
  if (thrown instanceof WaybillError && thrown.code !== "INTERNAL") {
    return { code: thrown.code, what: thrown.what, hint: thrown.hint, ...cause };
  }
  const code = "code" in thrown && typeof thrown.code === "string" ? { code: thrown.code } : {};
  return { ...code, what: thrown.message, stack: thrown.stack, ...cause };
}

/** `postgres://user:secret@host/db` without the secret; other texts as they are. */
export function withoutPassword(url: unknown): unknown {
  return typeof url === "string" ? url.replace(/(:\/\/[^/@:]*):[^/@]*@/, `$1:${CENSOR}@`) : url;
}

const COLOURS: Readonly<Record<string, string>> = {
  debug: "\u001b[2m",
  info: "\u001b[36m",
  warn: "\u001b[33m",
  error: "\u001b[31m",
};
const PLAIN = "\u001b[0m";

/** One calm line a record: time, level, event, then `name=value`; a stack follows on lines of its own. */
export function readable(to: DestinationStream, colour: "colour" | "plain" = "colour"): DestinationStream {
  return {
    write: (line) => {
      const { level, time, event, ...facts } = JSON.parse(line) as Record<string, unknown>;
      const name = String(level);
      const shown = Object.entries(facts).map(([key, value]) => `${key}=${factText(value)}`);
      const head = `${String(time).slice(11, 23)} ${name.padEnd(5)} ${String(event)}`;
      const tinted = colour === "colour" ? `${COLOURS[name] ?? ""}${head}${PLAIN}` : head;
      const { stack } = (facts["error"] ?? {}) as { stack?: unknown };
      to.write(`${[tinted, ...shown].join(" ")}\n${typeof stack === "string" ? `${stack}\n` : ""}`);
    },
  };
}

function factText(value: unknown): string {
  if (typeof value === "object" && value !== null && "stack" in value) {
    const { stack: _, ...rest } = value;
    return JSON.stringify(rest);
  }
  return typeof value === "string" && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}
