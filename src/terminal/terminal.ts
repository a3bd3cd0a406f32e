import { isoOf, later } from "../base/clock.ts";
import { asWaybillError, WaybillError } from "../base/errors.ts";
import { folderAt, type Folder } from "../base/folder.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Stop } from "../base/stop.ts";
import { openDatabase } from "../database/open.ts";
import type { Database } from "../database/port.ts";
import type { LogEvent } from "../observe/log-events.ts";
import type { Log } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import { openTracing } from "../observe/open-tracing.ts";
import type { Tracing } from "../observe/tracing.ts";
import { Answerer } from "./answer.ts";
import { Packer } from "./capture.ts";
import type { TerminalConfig } from "./config.ts";
import { ensureEnrolled } from "./enrolment.ts";
import { goOnOrAsk, openEpoch } from "./epoch.ts";
import { HubClient } from "./hub-client.ts";
import { Loop } from "./loop.ts";
import { Receiver } from "./receive.ts";
import { ScopeKeeper, type Scope } from "./scope.ts";
import { StaleRows } from "./stale.ts";
import { LOOPS, writeStatus, type LoopName, type TerminalStatus } from "./state.ts";
import { Station } from "./station.ts";
import { Submitter } from "./submit.ts";
import { Turn } from "../base/turn.ts";
import { Wake } from "../base/wake.ts";

export type TerminalOptions = {
  readonly config: TerminalConfig;
  readonly runtime: Runtime;
  readonly log: Log;
  /** The agent ends when it is raised, and registers its closing there. */
  readonly stop: Stop;
  /** Told to the hub. */
  readonly version?: string;
  /** Opens the terminal's database; another than the usual one in tests. */
  readonly open?: (url: string) => Promise<Database>;
  /** Where its key and its status are; the folder `state` of the config when left out. */
  readonly folder?: Folder;
};

/** A running agent. */
export type Terminal = {
  status(): Promise<TerminalStatus>;
};

const EVENTS = {
  hub: { failed: "terminal.hub-failed", blocked: "terminal.hub-blocked" },
  capture: { failed: "capture.failed", blocked: "capture.failed" },
  submit: { failed: "submit.failed", blocked: "submit.stopped" },
  receive: { failed: "receive.failed", blocked: "receive.failed" },
  answer: { failed: "terminal.answer-failed", blocked: "terminal.answer-failed" },
} as const satisfies Record<LoopName, { failed: LogEvent; blocked: LogEvent }>;

/** A status file older than this belongs to an agent that is gone. */
const HEARTBEAT_MS = 15_000;
const STALE_SHOWN = 20;
const DAY_MS = 86_400_000;
/** An application that holds the lock longer is waited for by trying again, so that the agent still answers a stop. */
const BUSY_MS = 1_000;

/**
 * Starts the agent of one terminal beside its database. It captures from the first moment it knows the hub's manifest (the
 * last one, if the hub is away), and goes on by itself whatever fails later; only what a person must mend ends the start.
 * Killed at any point, the next start goes on where the database says it was.
 * @throws ALREADY_RUNNING when another agent serves this database; CONFIG_INVALID; TOKEN_INVALID; DATABASE_UNAVAILABLE
 */
export async function startTerminal(options: TerminalOptions): Promise<Terminal> {
  const { config, stop } = options;
  const { random } = options.runtime;
  const open =
    options.open ??
    ((url: string) => openDatabase(url, { random, busyMs: BUSY_MS, alone: `agent ${config.terminal}` }));
  const database = await open(config.database);
  stop.onClose("terminal database", async () => database[Symbol.asyncDispose]());
  const agent = await Agent.start(options, database);
  stop.onClose("terminal loops", () => agent.close());
  return agent;
}

class Agent implements Terminal {
  readonly #options: TerminalOptions;
  readonly #folder: Folder;
  readonly #station: Station;
  readonly #client: HubClient;
  readonly #scope: ScopeKeeper;
  readonly #stale: StaleRows;
  readonly #packer: Packer;
  readonly #submitter: Submitter;
  readonly #receiver: Receiver;
  readonly #answerer: Answerer;
  readonly #loops: Readonly<Record<LoopName, Loop>>;
  readonly #wakes: Readonly<Record<LoopName, Wake>>;
  readonly #startedAt: string;
  readonly #metrics: Metrics;
  readonly #ready = Promise.withResolvers<void>();
  readonly #statusTurns = new Turn();
  #enrolled = false;
  #dirty = true;
  #writtenMarks = "";
  #writtenAt = Number.NEGATIVE_INFINITY;
  #running: Promise<unknown> = Promise.resolve();
  #heart: Disposable | null = null;

