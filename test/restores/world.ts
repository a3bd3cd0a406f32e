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
import { openLedger } from "../../src/ledger/open.ts";
import type { Ledger } from "../../src/ledger/port.ts";
import { createLog, silentLog, type Log } from "../../src/observe/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { readTerminalConfig } from "../../src/terminal/config.ts";
import { startTerminal, type Terminal } from "../../src/terminal/terminal.ts";
import { SqliteStores, type App, type Stores } from "./stores.ts";
import { VirtualTime, type Dice, type WorldTime } from "./virtual-time.ts";

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
    const ledger = await openLedger(settings.ledgerUrl, runtime);
    const central = await openCentral(settings, runtime);
    const updates = new UpdateSignal();
    const metrics = new Metrics();
    const onPublished = (audiences: readonly string[]): void => updates.ring(audiences);
    const engine = new Engine({ ledger, central, settings, runtime, log, metrics, onPublished });
    const halt = new AbortController();
    const wake = {
      received: () => engine.received(),
      enrolled: (id: string) => void engine.enrolled(terminalId(id)),
      ordered: () => engine.reconciler.ordered(),
    };
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
  /** Further settings of the agents. */
  readonly agent?: Readonly<Record<string, unknown>>;
};

/** A till: its application's connection, and an agent that may be stopped and started. */
export class Till {
  readonly id: string;
  /** Its database. */
  readonly name: string;
  readonly state: string;
  readonly #world: World;
  readonly #token: string;
  app: App;
  terminal: Terminal | null = null;
  #stop: Stop | null = null;

  /** @param app its application's connection with the database `name` */
  constructor(world: World, of: { id: string; token: string; name: string; state: string }, app: App) {
    this.#world = world;
    this.id = of.id;
    this.name = of.name;
    this.state = of.state;
    this.#token = of.token;
    this.app = app;
  }

  get running(): boolean {
    return this.#stop !== null;
  }

  async start(): Promise<void> {
    const { runtime } = this.#world;
    const stop = new Stop();
    this.#stop = stop;
    const config = readTerminalConfig({
      hub: "http://hub.test",
      terminal: this.id,
      database: this.#world.stores.url(this.name),
      state: this.state,
      token: this.#token,
      pollMs: 500,
      waitSeconds: 25,
      statusMs: 600_000,
      keepMessages: this.#world.shape.keepMessages ?? 10_000,
      ...this.#world.shape.agent,
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

  all<T>(sql: string): Promise<T[]> {
    return this.app.all<T>(sql);
  }
}

/**
 * A hub, a centre and some tills in one process, on real databases that can be copied while they are in use and put back: every
 * station with all of its code, only sockets and threads are left out. On files the time is one of its own; on a server it is real.
 */
export class World {
  readonly folder: string;
  readonly shape: WorldShape;
  readonly stores: Stores;
  readonly time: WorldTime;
  readonly runtime: Runtime;
  readonly tills: Till[] = [];
  readonly settings: HubSettings;
  centre: App;
  #hub: Hub | null = null;

  static async make(
    folder: string,
    dice: Dice,
    shape: WorldShape,
    on: { readonly stores: Stores; readonly time: WorldTime } = {
      stores: new SqliteStores(folder),
      time: new VirtualTime(dice),
    },
  ): Promise<World> {
    const centre = await on.stores.make("central", shape.central);
    if (on.stores.url("ledger").startsWith("postgres")) await (await on.stores.make("ledger", "")).close();
    return new World(folder, dice, shape, on, centre);
  }

  private constructor(
    folder: string,
    dice: Dice,
    shape: WorldShape,
    on: { readonly stores: Stores; readonly time: WorldTime },
    centre: App,
  ) {
    this.folder = folder;
    this.shape = shape;
    this.stores = on.stores;
    this.time = on.time;
    this.runtime = { clock: this.time, timers: this.time, random: dice, network: this.#network() };
    const config = {
      ledger: on.stores.url("ledger"),
      central: on.stores.url("central"),
      port: 0,
      tokens: [{ name: "anna", role: "operator" as const, token: OPERATOR }],
      limits: { freeDiskMib: 0 },
      ...shape.config,
    };
    this.settings = hubSettings(checkHubConfig(config, folder, {}));
    this.centre = centre;
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
    const app = await this.stores.make(id, this.shape.till);
    const till = new Till(
      this,
      { id, name: id, token: await this.token(id), state: `${this.folder}/${id}.agent` },
      app,
    );
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

  /** The database `name` as it is, whoever uses it, kept as `to`. */
  copy(name: string, to: string): Promise<void> {
    return this.time.through(`the copy of ${name}`, this.stores.copy(name, to));
  }
  async restoreLedger(copy: string): Promise<void> {
    await this.stopHub();
    await this.stores.putBack(copy, "ledger");
    await this.startHub();
  }
  async restoreCentre(copy: string): Promise<void> {
    await this.stopHub();
    await this.centre.close();
    await this.stores.putBack(copy, "central");
    this.centre = await this.stores.connect("central");
    await this.startHub();
  }
  /** The till's machine from an image: `between` is what its application does before the agent is up again. */
  async restoreTill(till: Till, copy: string, between: () => Promise<void>): Promise<void> {
    await till.stop();
    await till.app.close();
    await this.stores.putBack(copy, till.name);
    till.app = await this.stores.connect(till.name);
    await between();
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

  rows<T>(sql: string): Promise<T[]> {
    return this.centre.all<T>(sql);
  }

  async close(): Promise<void> {
    for (const till of this.tills) {
      await till.stop();
      await till.app.close();
    }
    await this.stopHub();
    await this.centre.close();
    await this.stores.close();
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
