import { execFile } from "node:child_process";
import { copyFileSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { Client } from "pg";
import { findPrograms } from "../kit/cluster.ts";

/** An application's way into a database, beside the station that serves it. */
export interface App {
  /** One or more statements, each committed for itself. */
  run(sql: string): Promise<void>;
  /** Statements that are committed together. */
  transaction(sql: string): Promise<void>;
  all<T>(sql: string): Promise<T[]>;
  close(): Promise<void>;
}

/** Databases by name, that can be copied while they are in use and put back when nobody uses them. */
export interface Stores {
  /** Makes a database with these tables. */
  make(name: string, schema: string): Promise<App>;
  connect(name: string): Promise<App>;
  /** As a station's config names it. */
  url(name: string): string;
  ledgerUrl(name: string): string;
  copy(name: string, to: string): Promise<void>;
  putBack(copy: string, name: string): Promise<void>;
  close(): Promise<void>;
}

// ── SQLite ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const ENDS = ["", "-wal"];

export class SqliteApp implements App {
  readonly #db: DatabaseSync;

  constructor(path: string, schema?: string) {
    this.#db = new DatabaseSync(path, { timeout: 1_000 });
    if (schema !== undefined) this.#db.exec("pragma journal_mode = wal");
    this.#db.exec(`pragma synchronous = off; pragma foreign_keys = on; ${schema ?? ""}`);
  }

  async run(sql: string): Promise<void> {
    this.#db.exec(sql);
  }
  async transaction(sql: string): Promise<void> {
    this.#db.exec(`begin immediate; ${sql}; commit`);
  }
  async all<T>(sql: string): Promise<T[]> {
    return this.#db.prepare(sql).all() as T[];
  }
  async close(): Promise<void> {
    this.#db.close();
  }
}

/** Files in a folder; a copy is what a running machine's disk holds at that moment. */
export class SqliteStores implements Stores {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async make(name: string, schema: string): Promise<App> {
    return new SqliteApp(this.#path(name), schema);
  }
  async connect(name: string): Promise<App> {
    return new SqliteApp(this.#path(name));
  }
  url(name: string): string {
    return `sqlite:${this.#path(name)}`;
  }
  ledgerUrl(name: string): string {
    return this.url(name);
  }
  async copy(name: string, to: string): Promise<void> {
    this.#files(name, to);
  }
  async putBack(copy: string, name: string): Promise<void> {
    rmSync(`${this.#path(name)}-shm`, { force: true });
    this.#files(copy, name);
  }
  async close(): Promise<void> {}

  #path(name: string): string {
    return join(this.#folder, `${name}.db`);
  }
  #files(from: string, to: string): void {
    for (const end of ENDS) {
      rmSync(`${this.#path(to)}${end}`, { force: true });
      if (existsSync(`${this.#path(from)}${end}`)) copyFileSync(`${this.#path(from)}${end}`, `${this.#path(to)}${end}`);
    }
  }
}

// ── PostgreSQL ─────────────────────────────────────────────────────────────────────────────────────────────────────

const program = promisify(execFile);

class PostgresApp implements App {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }
  static async connect(url: string): Promise<PostgresApp> {
    const client = new Client({ connectionString: url, options: "-c synchronous_commit=off" });
    client.on("error", () => undefined); // its database is dropped under it when a copy is put back
    await client.connect();
    return new PostgresApp(client);
  }

  async run(sql: string): Promise<void> {
    await this.#client.query(sql);
  }
  async transaction(sql: string): Promise<void> {
    await this.#client.query(`begin; ${sql}; commit`).catch(async (thrown: unknown) => {
      await this.#client.query("rollback");
      throw thrown;
    });
  }
  async all<T>(sql: string): Promise<T[]> {
    return (await this.#client.query(sql)).rows as T[];
  }
  async close(): Promise<void> {
    await this.#client.end();
  }
}

/** Databases on one server. A copy is a pg_dump taken while everybody works, put back as people do it: dropped, made, filled. */
export class PostgresStores implements Stores {
  readonly #server: string;
  readonly #prefix: string;
  readonly #folder: string;
  readonly #programs: string;
  readonly #made = new Set<string>();

  constructor(server: string, folder: string, prefix: string) {
    const programs = findPrograms();
    if ("missing" in programs) throw new Error(programs.missing);
    this.#server = server;
    this.#folder = folder;
    this.#prefix = prefix;
    this.#programs = programs.at;
  }

  async make(name: string, schema: string): Promise<App> {
    await this.#create(name);
    const app = await this.connect(name);
    await app.run(schema.replaceAll("without rowid", ""));
    return app;
  }
  connect(name: string): Promise<App> {
    return PostgresApp.connect(this.url(name));
  }
  url(name: string): string {
    const url = new URL(this.#server);
    url.pathname = `/${this.#prefix}_${name}`;
    return url.href;
  }
  ledgerUrl(name: string): string {
    return this.url(name);
  }

  async copy(name: string, to: string): Promise<void> {
    await program(join(this.#programs, "pg_dump"), ["--file", this.#dump(to), this.url(name)]);
  }
  async putBack(copy: string, name: string): Promise<void> {
    await this.#drop(name);
    await this.#create(name);
    const from = ["--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--file", this.#dump(copy), this.url(name)];
    await program(join(this.#programs, "psql"), from);
  }
  async close(): Promise<void> {
    for (const name of [...this.#made]) await this.#drop(name);
  }

  #dump(name: string): string {
    return join(this.#folder, `${name}.sql`);
  }
  async #create(name: string): Promise<void> {
    await this.#onServer(`create database ${this.#prefix}_${name}`);
    this.#made.add(name);
  }
  async #drop(name: string): Promise<void> {
    await this.#onServer(`drop database if exists ${this.#prefix}_${name} with (force)`);
    this.#made.delete(name);
  }
  async #onServer(sql: string): Promise<void> {
    const app = await PostgresApp.connect(this.#server);
    try {
      await app.run(sql);
    } finally {
      await app.close();
    }
  }
}