  private constructor(
    options: TerminalOptions,
    station: Station,
    stale: StaleRows,
    { tracing, metrics }: { readonly tracing: Tracing; readonly metrics: Metrics },
  ) {
    const { config, runtime, log } = options;
    const { signal } = options.stop;
    const { clock, network, timers } = runtime;
    this.#options = options;
    this.#folder = options.folder ?? folderAt(config.state);
    this.#station = station;
    this.#metrics = metrics;
    this.#stale = stale;
    this.#startedAt = isoOf(clock.now());
    const client = new HubClient({
      hub: config.hub,
      network,
      clock,
      timeoutMs: config.timeoutMs,
      version: options.version ?? "unknown",
      signal,
    });
    const scope = new ScopeKeeper({ station, client, log, config });
    const policy = { retry: config.retry, blockedMs: config.blockedMs };
    const changed = (): void => {
      this.#dirty = true;
    };
    const each = <T>(make: (name: LoopName) => T): Record<LoopName, T> => ({
      hub: make("hub"),
      capture: make("capture"),
      submit: make("submit"),
      receive: make("receive"),
      answer: make("answer"),
    });
    this.#loops = each((name) => {
      const failed = ({ code }: WaybillError): void =>
        metrics.add("waybill_terminal_failures_total", 1, { loop: name, code });
      return new Loop({ runtime, log, policy, events: EVENTS[name], changed, failed });
    });
    const wakes = each(() => new Wake(timers));
    this.#client = client;
    this.#scope = scope;
    this.#wakes = wakes;
    this.#packer = new Packer({
      station,
      runtime,
      log,
      metrics,
      packed: wakes.submit,
      looked: () => this.#scope.resyncMissing(),
      limits: () => ({ partBytes: this.#limits.partBytes, valueBytes: this.#limits.valueBytes, lockMs: config.lockMs }),
      pollMs: config.pollMs,
      kept: () => ({ keep: config.keepMessages, since: later(clock.now(), -config.keepDays * DAY_MS) }),
    });
    this.#submitter = new Submitter({
      station,
      client,
      runtime,
      log,
      tracing,
      metrics,
      batchBytes: config.batchKib * 1024,
      limits: () => this.#limits,
      rolledBack: (reason) => this.#newEpoch(reason),
      outdone: (current) => this.#outdone(current),
      received: wakes.capture,
    });
    this.#answerer = new Answerer({
      station,
      client,
      runtime,
      log,
      tables: () => new Set([...(scope.scope?.up ?? []), ...(scope.scope?.down ?? [])]),
      pack: () => this.#packer.pack(),
      captured: () => wakes.capture.ring(),
      attested: () => this.#receiver.attested,
      asked: wakes.answer,
    });
    this.#receiver = new Receiver({
      questions: this.#answerer,
      standing: () => this.#submitter.standing,
      behind: () => {
        this.#submitter.doubt();
        wakes.submit.ring();
      },
      station,
      client,
      stale,
      allowed: () => scope.scope?.down ?? new Set(),
      runtime,
      log,
      tracing,
      metrics,
      applied: changed,
      lockMs: config.lockMs,
      waitSeconds: config.waitSeconds,
      signal,
    });
  }

  static async start(options: TerminalOptions, database: Database): Promise<Agent> {
    const { config, runtime, log } = options;
    const station = new Station(database, runtime.clock, config.lockMs);
    const metrics = new Metrics("terminal");
    const tracing = await openTracing({
      settings: config.tracing,
      service: "waybill-terminal",
      instance: config.terminal,
      runtime,
      log,
      metrics,
    });
    options.stop.onClose("tracing", () => tracing.close());
    const agent = new Agent(options, station, await StaleRows.open(database.capture), { tracing, metrics });
    const { host, port } = config.metrics;
    if (port !== undefined) {
      const { serveText } = await import("../base/text-page.ts");
      const page = await serveText({ host, port, path: "/metrics" }, () => agent.metricsText());
      options.stop.onClose("metrics page", () => page.close());
      log.info({ address: page.address }, "terminal.metrics-served");
    }
    await agent.#tolerating(() => agent.#ensureEnrolled());
    await agent.#tolerating(() => agent.#goOn());
    agent.#run();
    log.info({ terminal: config.terminal, hub: config.hub, lockMs: config.lockMs }, "terminal.started");
    return agent;
  }

  /** What a person must mend is told to whoever starts the agent; what passes by itself is tried again by the loop. */
  async #tolerating(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      const error = asWaybillError(thrown);
      if (error.blame !== "target") throw error;
      this.#options.log.warn({ error }, "terminal.hub-failed");
    }
  }

  /** Goes on as the last run left it, as far as that is possible without the hub. */
  async #goOn(): Promise<void> {
    if (this.#scope.scope !== null) return;
    await this.#station.readMarks();
    await this.#scope.recall();
    await this.#look();
  }

  async #ensureEnrolled(): Promise<void> {
    if (this.#enrolled) return;
    const { config, runtime, log } = this.#options;
    const { terminal, token, tags } = config;
    const now = await ensureEnrolled({
      folder: this.#folder,
      terminal,
      token,
      tags,
      random: runtime.random,
      client: this.#client,
    });
    this.#enrolled = true;
    if (now) log.info({ terminal }, "terminal.enrolled");
  }

  #run(): void {
    const { signal } = this.#options.stop;
    const { timers } = this.#options.runtime;
    const run = (name: LoopName, step: () => Promise<number>): Promise<void> =>
      this.#loops[name].run(step, this.#wakes[name], signal);
    // Loops that were never ready must end, too.
    if (signal.aborted) this.#ready.resolve();
    signal.addEventListener("abort", () => this.#ready.resolve(), { once: true });
    const afterReady = async (name: LoopName, step: () => Promise<number>): Promise<void> => {
      await this.#ready.promise;
      await run(name, step);
    };
    this.#running = Promise.all([
      run("hub", () => this.#hubStep()),
      afterReady("capture", () => this.#packer.step()),
      afterReady("submit", () => this.#submitter.step()),
      afterReady("receive", () => this.#receiver.step()),
      afterReady("answer", () => this.#answerer.step()),
    ]);
    this.#heart = timers.every(
      this.#options.config.statusMs,
      () => this.#beat(),
      (error) => this.#options.log.warn({ error }, "terminal.status-failed"),
    );
  }

  async #hubStep(): Promise<number> {
    await this.#ensureEnrolled();
    await this.#goOn();
    await this.#scope.refresh();
    if (this.#station.marks.epoch === null) await this.#newEpoch("first start");
    await this.#look();
    return this.#options.config.manifestMs;
  }

  /** Lets the other loops begin once it is known what to capture and under which epoch. */
  async #look(): Promise<void> {
    if (this.#scope.scope === null || this.#station.marks.epoch === null) return;
    await this.#scope.resyncOwed();
    this.#packer.resyncAsked();
    this.#ready.resolve();
  }

  async #newEpoch(reason: string): Promise<void> {
    const { runtime, log } = this.#options;
    await openEpoch({ station: this.#station, client: this.#client, runtime, log }, reason);
    await this.#look();
  }

  async #outdone(current: string): Promise<void> {
    const { runtime, log } = this.#options;
    await goOnOrAsk({ station: this.#station, client: this.#client, runtime, log }, current);
    await this.#look();
  }

  get #limits(): Scope["limits"] {
    const { scope } = this.#scope;
    if (scope === null) throw new WaybillError("INTERNAL", "a loop began before a manifest was known");
    return scope.limits;
  }

  async #beat(): Promise<void> {
    const now = this.#options.runtime.clock.elapsed();
    const marks = JSON.stringify(this.#station.marks);
    if (!this.#dirty && marks === this.#writtenMarks && now - this.#writtenAt < HEARTBEAT_MS) return;
    this.#dirty = false;
    this.#writtenMarks = marks;
    await this.#writeStatus();
    this.#writtenAt = now;
  }

  /** The beat's and the last one must not meet in the draft file. */
  #writeStatus(): Promise<void> {
    return this.#statusTurns.run(async () => writeStatus(this.#folder, await this.status()));
  }

  /** The agent's figures in the Prometheus format; what only the database knows is read for it. */
  async metricsText(): Promise<string> {
    const { up, down } = await this.status();
    const metrics = this.#metrics;
    metrics.set("waybill_terminal_outbox_rows", up.outboxRows, {});
    metrics.set("waybill_terminal_messages_waiting", up.packedThrough - up.receivedThrough, {});
    metrics.set("waybill_terminal_messages_unloaded", up.receivedThrough - up.loadedThrough, {});
    for (const state of ["retrying", "held", "dead"] as const)
      metrics.set("waybill_terminal_exceptions_open", up.open[state], { state });
    metrics.set("waybill_terminal_stale_rows", down.stale, {});
    metrics.set("waybill_terminal_longest_lock_seconds", this.#station.longestLockMs / 1_000, {});
    return metrics.text();
  }

  async status(): Promise<TerminalStatus> {
    const { config, version, runtime } = this.#options;
    const state = await this.#station.use(({ capture }) => capture.state());
    const { epoch, packedThrough, outboxRows, oldestAt, resyncing, cursor } = state;
    const { receivedThrough, loadedThrough } = this.#station.marks;
    return {
      terminal: config.terminal,
      hub: config.hub,
      version: version ?? "unknown",
      pid: process.pid,
      startedAt: this.#startedAt,
      writtenAt: isoOf(runtime.clock.now()),
      loops: Object.fromEntries(LOOPS.map((name) => [name, this.#loops[name].status])) as TerminalStatus["loops"],
      up: {
        tables: this.#scope.scope?.up ?? [],
        epoch,
        packedThrough,
        // What was heard, whether or not it has been written down yet.
        receivedThrough,
        loadedThrough,
        outboxRows,
        oldestAt,
        resyncing,
        open: this.#submitter.open,
      },
      down: {
        tables: [...(this.#scope.scope?.down ?? [])],
        appliedThrough: cursor.id,
        inside: cursor.changes,
        stale: this.#stale.size,
        staleRows: this.#stale.list(STALE_SHOWN),
      },
      longestLockMs: Math.round(this.#station.longestLockMs),
    };
  }

  /** After the stop signal: waits for the loops, writes down what was acknowledged, and leaves a last status. */
  async close(): Promise<void> {
    this.#heart?.[Symbol.dispose]();
    await this.#running;
    if (this.#scope.scope !== null) await this.#packer.close();
    await this.#writeStatus();
    this.#options.log.info({ terminal: this.#options.config.terminal }, "terminal.stopped");
  }
}
