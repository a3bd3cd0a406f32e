import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { REPO } from "./repo.ts";

export type ChildOptions = {
  readonly cwd?: string;
  /** Added to the environment of the test; `undefined` takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Written to standard input, which is then closed; without it standard input is empty. */
  readonly input?: string;
};
export type ChildEnd = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

/** A real process under test. Disposing kills it and waits for its end, so that no test leaves one behind. */
export type Child = AsyncDisposable & {
  readonly pid: number;
  /** Everything written so far. */
  readonly stdout: string;
  readonly stderr: string;
  /** When the process has ended and all of its output was read. */
  readonly ended: Promise<ChildEnd>;
  /** Sends the signal (SIGTERM unless told) and waits for the end, except after SIGSTOP and SIGCONT. */
  kill(signal?: NodeJS.Signals): Promise<ChildEnd | null>;
  /**
   * The first whole line, of those already written or still to come on either stream, that matches.
   * @throws Error with the output so far when the process ends, or `timeoutMs` (10,000 unless told) passes, without one
   */
  waitForLine(pattern: RegExp, options?: { readonly timeoutMs?: number }): Promise<RegExpExecArray>;
};

/** Runs the command line as its users do: `bin/waybill.js`, on the Node that runs the tests, without colours. */
export const spawnWaybill = (args: readonly string[], options: ChildOptions = {}): Child =>
  spawnChild(process.execPath, [join(REPO, "bin/waybill.js"), ...args], options);

/** They end with this process, however it ends short of SIGKILL. */
const running = new Set<() => void>();
process.on("exit", () => {
  for (const kill of running) kill();
});

export function spawnChild(program: string, args: readonly string[], options: ChildOptions = {}): Child {
  const child = spawn(program, args, {
    cwd: options.cwd ?? REPO,
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const kill = (): void => void child.kill("SIGKILL");
  running.add(kill);
  child.once("close", () => running.delete(kill));
  const written = { stdout: "", stderr: "" };
  const lines = { stdout: new Lines(), stderr: new Lines() };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      written[stream] += text;
      lines[stream].add(text);
    });
    child[stream].on("close", () => lines[stream].end());
  }
  child.stdin.on("error", () => undefined); // the process may end before it has read its input; its exit tells why
  child.stdin.end(options.input ?? "");

  const ended = (once(child, "close") as Promise<[ChildEnd["code"], ChildEnd["signal"]]>).then(([code, signal]) => ({
    code,
    signal,
  }));
  const started = once(child, "spawn");
  started.catch(() => undefined); // told by `ended`, which rejects with the same error

  const report = (): string =>
    `${program} ${args.join(" ")}\n--- stdout\n${written.stdout}\n--- stderr\n${written.stderr}`;
  return {
    get pid() {
      if (child.pid === undefined) throw new Error(`${program} could not be started`);
      return child.pid;
    },
    get stdout() {
      return written.stdout;
    },
    get stderr() {
      return written.stderr;
    },
    ended,
    kill: async (signal = "SIGTERM") => {
      child.kill(signal);
      return signal === "SIGSTOP" || signal === "SIGCONT" ? null : ended;
    },
    waitForLine: (pattern, { timeoutMs = 10_000 } = {}) =>
      new Promise((resolve, reject) => {
        const done = new AbortController();
        const fail = (why: string): void => {
          done.abort();
          reject(new Error(`${why} without a line like ${String(pattern)}\n${report()}`));
        };
        const timer = setTimeout(() => fail(`${timeoutMs} ms passed`), timeoutMs);
        done.signal.addEventListener("abort", () => clearTimeout(timer));
        const look = (line: string): void => {
          const match = new RegExp(pattern.source, pattern.flags.replace("g", "")).exec(line);
          if (!match || done.signal.aborted) return;
          done.abort();
          resolve(match);
        };
        lines.stdout.each(look, done.signal);
        lines.stderr.each(look, done.signal);
        ended.then(
          ({ code, signal }) => !done.signal.aborted && fail(`it ended (${signal ?? code})`),
          (thrown: unknown) => !done.signal.aborted && fail(String(thrown)),
        );
      }),
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await ended.catch(() => undefined); // it never started: there is nothing to wait for
    },
  };
}

/** Cuts a stream into lines, and gives a late listener those that have already gone by. */
class Lines {
  readonly #lines: string[] = [];
  readonly #listeners = new Set<(line: string) => void>();
  #rest = "";

  add(text: string): void {
    const parts = (this.#rest + text).split("\n");
    this.#rest = parts.pop() ?? "";
    for (const part of parts) this.#tell(part);
  }
  /** The stream has ended; a last line without a newline counts too. */
  end(): void {
    if (this.#rest !== "") this.#tell(this.#rest);
    this.#rest = "";
  }
  each(listener: (line: string) => void, signal: AbortSignal): void {
    for (const line of this.#lines) listener(line);
    if (signal.aborted) return;
    this.#listeners.add(listener);
    signal.addEventListener("abort", () => this.#listeners.delete(listener));
  }
  #tell(part: string): void {
    const line = part.replace(/\r$/, "");
    this.#lines.push(line);
    for (const listener of this.#listeners) listener(line);
  }
}
