import { systemRuntime, type Runtime } from "../../src/base/runtime.ts";
import { createHubApi, type HubApi } from "../../src/hub/api/api.ts";
import { listen } from "../../src/hub/api/listen.ts";
import type { HubApiParts } from "../../src/hub/api/parts.ts";
import { secretHash } from "../../src/hub/api/secret.ts";
import { UpdateSignal } from "../../src/hub/api/update-signal.ts";
import type { OidcSettings } from "../../src/hub/oidc-config.ts";
import type { HubSettings } from "../../src/hub/settings.ts";
import type { SoapSettings } from "../../src/hub/soap/settings.ts";
import type { Ledger } from "../../src/ledger/port.ts";
import { openSqliteLedger } from "../../src/ledger/sqlite/ledger.ts";
import { CHAIN_START, chainHex, chainNext } from "../../src/message/chain.ts";
import { silentLog } from "../../src/observe/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { submissionBody } from "../../src/wire/submission.ts";
import { tempDir } from "./temp-dir.ts";

export const OPERATOR = "operator-token-of-the-tests";
export const VIEWER = "viewer-token-of-the-tests";
export const ADMIN = "admin-token-of-the-tests";
export const PUBLISHER = "publisher-token-of-the-tests";

const DAY_MS = 24 * 3_600_000;

export function testSettings(ledgerUrl: string, limits: Partial<HubSettings["limits"]> = {}): HubSettings {
  const price = {
    target: "price",
    source: "price",
    rename: new Map(),
    ignore: new Set<string>(),
    audience: () => "all",
    onLeave: "delete" as const,
  };
  const token = (secret: string): string => secretHash(secret).toString("hex");
  return {
    ledgerUrl,
    centralUrl: "sqlite::memory:",
    host: "127.0.0.1",
    port: 0,
    rules: {
      tables: new Map(),
      retry: { attempts: 5, firstMs: 1, factor: 2, capMs: 10, jitter: 0.5, codes: null },
      maxOpen: 100,
    },
    up: ["sale", "stock"],
    down: [price, { ...price, target: "stock", source: "stock" }],
    search: new Map([
      ["sale", ["receipt"]],
      ["document:sale", ["body"]],
    ]),
    personal: new Map(),
    limits: {
      bodyBytes: 1 << 20,
      partBytes: 64 << 10,
      valueBytes: 256 << 10,
      lines: 1_000,
      backlogBytes: 1 << 30,
      freeDiskBytes: 0,
      ledgerBytes: null,
      ...limits,
    },
    retention: {
      everyMs: 0,
      keep: {
        messagesMs: 90 * DAY_MS,
        eventsMs: 400 * DAY_MS,
        updatesMs: 90 * DAY_MS,
        awayMs: 400 * DAY_MS,
        historyMs: 400 * DAY_MS,
      },
    },
    processor: {
      workers: 1,
      lanesPerBatch: 10,
      messagesPerLane: 100,
      bytesPerLane: 1 << 20,
      leaseMs: 10_000,
      pollMs: 1_000,
    },
    publisher: { pollMs: 100, quietGapMs: 100 },
    reconcile: { workers: 1, everyHours: null, afterRestore: true, patienceMs: 60_000 },
    tokens: [
      { name: "anna", role: "operator", hash: token(OPERATOR) },
      { name: "vera", role: "viewer", hash: token(VIEWER) },
      { name: "root", role: "admin", hash: token(ADMIN) },
      { name: "erp", role: "publisher", hash: token(PUBLISHER) },
    ],
    drainMs: 1_000,
  };
}

/** The real world, in which what happens every second happens fifty times in one. */
export const hurried: Runtime = {
  ...systemRuntime,
  timers: {
    ...systemRuntime.timers,
    every: (ms, tick, onError) => systemRuntime.timers.every(Math.min(ms, 20), tick, onError),
  },
};

export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Readonly<Record<string, unknown>>;
};
export type Ask = {
  readonly key?: string;
  readonly json?: unknown;
  readonly body?: Uint8Array<ArrayBuffer> | string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
};
/** The hub's HTTP side on a real port over a real ledger in a file, without processor and publisher. */
export type ApiStation = AsyncDisposable & {
  readonly ledger: Ledger;
  readonly ledgerPath: string;
  readonly api: HubApi;
  readonly address: string;
  readonly port: number;
  readonly updates: UpdateSignal;
  /** How often the processor was told of new work. */
  readonly wakes: () => number;
  call(method: string, path: string, ask?: Ask): Promise<Answer>;
  /** Enrols a terminal and gives its key. */
  enrol(terminal: string, tags?: Readonly<Record<string, string>>): Promise<string>;
  close(): Promise<void>;
};

