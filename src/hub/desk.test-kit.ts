import { onTestFinished } from "vitest";
import { tempDir } from "../../test/kit/temp-dir.ts";
import { until } from "../../test/kit/until.ts";
import { systemRuntime, type Runtime } from "../base/runtime.ts";
import { Stop } from "../base/stop.ts";
import type { Station } from "../database/contract/station.ts";
import { stationOn } from "../database/postgres/station.test-kit.ts";
import { stationIn } from "../database/sqlite/station.test-kit.ts";
import type { ExceptionRow, Waiting } from "../ledger/exceptions.ts";
import { TestSchema } from "../ledger/postgres/schema.test-kit.ts";
import type { Rehearsal } from "../load/port.ts";
import { CHAIN_START, chainHex } from "../message/chain.ts";
import { createLog } from "../observe/log.ts";
import { startHub, type Hub } from "./hub.ts";
import { checkHubConfig, hubSettings } from "./load-config.ts";
import { readOperatorToken } from "./operator-token.ts";

/** A centre and where the ledger is. */
export type Place = { readonly centre: Station; readonly ledgerUrl: string; readonly folder: string };
export type OpenPlace = (ddl: string) => Promise<Place>;

export const onSqlite: OpenPlace = async (ddl) => {
  const dir = tempDir();
  onTestFinished(() => dir[Symbol.asyncDispose]());
  const centre = await stationIn("wal")(ddl);
  onTestFinished(() => centre[Symbol.asyncDispose]());
  return { centre, ledgerUrl: `sqlite:${dir.file("ledger.db")}`, folder: dir.path };
};
/** Centre and ledger on one server. */
export const onPostgres =
  (server: string): OpenPlace =>
  async (ddl) => {
    const dir = tempDir();
    onTestFinished(() => dir[Symbol.asyncDispose]());
    const centre = await stationOn(server)(ddl);
    onTestFinished(() => centre[Symbol.asyncDispose]());
    const schema = new TestSchema(server);
    onTestFinished(() => schema[Symbol.asyncDispose]());
    return { centre, ledgerUrl: schema.url, folder: dir.path };
  };

export type Shown = {
  readonly exception: ExceptionRow;
  readonly waiting: Waiting;
  readonly revisions: readonly {
    readonly n: number;
    readonly by: string;
    readonly reason: string;
    readonly line: string;
  }[];
  readonly centre: { readonly rows: Rehearsal["rows"] };
  readonly payload: { readonly lines: readonly string[] };
};
export type Answer<T> = { readonly status: number; readonly body: T };
type Given = Readonly<Record<string, unknown>>;

/** Operators of a hub with one till, t1 of store 014, whose lines are written by the test. */
export class Desk {
  readonly place: Place;
  /** Everything the hub logged, from the first line. */
  readonly log: string[] = [];
  operator = "";
  readonly #runtime: Runtime;
  #config: Given;
  #hub!: Hub;
  #key = "";
  readonly #lines: string[] = [];

  private constructor(place: Place, config: Given, runtime: Runtime) {
    this.place = place;
    this.#runtime = runtime;
    this.#config = config;
  }

  static async open(place: Place, config: Given, runtime: Runtime = systemRuntime): Promise<Desk> {
    const desk = new Desk(place, config, runtime);
    await desk.start();
    const { body } = await desk.call<{ token: string }>("/api/enroll-tokens", {
      terminal: "t1",
      tags: { store: "014" },
    });
    const enrolled = await desk.call<{ key: string }>("/v1/enroll", { token: body.token, terminal: "t1" }, "none");
    desk.#key = enrolled.body.key;
    return desk;
  }

  async start(): Promise<void> {
    const { centre, ledgerUrl, folder } = this.place;
    const given = { ledger: ledgerUrl, central: centre.url, port: 0, processor: { pollMs: 20 }, ...this.#config };
    const settings = hubSettings(checkHubConfig(given, folder, {}));
    const log = createLog({ level: "debug", form: "json", to: { write: (line) => this.log.push(line) } });
    const hub = await startHub({
      settings: { ...settings, tokens: [...settings.tokens, LOCAL] },
      runtime: this.#runtime,
      log,
      stop: new Stop(),
    });
    onTestFinished(() => hub.close());
    this.#hub = hub;
    this.operator = (await readOperatorToken(ledgerUrl)) ?? LOCAL_TOKEN;
  }
  /** As after a deployment: with another config where one is given. */
  async restart(config: Given = this.#config): Promise<void> {
    await this.#hub.close();
    this.#config = config;
    await this.start();
  }
  get address(): string {
    return this.#hub.address;
  }

  async call<T>(path: string, json?: unknown, key = this.operator, traceparent?: string): Promise<Answer<T>> {
    const response = await fetch(`${this.#hub.address}${path}`, {
      method: json === undefined ? "GET" : "POST",
      headers: {
        authorization: `Bearer ${key}`,
        ...(traceparent === undefined ? {} : { traceparent }),
        "content-type": typeof json === "string" ? "application/x-ndjson" : "application/json",
      },
      ...(json === undefined ? {} : { body: typeof json === "string" ? json : JSON.stringify(json) }),
    });
    const text = await response.text();
    return { status: response.status, body: (text.startsWith("{") ? JSON.parse(text) : text) as T };
  }
  /** As the terminal. */
  asTill<T>(path: string, json?: unknown): Promise<Answer<T>> {
    return this.call(path, json, this.#key);
  }
  /** The till sends all it has written so far: known numbers are skipped. */
  async send(...more: readonly string[]): Promise<void> {
    this.#lines.push(...more);
    const head = JSON.stringify({ epoch: "E1", after: 0, chain: chainHex(CHAIN_START) });
    const { status } = await this.asTill("/v1/messages", [head, ...this.#lines, ""].join("\n"));
    if (status !== 200) throw new Error(`the hub answered ${status}`);
  }
  exception(seq: number): string {
    return `/api/exceptions/t1/E1/${seq}`;
  }
  async show(seq: number): Promise<Shown> {
    return (await this.call<Shown>(this.exception(seq))).body;
  }
  async state(seq: number): Promise<string> {
    const { body } = await this.call<{ messages?: { state: string }[] }>(`/api/trace/t1/E1%2F${seq}`);
    return body.messages?.[0]?.state ?? "none";
  }
  becomes(seq: number, wanted: string): Promise<unknown> {
    const what = `message ${seq} is ${wanted}`;
    return until(async () => (await this.state(seq)) === wanted, { what, timeoutMs: 20_000 });
  }
  /** Rows of a query on the centre, the values of each with spaces between. */
  async rows(sql: string): Promise<readonly string[]> {
    return (await this.place.centre.rows(sql)).map((row) => row.join(" "));
  }
}

/** A ledger on a server has no file beside it that holds a token. */
const LOCAL_TOKEN = "operator-token-of-the-desk";
const LOCAL = {
  name: "local",
  role: "admin",
  hash: await crypto.subtle
    .digest("SHA-256", new TextEncoder().encode(LOCAL_TOKEN))
    .then((hash) => Buffer.from(hash).toString("hex")),
} as const;
