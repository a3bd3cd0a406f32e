import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { until } from "./until.ts";

/**
 * A PgBouncer in front of a server, in transaction mode and with two sessions for all who come: whoever relies on a session of
 * its own finds another's. As root it runs as the system user `postgres`, since it refuses root.
 */
export class Pooler implements AsyncDisposable {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(url: string, child: ChildProcess, folder: string) {
    this.url = url;
    this.#child = child;
    this.#folder = folder;
  }
  /** @param server a URL whose user needs no password there */
  static async start(program: string, server: string): Promise<Pooler> {
    const to = new URL(server);
    const folder = mkdtempSync(join(tmpdir(), "waybill-pooler-"));
    const port = await freePort();
    const users = join(folder, "users.txt");
    const settings = join(folder, "pgbouncer.ini");
    writeFileSync(users, `"${decodeURIComponent(to.username)}" ""\n`);
    writeFileSync(
      settings,
      `[databases]
* = host=${to.hostname} port=${to.port || "5432"}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
default_pool_size = 2
max_client_conn = 200
logfile = ${join(folder, "pooler.log")}
pidfile = ${join(folder, "pooler.pid")}
`,
    );
    const isRoot = process.getuid?.() === 0;
    if (isRoot) spawnSync("chown", ["-R", "postgres", folder]);
    const command = isRoot ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", program] : [program];
    const child = spawn(command[0] ?? program, [...command.slice(1), settings], { stdio: "ignore", cwd: folder });
    const url = new URL(server);
    url.hostname = "127.0.0.1";
    url.port = String(port);
    const pooler = new Pooler(url.href, child, folder);
    await until(() => answers(port), { what: "PgBouncer" });
    return pooler;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = once(this.#child, "exit");
    if (this.#child.exitCode === null && this.#child.kill("SIGKILL")) await gone;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
