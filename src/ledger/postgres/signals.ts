import { Client } from "pg";
import type { Runtime } from "../../base/runtime.ts";
import type { Signal, LedgerSignals } from "../port.ts";
import { configOf, type Store } from "./store.ts";

/** Signals of one kind that come closer together than this travel as one. */
const GATHER_MS = 5;
const RECONNECT_MS = 1_000;
/** PostgreSQL takes fewer than 8000 bytes; more audiences than fit are "everybody". */
const MOST_BYTES = 7_000;

/**
 * Wake-ups between processes by LISTEN/NOTIFY on a connection of its own. Best effort: a lost signal costs a poll's wait and
 * nothing else, so failures are silent here and sending is never waited for. A NOTIFY is a statement of its own, after the
 * commit that it tells of: within a large transaction it would make all commits of the database queue for one lock.
 */
export class Signals implements LedgerSignals {
  readonly #store: Store;
  readonly #timers: Runtime["timers"];
  readonly #stop = new AbortController();
  readonly #listeners = new Set<(signal: Signal) => void>();
  readonly #channel: string;
  /** Own signals come back, and are known by this. */
  readonly #me: string;
  /** What has gathered and is about to be sent. */
  readonly #kinds = new Set<Exclude<Signal["kind"], "published">>();
  #audiences: Set<string> | "all" | null = null;
  #sending: Promise<void> | null = null;
  #listening: Promise<void> | null = null;

  constructor(store: Store, { timers, random }: Pick<Runtime, "timers" | "random">) {
    this.#store = store;
    this.#timers = timers;
    this.#me = Buffer.from(random.bytes(8)).toString("hex");
    this.#channel = `${store.address.schema}_signal`;
  }

  on(listener: (signal: Signal) => void): Disposable {
    this.#listeners.add(listener);
    if (this.#store.address.listens) this.#listening ??= this.#listen();
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  send(signal: Signal): void {
    if (!this.#store.address.listens || this.#stop.signal.aborted) return;
    if (signal.kind !== "published") this.#kinds.add(signal.kind);
    else if (signal.audiences === null || this.#audiences === "all") this.#audiences = "all";
    else this.#audiences = new Set([...(this.#audiences ?? []), ...signal.audiences]);
    this.#sending ??= this.#flush();
  }

  async #flush(): Promise<void> {
    await this.#timers.sleep(GATHER_MS, this.#stop.signal);
    const signals: Signal[] = [...this.#kinds].map((kind) => ({ kind }));
    if (this.#audiences !== null) {
      const audiences = this.#audiences === "all" ? null : [...this.#audiences];
      signals.push({ kind: "published", audiences });
    }
    this.#kinds.clear();
    this.#audiences = null;
    this.#sending = null;
    try {
      for (const signal of signals) {
        await this.#store.script((client) =>
          client.query("select pg_notify($1, $2)", [this.#channel, textOf(this.#me, signal)]),
        );
      }
    } catch {
      // The others find it when they look by themselves.
    }
  }

  async #listen(): Promise<void> {
    const { signal: stop } = this.#stop;
    while (!stop.aborted) {
      const client = new Client(configOf(this.#store.address));
      const ended = new Promise<void>((resolve) => {
        client.once("end", () => resolve());
        client.on("error", () => resolve());
        stop.addEventListener("abort", () => resolve(), { once: true });
      });
      try {
        client.on("notification", ({ payload }) => {
          const { from, signal } = signalOf(payload ?? "");
          if (from !== this.#me) this.#tell(signal);
        });
        await client.connect();
        await client.query(`listen "${this.#channel}"`);
        // What was signalled while nobody listened here may have been anything.
        this.#tell({ kind: "received" });
        this.#tell({ kind: "enrolled" });
        this.#tell({ kind: "published", audiences: null });
        await ended;
      } catch {
        // Tried again below; polling goes on meanwhile.
      }
      await client.end().catch(() => undefined);
      await this.#timers.sleep(RECONNECT_MS, stop);
    }
  }

  #tell(signal: Signal): void {
    for (const listener of this.#listeners) listener(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#sending;
    await this.#listening;
  }
}

function textOf(from: string, signal: Signal): string {
  const text = JSON.stringify({ from, ...signal });
  return Buffer.byteLength(text) < MOST_BYTES ? text : JSON.stringify({ from, ...signal, audiences: null });
}

/** Another version's signal, or another program's: then everybody looks. */
function signalOf(text: string): { readonly from: unknown; readonly signal: Signal } {
  let read: Partial<Record<"from" | "kind" | "audiences", unknown>> = {};
  try {
    read = (JSON.parse(text) ?? {}) as typeof read;
  } catch {
    // falls through
  }
  const { from, kind, audiences } = read;
  if (kind === "received" || kind === "enrolled") return { from, signal: { kind } };
  const told = Array.isArray(audiences) ? audiences.map(String) : null;
  return { from, signal: { kind: "published", audiences: told } };
}