export async function openApi(
  options: {
    readonly limits?: Partial<HubSettings["limits"]>;
    /** Puts something between the API and the ledger. */
    readonly around?: (ledger: Ledger) => Ledger;
    readonly runtime?: Runtime;
    /** Where the ledger lies; without it in a folder of its own. */
    readonly folder?: string;
    readonly soap?: SoapSettings;
    readonly oidc?: OidcSettings;
    /** Without it a free one. */
    readonly port?: number;
    readonly personal?: HubSettings["personal"];
    readonly parts?: Partial<
      Pick<HubApiParts, "alerts" | "browser" | "capacity" | "compared" | "health" | "log" | "metrics">
    >;
  } = {},
): Promise<ApiStation> {
  const dir = tempDir();
  const runtime = options.runtime ?? systemRuntime;
  const ledgerPath = options.folder === undefined ? dir.file("ledger.db") : `${options.folder}/ledger.db`;
  const ledger = await openSqliteLedger(ledgerPath, runtime);
  const updates = new UpdateSignal();
  let wakes = 0;
  const api = createHubApi({
    ledger: options.around?.(ledger) ?? ledger,
    settings: {
      ...testSettings(`sqlite:${ledgerPath}`, options.limits),
      soap: options.soap ?? null,
      oidc: options.oidc ?? null,
      ...(options.personal === undefined ? {} : { personal: options.personal }),
    },
    runtime,
    log: silentLog,
    metrics: new Metrics(),
    wake: { received: () => void wakes++ },
    updates,
    ...options.parts,
  });
  const server = await listen(api, { host: "127.0.0.1", port: options.port ?? 0 });
  const call: ApiStation["call"] = async (method, path, ask = {}) => {
    const body = ask.json === undefined ? ask.body : JSON.stringify(ask.json);
    const response = await fetch(`${server.address}${path}`, {
      method,
      headers: {
        ...(ask.key === undefined ? {} : { authorization: `Bearer ${ask.key}` }),
        ...(ask.json === undefined ? {} : { "content-type": "application/json" }),
        ...ask.headers,
      },
      ...(body === undefined ? {} : { body }),
      ...(ask.signal === undefined ? {} : { signal: ask.signal }),
    });
    const text = await response.text();
    const isJson =
      response.headers.get("content-type")?.includes("json") &&
      !response.headers.get("content-type")?.includes("ndjson");
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: isJson && text !== "" ? (JSON.parse(text) as Answer["json"]) : {},
    };
  };
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> =>
    (closing ??= (async () => {
      await server.close();
      await ledger[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    })());
  return {
    ledger,
    ledgerPath,
    api,
    address: server.address,
    port: server.port,
    updates,
    wakes: () => wakes,
    call,
    enrol: async (terminal, tags = {}) => {
      const { json } = await call("POST", "/api/enroll-tokens", { key: OPERATOR, json: { terminal, tags } });
      const enrolled = await call("POST", "/v1/enroll", { json: { token: json["token"], terminal } });
      return String(enrolled.json["key"]);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A terminal's lane as the tests send it: knows the chain, and makes submissions of any range of it. */
export class TestLane {
  readonly epoch: string;
  readonly #texts: string[] = [];
  readonly #chains: Uint8Array[] = [CHAIN_START];

  constructor(epoch: string, messages: number, textOf: (seq: number) => string = saleLine) {
    this.epoch = epoch;
    for (let seq = 1; seq <= messages; seq++) this.append(textOf(seq));
  }
  append(text: string): void {
    this.#texts.push(text);
    this.#chains.push(chainNext(this.#chains.at(-1) ?? CHAIN_START, Buffer.from(text)));
  }
  line(seq: number): string {
    return this.#texts[seq - 1] ?? "";
  }
  chain(seq: number): string {
    return chainHex(this.#chains[seq] ?? CHAIN_START);
  }
  /** Messages from…through as one body. */
  body(from: number, through: number): Uint8Array<ArrayBuffer> {
    const lines = this.#texts.slice(from - 1, through).map((text) => Buffer.from(text));
    return submissionBody({ epoch: this.epoch, after: from - 1, chain: this.chain(from - 1) }, lines);
  }
}

export function saleLine(seq: number): string {
  const row = { sale_id: `S-${seq}`, receipt: String(4_700 + seq), total: "12.50" };
  return JSON.stringify({
    seq,
    at: "2026-11-23T09:14:07Z",
    changes: [{ table: "sale", op: "insert", key: { sale_id: row.sale_id }, row }],
  });
}
