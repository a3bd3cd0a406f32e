import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { asWaybillError } from "../../src/base/errors.ts";
import { checkHubConfig, hubSettings } from "../../src/hub/load-config.ts";
import type { HubSettings } from "../../src/hub/settings.ts";
import type { Log, LogFacts } from "../../src/observe/log.ts";
import type { LogEvent } from "../../src/observe/log-events.ts";
import { Dice } from "./dice.ts";
import { drawFaults, type FaultPlan } from "./faults.ts";
import { backUp, restore, type Files } from "./files.ts";
import { HubProcess, reader } from "./hub.ts";
import { EPOCH_MS, Life } from "./life.ts";
import { SimulatedNetwork } from "./network.ts";
import { Scheduler } from "./scheduler.ts";
import { CONFIG, ITEMS, TILLS } from "./shape.ts";
import { SharedLedger } from "./shared-ledger.ts";
import { AgentProcess, MemoryFolder, TillProgram } from "./till.ts";
import { tellTime } from "./time.ts";
import { Truth } from "./truth.ts";

/** What must never be, was. */
export class Violation extends Error {
  override readonly name = "Violation";
}

const STORY_LINES = 4_000;

export type Till = {
  readonly id: string;
  readonly path: string;
  readonly store: string;
  readonly token: string;
  readonly folder: MemoryFolder;
  readonly app: DatabaseSync;
  readonly program: TillProgram;
  agent: AgentProcess | null;
  skewMs: number;
};

/** Share of worlds with two hubs over one ledger. */
const TWO_HUBS = 0.3;
/** How long the clocks of tills stand still between two ticks: what happens meanwhile is of one moment. */
const TICKS_MS = [1, 1, 16, 1_000];

/** All stations of one seed, what happens to them, and what was seen. */
export class World implements AsyncDisposable {
  readonly dice: Dice;
  readonly scheduler: Scheduler;
  readonly truth = new Truth();
  readonly plan: FaultPlan;
  readonly network: SimulatedNetwork;
  readonly settings: HubSettings;
  readonly paths: { readonly ledger: string; readonly central: string };
  readonly tills: readonly Till[];
  centre: DatabaseSync;
  /** Looks at the centre as any other program may. */
  onCentre: DatabaseSync;
  onLedger: DatabaseSync;
  readonly counts = {
    killedHub: 0,
    killedAgent: 0,
    parted: 0,
    frozen: 0,
    jumped: 0,
    paused: 0,
    requeued: 0,
    edited: 0,
    discarded: 0,
    locked: 0,
    restored: 0,
  };
  /** Those that run, of `hubCount`; several of them work on one ledger that outlives them. */
  hubs: readonly HubProcess[] = [];
  readonly hubCount: number;
  hubSkewMs = 0;
  #shared: SharedLedger | null = null;
  #booting = 0;
  /** Set by whatever must never be; the run ends with it. */
  broken: Violation | null = null;
  healing = false;
  readonly #story: string[] = [];
  readonly #folder: ReturnType<Files["world"]>;
  #lives = 0;

