import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";

/**
 * A TCP proxy on loopback that can do to a connection what networks do: break it, let it hang, refuse new ones, slow it down.
 * It forwards bytes and understands nothing of them.
 */
export class Proxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #target: () => { readonly host: string; readonly port: number };
  readonly #pairs = new Set<Pair>();
  #refusing = false;
  #hanging = false;
  #delayMs = 0;

  /** @param target asked anew for each connection: a server that was restarted may be elsewhere */
  static async to(target: () => { readonly host: string; readonly port: number }): Promise<Proxy> {
    const proxy = new Proxy(target);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", reject).listen(0, "127.0.0.1", resolve);
    });
    return proxy;
  }
  private constructor(target: () => { readonly host: string; readonly port: number }) {
    this.#target = target;
    this.#server = createServer((near) => this.#accept(near));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }
  get connections(): number {
    return this.#pairs.size;
  }

  /** Breaks every connection at once, with a reset, as a server that dies does. */
  reset(): void {
    for (const pair of this.#pairs) pair.reset();
  }
  /** From now on new connections are broken as soon as they are made; those there are go on. */
  refuse(): void {
    this.#refusing = true;
  }
  /** Nothing passes any more, and nobody is told: a cable that was pulled out. New connections are made, and hang too. */
  hang(): void {
    this.#hanging = true;
    for (const pair of this.#pairs) pair.hang();
  }
  /** Each piece of bytes arrives so much later, in its order. */
  slow(delayMs: number): void {
    this.#delayMs = delayMs;
    for (const pair of this.#pairs) pair.delayMs = delayMs;
  }
  /** All is well again. What hung goes on where it was; what was broken stays broken. */
  heal(): void {
    this.#refusing = false;
    this.#hanging = false;
    this.slow(0);
    for (const pair of this.#pairs) pair.goOn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.reset();
    await closed;
  }

  #accept(near: Socket): void {
    if (this.#refusing) {
      near.on("error", () => undefined); // it was to be broken
      near.resetAndDestroy();
      return;
    }
    const pair: Pair = new Pair(near, connect(this.#target()), () => this.#pairs.delete(pair));
    pair.delayMs = this.#delayMs;
    if (this.#hanging) pair.hang();
    this.#pairs.add(pair);
  }
}

/** The two halves of one connection. */
class Pair {
  delayMs = 0;
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #late = new Set<NodeJS.Timeout>();

  constructor(near: Socket, far: Socket, gone: () => void) {
    this.#near = near;
    this.#far = far;
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.setNoDelay(true);
      from.on("data", (bytes: Buffer) => this.#forward(from, to, bytes));
      from.on("end", () => this.#after(() => to.end()));
      from.on("error", () => this.reset()); // one half broke: so does the other
      from.on("close", () => {
        to.destroy();
        for (const timer of this.#late) clearTimeout(timer);
        gone();
      });
    }
  }

  reset(): void {
    this.#near.resetAndDestroy();
    this.#far.resetAndDestroy();
  }
  hang(): void {
    this.#near.pause();
    this.#far.pause();
  }
  goOn(): void {
    this.#near.resume();
    this.#far.resume();
  }

  #forward(from: Socket, to: Socket, bytes: Buffer): void {
    this.#after(() => {
      if (to.destroyed || to.write(bytes)) return;
      from.pause();
      to.once("drain", () => from.resume());
    });
  }
  /** Timers of one delay run out in the order they were set, so bytes keep theirs. */
  #after(act: () => void): void {
    if (this.delayMs === 0 && this.#late.size === 0) return act();
    const timer = setTimeout(() => {
      this.#late.delete(timer);
      act();
    }, this.delayMs);
    this.#late.add(timer);
  }
}
