import { copyFileSync, existsSync, rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { WaybillError } from "../../src/base/errors.ts";
import { actor, terminalId } from "../../src/base/ids.ts";
import type { HttpRequest, HttpResponse, Network } from "../../src/base/network.ts";
import type { Runtime } from "../../src/base/runtime.ts";
import { Stop } from "../../src/base/stop.ts";
import { openDatabase } from "../../src/database/open.ts";
import { createHubApi, type HubApi } from "../../src/hub/api/api.ts";
import { UpdateSignal } from "../../src/hub/api/update-signal.ts";
import { secretHash } from "../../src/hub/api/secret.ts";
import type { HubConfig } from "../../src/hub/config.ts";
import type { Central } from "../../src/hub/central.ts";
import { Engine } from "../../src/hub/engine.ts";
import { checkHubConfig, hubSettings } from "../../src/hub/load-config.ts";
import { openCentral } from "../../src/hub/open-central.ts";
import type { HubSettings } from "../../src/hub/settings.ts";
import { openSqliteLedger } from "../../src/ledger/sqlite/ledger.ts";
import type { Ledger } from "../../src/ledger/port.ts";
import { createLog, silentLog, type Log } from "../../src/observe/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { readTerminalConfig } from "../../src/terminal/config.ts";
import { startTerminal, type Terminal } from "../../src/terminal/terminal.ts";
import { VirtualTime, type Dice } from "./virtual-time.ts";

const log: Log = process.env["RESTORES_LOG"] === undefined ? silentLog : createLog({ level: "debug", form: "json" });

export const OPERATOR = "operator-token-of-the-tests";

/** A hub with its real ledger, loader, publisher and API, reached without a socket. */
class Hub {
  readonly ledger: Ledger;
  readonly central: Central;
  readonly engine: Engine;
  readonly api: HubApi;
  readonly #halt: AbortController;

  private constructor(parts: Pick<Hub, "ledger" | "central" | "engine" | "api">, halt: AbortController) {
    this.ledger = parts.ledger;
    this.central = parts.central;
    this.engine = parts.engine;
    this.api = parts.api;
    this.#halt = halt;
  }

  static async start(settings: HubSettings, runtime: Runtime): Promise<Hub> {
    const ledger = await openSqliteLedger(settings.ledgerUrl.slice("sqlite:".length), runtime);
    const central = await openCentral(settings, runtime);
    const updates = new UpdateSignal();
    const metrics = new Metrics();
    const onPublished = (audiences: readonly string[]): void => updates.ring(audiences);
    const engine = new Engine({ ledger, central, settings, runtime, log, metrics, onPublished });
    const halt = new AbortController();
    const enrolled = async (id: string): Promise<void> => {
      const terminal = await ledger.terminals.get(terminalId(id));
      if (terminal) engine.enrolled(terminal);
    };
    const wake = { received: () => engine.received(), enrolled: (id: string) => void enrolled(id) };
    const api = createHubApi({ ledger, settings, runtime, log, metrics, wake, updates });
    await engine.start(halt.signal);
    return new Hub({ ledger, central, engine, api }, halt);
  }

  async stop(): Promise<void> {
    this.api.drain();
    this.#halt.abort();
    await this.engine.ended();
    await this.api[Symbol.asyncDispose]();
    await this.central.close();
    await this.ledger[Symbol.asyncDispose]();
  }
}

export type WorldShape = {
  readonly till: string;
  readonly central: string;
  readonly config: Pick<HubConfig, "tables"> & Partial<HubConfig>;
  readonly keepMessages?: number;
};

/** A till: its application's connection, and an agent that may be stopped and started. */
export class Till {
  readonly id: string;
  readonly path: string;
  readonly #world: World;
  readonly #token: string;
  readonly #state: string;
  app: DatabaseSync;
  terminal: Terminal | null = null;
  #stop: Stop | null = null;

  constructor(
    world: World,
    id: string,
    token: string,
    path = world.file(`${id}.db`),
    state = world.file(`${id}.agent`),
  ) {
    this.#world = world;
    this.id = id;
    this.path = path;
    this.#token = token;
    this.#state = state;
    this.app = connect(path);
  }

  get running(): boolean {
    return this.#stop !== null;
  }
  get state(): string {
    return this.#state;
  }

  async start(): Promise<void> {
    const { runtime } = this.#world;
    const stop = new Stop();
    this.#stop = stop;
    const config = readTerminalConfig({
      hub: "http://hub.test",
      terminal: this.id,
      database: `sqlite:${this.path}`,
      state: this.#state,
      token: this.#token,
      pollMs: 500,
      waitSeconds: 25,
      statusMs: 600_000,
      keepMessages: this.#world.shape.keepMessages ?? 10_000,
    });
    const open = (url: string) => openDatabase(url, { ...runtime, busyMs: 1_000, alone: `agent ${this.id}` });
    const starting = startTerminal({ config, runtime, log: log.child({ till: this.id }), stop, open });
    this.terminal = await this.#world.time.through(`the start of ${this.id}`, starting);
  }

  async stop(): Promise<void> {
    const stopping = this.#stop?.end((what, thrown) => {
      throw new Error(`${what} did not close`, { cause: thrown });
    });
    this.#stop = null;
    if (stopping) await this.#world.time.through(`the end of ${this.id}`, stopping);
  }

  all<T>(sql: string): T[] {
    return this.app.prepare(sql).all() as T[];
  }
}

/**
 * A hub, a centre and some tills in one process and one virtual time, on real SQLite files, which can be copied while
 * they are in use and put back: every station with all of its code, only sockets and threads are left out.
 */