  constructor(seed: number, files: Files) {
    this.dice = new Dice(String(seed));
    this.scheduler = new Scheduler(this.dice.fork("ties"));
    this.plan = drawFaults(this.dice.fork("plan"));
    const balancer = this.dice.fork("balancer");
    this.hubCount = balancer.chance(TWO_HUBS) ? 2 : 1;
    this.network = new SimulatedNetwork(this.scheduler, this.dice.fork("network"), this.plan.network, () => {
      const open = this.hubs.filter((hub) => hub.open);
      return open.length === 0 ? null : balancer.pick(open);
    });
    this.network.onFault = (what) => this.tell(what);
    this.#folder = files.world();
    this.paths = { ledger: this.#folder.file("ledger", "ledger"), central: this.#folder.file("central", "central") };
    const config = { ...CONFIG, ledger: `sqlite:${this.paths.ledger}`, central: `sqlite:${this.paths.central}` };
    this.settings = hubSettings(checkHubConfig(config, "/", {}));
    this.tills = TILLS.slice(0, 1 + this.dice.below(TILLS.length)).map((till) => this.#till(till));
    this.centre = this.#program(this.paths.central);
    this.onCentre = reader(this.paths.central);
    this.onLedger = reader(this.paths.ledger);
    for (const item of ITEMS) this.truth.prices.set(item, { price: "1.00", rev: 1 });
    this.truth.stores.set("s1", { name: "North", rev: 1 }).set("s2", { name: "South", rev: 1 });
  }

  #till({ id, store, token }: (typeof TILLS)[number]): Till {
    const path = this.#folder.file(id, "till");
    const app = this.#program(path, this.dice.fork(`${id}/tick`).pick(TICKS_MS));
    const program = new TillProgram(id, app, this.dice.fork(id), this.truth);
    return { id, path, app, store, token, folder: new MemoryFolder(), program, agent: null, skewMs: 0 };
  }

  /** Another program's connection. It does not wait for a lock: in one thread nobody could let go of it meanwhile. */
  #program(path: string, tickMs = 1): DatabaseSync {
    const db = new DatabaseSync(path, { timeout: 0, enableForeignKeyConstraints: true });
    db.exec("pragma synchronous = off");
    tellTime(db, { now: () => (EPOCH_MS + this.scheduler.nowMs) as never }, tickMs);
    return db;
  }

