import { DatabaseSync, type StatementSync } from "node:sqlite";
import { systemRuntime, type Runtime } from "../../src/base/runtime.ts";
import { Stop } from "../../src/base/stop.ts";
import type { Database } from "../../src/database/port.ts";
import type { Row } from "../../src/message/change.ts";
import { silentLog } from "../../src/observe/log.ts";
import { readTerminalConfig, type TerminalConfigInput } from "../../src/terminal/config.ts";
import { startTerminal, type Terminal } from "../../src/terminal/terminal.ts";
import type { FakeHub } from "./fake-hub.ts";
import type { TempDir } from "./temp-dir.ts";

/** An application of its own on its own connection: it rings up sales and knows nothing of Waybill. */
export class Till implements Disposable {
  readonly db: DatabaseSync;
  readonly #sale: StatementSync;
  readonly #line: StatementSync;
  sold = 0;

  constructor(path: string) {
    this.db = new DatabaseSync(path, { timeout: 10_000 });
    this.db.exec(`pragma journal_mode = wal; pragma synchronous = normal;
      create table if not exists sale (id text primary key, total text not null) without rowid;
      create table if not exists sale_line (sale_id text not null references sale (id), no integer not null, qty integer not null, primary key (sale_id, no)) without rowid;
      create table if not exists price (sku text primary key, price text not null, class text unique) without rowid`);
    this.#sale = this.db.prepare("insert into sale (id, total) values (?, ?)");
    this.#line = this.db.prepare("insert into sale_line (sale_id, no, qty) values (?, ?, ?)");
    this.sold = Number(this.db.prepare("select count(*) as n from sale").get()?.["n"]);
  }

  /** One sale of two lines in one transaction. */
  sell(): void {
    this.sold += 1;
    const id = `S-${String(this.sold).padStart(6, "0")}`;
    this.db.exec("begin immediate");
    this.#sale.run(id, `${this.sold}.50`);
    this.#line.run(id, 1n, 1n);
    this.#line.run(id, 2n, BigInt(this.sold));
    this.db.exec("commit");
  }

  /** The table's rows as the wire writes them, by the JSON of their key: to be compared with `FakeHub.table`. */
  rows(table: string, key: readonly string[]): Map<string, Row> {
    const rows = this.db.prepare(`select * from "${table}"`).all() as Row[];
    return new Map(
      rows.map((row) => [JSON.stringify(Object.fromEntries(key.map((name) => [name, row[name]]))), { ...row }]),
    );
  }

  [Symbol.dispose](): void {
    if (this.db.isOpen) this.db.close();
  }
}

export type TestAgent = AsyncDisposable & { readonly terminal: Terminal; readonly stop: Stop };

/** Starts an agent that reaches its hub through `hub`, with waits short enough for tests. */
export async function startAgent(
  dir: TempDir,
  hub: FakeHub,
  options: {
    config?: Partial<TerminalConfigInput>;
    runtime?: Partial<Runtime>;
    open?: (url: string) => Promise<Database>;
  } = {},
): Promise<TestAgent> {
  const stop = new Stop();
  const config = readTerminalConfig({
    hub: hub.url,
    terminal: "t1",
    database: `sqlite:${dir.file("till.db")}`,
    state: dir.file("agent"),
    token: hub.token,
    pollMs: 5,
    waitSeconds: 1,
    statusMs: 100,
    blockedMs: 1_000,
    manifestMs: 1_000,
    retry: { firstMs: 1, factor: 2, capMs: 20 },
    ...options.config,
  });
  const close = (): Promise<void> =>
    stop.end((what, thrown) => {
      throw new Error(`${what} did not close`, { cause: thrown });
    });
  try {
    const runtime = { ...systemRuntime, network: hub, ...options.runtime };
    const terminal = await startTerminal({
      config,
      runtime,
      log: silentLog,
      stop,
      ...(options.open ? { open: options.open } : {}),
    });
    return { terminal, stop, [Symbol.asyncDispose]: close };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}
