import { Worker, parentPort, workerData } from "node:worker_threads";
import { WaybillError, asWaybillError, isFaultCode, type ErrorFacts } from "./errors.ts";

/**
 * Runs an object on a thread of its own. The object's methods are async and take and give plain values that structured
 * clone carries (Maps, typed arrays, bigint); so the same object can as well be used directly, as the simulation does.
 * When the thread ends, every call that waits, and every later one, fails with INTERNAL: its caller cannot know what happened.
 */
type Call = { readonly id: number; readonly method: string; readonly args: readonly unknown[] };
type Answer =
  | { readonly id: number; readonly value: unknown }
  | {
      readonly id: number;
      readonly code: string;
      readonly what: string;
      readonly facts: ErrorFacts;
      readonly stack: string;
    };
type Waiting = { readonly resolve: (value: unknown) => void; readonly reject: (thrown: unknown) => void };

/** What of T can be called across threads: its async methods, and those of the objects it consists of (one level down). */
export type Remote<T> = {
  [
    K in keyof T as T[K] extends (...args: never[]) => Promise<unknown> ? K : T[K] extends object ? K : never
  ]: T[K] extends (...args: never[]) => Promise<unknown> ? T[K] : Remote<T[K]>;
};
export type RemoteThread<T> = {
  readonly remote: Remote<T>;
  /** Resolves when the thread has ended, with the reason if it was not asked to. */
  readonly ended: Promise<Error | null>;
  stop(): Promise<void>;
};

/**
 * Starts `module` as a worker thread; the module calls `serve`. `data` is cloned to it and given to its `serve`.
 * @param module a file URL; the thread's own code, `.ts` in the source tree and `.js` in the published build
 */
export function startThread<T>(name: string, module: URL, data: unknown): RemoteThread<T> {
  const worker = new Worker(module, { name, workerData: data });
  let wanted = false;
  const { remote, failAll } = remoteOver<T>(worker);
  const ended = new Promise<Error | null>((resolve) => {
    let failure: Error | null = null;
    worker.on("error", (error: Error) => {
      failure = error;
    });
    worker.on("exit", (code) => {
      failAll(new WaybillError("INTERNAL", `thread ${name} ended`, { cause: failure }));
      resolve(wanted ? null : (failure ?? new WaybillError("INTERNAL", `thread ${name} ended with code ${code}`)));
    });
  });
  return {
    remote,
    ended,
    stop: async () => {
      wanted = true;
      await worker.terminate();
    },
  };
}

function remoteOver<T>(port: Worker): { remote: Remote<T>; failAll: (error: Error) => void } {
  const waiting = new Map<number, Waiting>();
  let gone: Error | null = null;
  let last = 0;
  port.on("message", (answer: Answer) => {
    const call = waiting.get(answer.id);
    if (!call) return;
    waiting.delete(answer.id);
    if ("value" in answer) return call.resolve(answer.value);
    const error = new WaybillError(isFaultCode(answer.code) ? answer.code : "INTERNAL", answer.what, {
      facts: answer.facts,
    });
    error.stack = answer.stack;
    call.reject(error);
  });
  const call = (method: string, args: unknown[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      if (gone) return reject(gone);
      const id = ++last;
      port.postMessage({ id, method, args } satisfies Call); // throws when an argument cannot be cloned; then nothing waits
      waiting.set(id, { resolve, reject });
    });
  const remote = new Proxy({}, { get: (_, name) => member(name, (method, args) => call(method, args)) });
  return {
    remote: remote as Remote<T>,
    failAll: (error) => {
      gone = error;
      for (const { reject } of waiting.values()) reject(error);
      waiting.clear();
    },
  };
}

/** A callable that also has members, so that `remote.lanes.append(x)` and `remote.stop()` both become one call by path. */
function member(name: string | symbol, call: (path: string, args: unknown[]) => Promise<unknown>): unknown {
  // `then` must stay undefined, or awaiting the remote itself would call it.
  if (typeof name === "symbol" || name === "then") return undefined;
  const within = (_: unknown, inner: string | symbol): unknown =>
    member(inner, (path, args) => call(`${name}.${path}`, args));
  return new Proxy((...args: unknown[]) => call(name, args), { get: within });
}

/** Called once by a thread's module: opens the object from the data given to `startThread` and answers calls until the end. */
export async function serve<Data, T extends object>(open: (data: Data) => Promise<T>): Promise<void> {
  const port = parentPort;
  if (!port) throw new WaybillError("INTERNAL", "this module runs only as a thread");
  const opening = open(workerData as Data);
  // Calls may arrive while the object opens; each waits for it, and hears of its failure.
  port.on("message", ({ id, method, args }: Call) => {
    opening
      .then((object) => {
        const path = method.split(".");
        const last = path.pop() ?? "";
        const owner = path.reduce((at: unknown, name) => (at as Record<string, unknown>)[name], object) as Record<
          string,
          unknown
        >;
        const target = owner[last];
        if (typeof target !== "function") throw new WaybillError("INTERNAL", `no method ${method}`);
        return target.apply(owner, args) as unknown;
      })
      .then((value) => port.postMessage({ id, value } satisfies Answer))
      // Also when the answer itself cannot be cloned: its caller hears of it, and the thread lives on.
      .catch((thrown: unknown) => {
        const { code, what, facts, stack = "" } = asWaybillError(thrown);
        port.postMessage({ id, code, what, facts, stack } satisfies Answer);
      });
  });
  await opening.catch(() => undefined); // its failure is told to each caller
}

/** The thread's module beside the caller's, in the source tree and in the published build alike. */
export const threadModule = (from: string, name: string): URL =>
  new URL(`./${name}${from.endsWith(".ts") ? ".ts" : ".js"}`, from);