  life(name: string, skewMs: number): Life {
    let life: Life | null = null;
    const made = (): Life => life as Life;
    const network = this.network.for(name, made);
    const dice = this.dice.fork(`${name}/${++this.#lives}`);
    life = new Life(name, skewMs, { scheduler: this.scheduler, dice, network, log: this.#log(name) });
    life.faulty = !this.healing;
    return life;
  }

  // ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A hub that runs, one that answers requests rather than another. */
  get hub(): HubProcess | null {
    return this.hubs.find(({ open }) => open) ?? this.hubs[0] ?? null;
  }

  /** Until there are as many as there should be. */
  async startHub(): Promise<void> {
    if (this.hubs.length + this.#booting >= this.hubCount) return;
    this.#booting++;
    const life = this.life("hub", this.hubSkewMs);
    this.tell("the hub starts");
    if (this.hubCount > 1) this.#shared ??= await SharedLedger.open(this.paths.ledger, this.life("ledger", 0));
    const hub = await HubProcess.boot(this.paths, this.settings, life, this.plan, this.#shared?.connect() ?? null);
    this.#booting--;
    this.hubs = [...this.hubs, hub];
    hub.start().catch((thrown: unknown) => {
      const error = asWaybillError(thrown);
      this.tell(`the hub's start ends with ${error.message}`);
      if (error.blame !== "target") this.broke(`the hub cannot start: ${error.stack}`);
    });
  }
  async killHub(): Promise<void> {
    if (this.hubs.length === 0) return;
    const hub = this.dice.pick(this.hubs);
    this.counts.killedHub++;
    this.tell("the hub is killed");
    this.hubs = this.hubs.filter((each) => each !== hub);
    await hub.kill();
  }
  /** All of them, and the ledger's own process: a file is about to take another's place. */
  async #endHubs(): Promise<void> {
    const { hubs } = this;
    this.hubs = [];
    for (const hub of hubs) await hub.kill();
    await this.#shared?.[Symbol.asyncDispose]();
    this.#shared = null;
  }
  jumpHubs(ms: number): void {
    this.hubSkewMs += ms;
    for (const { life } of this.hubs) life.skewMs += ms;
    if (this.#shared) this.#shared.life.skewMs += ms;
  }
  startAgent(till: Till): void {
    if (till.agent) return;
    this.tell(`the agent of ${till.id} starts`);
    till.agent = new AgentProcess(this.life(till.id, till.skewMs), till.path, { ...till, faults: this.plan.till });
  }
  killAgent(till: Till): void {
    if (!till.agent) return;
    this.counts.killedAgent++;
    this.tell(`the agent of ${till.id} is killed`);
    till.agent.kill();
    till.agent = null;
  }

  // ── backups ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Called with what went back in time. */
  onRestore: (what: "ledger" | "central") => void = () => undefined;
  readonly #backups = new Map<"ledger" | "central", () => void>();

  /** Remembers the station as it is; a ledger only once it knows all tills, for their keys are not what is tried here. */
  backUp(what: "ledger" | "central"): void {
    const known = Number(this.onLedger.prepare("select count(*) as n from terminal").get()?.["n"]);
    if (what === "ledger" && known < this.tills.length) return;
    const copy = `${this.paths[what]}.backup`;
    const office = this.truth.office();
    backUp(what === "ledger" ? this.onLedger : this.onCentre, copy);
    this.tell(`the ${what} is backed up`);
    this.#backups.set(what, () => {
      restore(this.paths[what], copy);
      if (what === "central") office();
    });
  }
  async restore(what: "ledger" | "central"): Promise<void> {
    const back = this.#backups.get(what);
    if (!back) return;
    this.tell("the hubs are killed");
    await this.#endHubs();
    this.counts.restored++;
    this.tell(`the ${what} is restored from its backup`);
    if (what === "ledger") this.onLedger.close();
    else for (const db of [this.centre, this.onCentre]) db.close();
    back();
    if (what === "ledger") this.onLedger = reader(this.paths.ledger);
    else {
      this.centre = this.#program(this.paths.central);
      this.onCentre = reader(this.paths.central);
    }
    this.onRestore(what);
  }

  backUpBoth(): void {
    this.backUp("ledger");
    this.backUp("central");
  }
  async restoreBoth(): Promise<void> {
    if (!this.#backups.has("ledger") || !this.#backups.has("central")) return;
    await this.restore("ledger");
    await this.restore("central");
  }

  // ── what was seen ────────────────────────────────────────────────────────────────────────────────────────────────

  broke(what: string): void {
    this.tell(`VIOLATION: ${what}`);
    this.broken ??= new Violation(what);
  }
  tell(what: string): void {
    const line = `${(this.scheduler.nowMs / 1000).toFixed(3).padStart(9)}  ${what}`;
    this.scheduler.note(line);
    if (this.#story.push(line) > STORY_LINES) this.#story.shift();
  }
  /** The last lines of what happened. */
  story(lines: number): string {
    return this.#story.slice(-lines).join("\n");
  }

  #log(name: string): Log {
    const line =
      (level: string) =>
      (facts: LogFacts, event: LogEvent): void => {
        const shown = Object.entries(facts).map(
          ([key, value]) => `${key}=${value instanceof Error ? value.message : JSON.stringify(value)}`,
        );
        this.tell(`${name} ${level} ${event} ${shown.join(" ")}`.slice(0, 400));
        const { error } = facts;
        if (error instanceof Error && asWaybillError(error).code === "INTERNAL")
          this.broke(`${name} ${event}: a fault of ours: ${error.stack}`);
      };
    const log: Log = {
      debug: () => undefined,
      info: line("info"),
      warn: line("warn"),
      error: line("error"),
      child: () => log,
    };
    return log;
  }

  /** Copies of all databases as they are now, to look at what was violated. @param folder made when it is not there */
  keep(folder: string): void {
    mkdirSync(folder, { recursive: true });
    const stations = [["ledger", this.onLedger] as const, ["central", this.onCentre] as const];
    for (const [name, db] of [...stations, ...this.tills.map(({ id, app }) => [id, app] as const)])
      backUp(db, join(folder, `${name}.db`));
    writeFileSync(join(folder, "story.txt"), `${this.story(STORY_LINES)}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const till of this.tills) {
      till.agent?.kill();
      till.app.close();
    }
    await this.#endHubs();
    for (const db of [this.centre, this.onCentre, this.onLedger]) db.close();
    this.#folder[Symbol.dispose]();
  }
}