export class World {
  readonly folder: string;
  readonly shape: WorldShape;
  readonly time: VirtualTime;
  readonly runtime: Runtime;
  readonly tills: Till[] = [];
  readonly settings: HubSettings;
  centre: DatabaseSync;
  #hub: Hub | null = null;

  constructor(folder: string, dice: Dice, shape: WorldShape) {
    this.folder = folder;
    this.shape = shape;
    this.time = new VirtualTime(dice);
    this.runtime = { clock: this.time, timers: this.time, random: dice, network: this.#network() };
    const config = {
      ledger: "sqlite:./ledger.db",
      central: "sqlite:./central.db",
      port: 0,
      tokens: [{ name: "anna", role: "operator" as const, token: OPERATOR }],
      limits: { freeDiskMib: 0 },
      ...shape.config,
    };
    this.settings = hubSettings(checkHubConfig(config, folder, {}));
    this.centre = make(this.file("central.db"), shape.central);
  }

  file(name: string): string {
    return `${this.folder}/${name}`;
  }
  get hub(): Hub {
    if (!this.#hub) throw new Error("the hub is down");
    return this.#hub;
  }
  get hubRuns(): boolean {
    return this.#hub !== null;
  }

  async startHub(): Promise<void> {
    this.#hub = await this.time.through("the start of the hub", Hub.start(this.settings, this.runtime));
  }
  async stopHub(): Promise<void> {
    const hub = this.#hub;
    this.#hub = null; // whoever calls from now on hears nothing
    if (hub) await this.time.through("the end of the hub", hub.stop());
  }

  async addTill(id: string): Promise<Till> {
    make(this.file(`${id}.db`), this.shape.till).close();
    const till = new Till(this, id, await this.token(id));
    this.tills.push(till);
    return till;
  }
  async token(id: string): Promise<string> {
    const token = `token-of-${id}`;
    const by = actor("operator:anna");
    const options = { terminal: terminalId(id), tags: {}, validMs: 86_400_000, by };
    await this.hub.ledger.terminals.createToken(secretHash(token), options);
    return token;
  }

  /** The files of a database as they are at this moment, whoever uses them: a copy of a running machine's disk. */
  copy(path: string, to: string): void {
    for (const end of ENDS) {
      rmSync(`${to}${end}`, { force: true });
      if (existsSync(`${path}${end}`)) copyFileSync(`${path}${end}`, `${to}${end}`);
    }
  }
  /** Puts a copy in the place of a database that nobody has open. */
  putBack(copy: string, path: string): void {
    for (const end of ["", "-wal", "-shm"]) rmSync(`${path}${end}`, { force: true });
    for (const end of ENDS) if (existsSync(`${copy}${end}`)) copyFileSync(`${copy}${end}`, `${path}${end}`);
  }
  async restoreLedger(copy: string): Promise<void> {
    await this.stopHub();
    this.putBack(copy, this.file("ledger.db"));
    await this.startHub();
  }
  async restoreCentre(copy: string): Promise<void> {
    await this.stopHub();
    this.centre.close();
    this.putBack(copy, this.file("central.db"));
    this.centre = connect(this.file("central.db"));
    await this.startHub();
  }
  /** The till's machine from an image: `between` is what its application does before the agent is up again. */
  async restoreTill(till: Till, copy: string, between: () => void): Promise<void> {
    await till.stop();
    till.app.close();
    this.putBack(copy, till.path);
    till.app = connect(till.path);
    between();
    await till.start();
  }

  async operator<T>(method: "GET" | "POST", path: string, body?: unknown): Promise<T> {
    const url = new URL(path, "http://hub.test");
    const asking = this.hub.api.handle({
      method,
      path: url.pathname,
      query: url.searchParams,
      headers: { authorization: `Bearer ${OPERATOR}` },
      body: Buffer.from(body === undefined ? "" : JSON.stringify(body)),
      signal: new AbortController().signal,
    });
    const answer = await this.time.through(path, asking);
    const text = Buffer.from(answer.body).toString("utf8");
    if (answer.status >= 300) throw new Error(`${method} ${path} answers ${answer.status}: ${text}`);
    return JSON.parse(text) as T;
  }

  rows<T>(sql: string): T[] {
    return this.centre.prepare(sql).all() as T[];
  }

  async close(): Promise<void> {
    for (const till of this.tills) {
      await till.stop();
      till.app.close();
    }
    await this.stopHub();
    this.centre.close();
  }

  #network(): Network {
    const call = async (request: HttpRequest): Promise<HttpResponse> => {
      const url = new URL(request.url);
      const hub = this.#hub;
      const lost = (): WaybillError => new WaybillError("HUB_UNREACHABLE", `${url.pathname} had no answer`);
      if (!hub) throw lost();
      const answering = hub.api.handle({
        method: request.method,
        path: url.pathname,
        query: url.searchParams,
        headers: request.headers,
        body: request.body ?? new Uint8Array(),
        signal: request.signal ?? new AbortController().signal,
      });
      const gone = new Promise<never>((_, reject) => {
        request.signal?.addEventListener("abort", () => reject(lost()), { once: true });
      });
      const answer = await Promise.race([answering, gone]);
      if (this.#hub !== hub) throw lost(); // it stopped meanwhile: the answer is lost
      return { status: answer.status, headers: answer.headers, body: answer.body };
    };
    return { request: call };
  }
}

const ENDS = ["", "-wal"];

export function connect(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 1_000 });
  db.exec("pragma synchronous = off; pragma foreign_keys = on");
  return db;
}

function make(path: string, schema: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 1_000 });
  db.exec(`pragma journal_mode = wal; pragma foreign_keys = on; ${schema}`);
  return db;
}
