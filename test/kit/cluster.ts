import { execFile } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "./free-port.ts";
import type { Found } from "./needs.ts";

const run = promisify(execFile);

/** The folder of a PostgreSQL's own programs, for tests that start, kill and fill servers of their own. */
export function findPrograms(): Found {
  const told = process.env["WAYBILL_POSTGRES_BIN"];
  if (told !== undefined) return { at: told };
  const debian = "/usr/lib/postgresql";
  const newest = existsSync(debian)
    ? readdirSync(debian)
        .toSorted((a, b) => Number(a) - Number(b))
        .at(-1)
    : undefined;
  const folder = newest === undefined ? null : join(debian, newest, "bin");
  if (folder !== null && existsSync(join(folder, "initdb"))) return { at: folder };
  return { missing: "needs PostgreSQL's own programs (initdb, pg_ctl): set WAYBILL_POSTGRES_BIN to their folder" };
}

/**
 * A PostgreSQL server of this test's own on loopback, that may be killed and started again. It trusts everybody who reaches
 * it. As root it runs as the system user `postgres`, since PostgreSQL refuses root.
 */
export class Cluster implements AsyncDisposable {
  readonly port: number;
  readonly #programs: string;
  readonly #folder: string;
  readonly #settings: readonly string[];

  /** @param settings more of them, "name=value" */
  static async make(folder: string, settings: readonly string[] = ["shared_buffers=64MB"]): Promise<Cluster> {
    const programs = findPrograms();
    if ("missing" in programs) throw new Error(programs.missing);
    const cluster = new Cluster(programs.at, folder, await freePort(), settings);
    mkdirSync(folder, { recursive: true });
    if (process.getuid?.() === 0) await run("chown", ["postgres", folder]);
    chmodSync(folder, 0o700);
    await cluster.#program(
      "initdb",
      "--pgdata",
      join(folder, "data"),
      "--username",
      "postgres",
      "--auth",
      "trust",
      "--encoding",
      "UTF8",
      "--locale",
      "C.UTF-8",
      "--no-sync",
    );
    await cluster.start();
    return cluster;
  }
  private constructor(programs: string, folder: string, port: number, settings: readonly string[]) {
    this.#settings = settings;
    this.#programs = programs;
    this.#folder = folder;
    this.port = port;
  }

  /** @param port another than the server's own, such as a proxy's */
  url(database: string, port = this.port): string {
    return `postgres://postgres@127.0.0.1:${port}/${database}`;
  }

  /** Of the server's first process, whose children all others are. */
  get pid(): number {
    return Number(readFileSync(join(this.#folder, "data/postmaster.pid"), "utf8").split("\n")[0]);
  }

  async start(): Promise<void> {
    const settings = [
      ...["listen_addresses=127.0.0.1", `unix_socket_directories=${this.#folder}`, "max_connections=200"],
      ...["log_min_messages=fatal", ...this.#settings],
    ].map((setting) => `-c ${setting}`);
    await this.#control("--options", `-p ${this.port} ${settings.join(" ")}`, "start");
  }
  /** "immediate" is how a server dies: no checkpoint, no goodbye to its clients, recovery at the next start. */
  async stop(mode: "fast" | "immediate" = "fast"): Promise<void> {
    await this.#control("--mode", mode, "stop");
  }
  async restart(): Promise<void> {
    await this.stop("immediate");
    await this.start();
  }
  /** Starts it if it has ended by itself, as a service manager does; one that is up is left alone. */
  async revive(): Promise<void> {
    await this.#control("status").catch(() => this.start());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("immediate").catch(() => undefined); // it may be down already
  }

  #control(...words: string[]): Promise<void> {
    return this.#program(
      "pg_ctl",
      "--pgdata",
      join(this.#folder, "data"),
      "--log",
      join(this.#folder, "server.log"),
      "--wait",
      "--silent",
      ...words,
    );
  }
  async #program(name: string, ...words: string[]): Promise<void> {
    const program = join(this.#programs, name);
    if (process.getuid?.() !== 0) await run(program, words, { cwd: this.#folder });
    else
      await run("setpriv", ["--reuid=postgres", "--regid=postgres", "--init-groups", program, ...words], {
        cwd: this.#folder,
      });
  }
}
