import { instantOf, type Instant } from "../../base/clock.ts";
import type { TerminalId, UpdateId } from "../../base/ids.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { Terminals } from "../../ledger/port.ts";
import type { Log } from "../../observe/log.ts";
import { HEADERS } from "../../wire/headers.ts";
import type { WireRequest } from "./http.ts";

type Sighting = {
  readonly terminal: TerminalId;
  readonly at: Instant;
  readonly skewMs: number | null;
  readonly version: string | null;
  readonly deliveredThrough: UpdateId | null;
};

/** How often what was seen is written: one write for all terminals, however often each of them calls. */
const WRITE_EVERY_MS = 2_000;

/** Remembers who called, with which clock and version. Lost in a crash: the next call tells it again. */
export class Sightings implements AsyncDisposable {
  readonly #terminals: Terminals;
  readonly #runtime: Runtime;
  readonly #log: Log;
  #seen = new Map<TerminalId, Sighting>();
  readonly #timer: Disposable;

  constructor(terminals: Terminals, runtime: Runtime, log: Log) {
    this.#terminals = terminals;
    this.#runtime = runtime;
    this.#log = log;
    this.#timer = runtime.timers.every(
      WRITE_EVERY_MS,
      () => this.write(),
      (thrown) => this.#log.warn({ error: thrown }, "sightings.unwritten"),
    );
  }

  saw(terminal: TerminalId, request: WireRequest): void {
    const at = this.#runtime.clock.now();
    const before = this.#seen.get(terminal);
    this.#seen.set(terminal, {
      terminal,
      at,
      skewMs: skewOf(request.headers[HEADERS.time], at) ?? before?.skewMs ?? null,
      version: request.headers[HEADERS.version]?.slice(0, 40) ?? before?.version ?? null,
      deliveredThrough: before?.deliveredThrough ?? null,
    });
  }

  /** It was given an answer that reaches to `through`: whether that arrived, and what came of it, it tells later. */
  handed(terminal: TerminalId, through: UpdateId): void {
    const before = this.#seen.get(terminal);
    const nothing = { terminal, at: this.#runtime.clock.now(), skewMs: null, version: null };
    this.#seen.set(terminal, { ...(before ?? nothing), deliveredThrough: through });
  }

  async write(): Promise<void> {
    if (this.#seen.size === 0) return;
    const seen = this.#seen;
    this.#seen = new Map();
    await this.#terminals.seen([...seen.values()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer[Symbol.dispose]();
    await this.write();
  }
}

/** The time on the way counts as skew too; it is shown to people in whole seconds, so that does no harm. */
function skewOf(told: string | undefined, at: Instant): number | null {
  const theirs = told === undefined ? null : instantOf(told);
  return theirs === null ? null : theirs - at;
}
