import { WaybillError } from "../../src/base/errors.ts";
import type { HttpRequest, HttpResponse, Network } from "../../src/base/network.ts";
import type { WireRequest, WireResponse } from "../../src/hub/api/http.ts";
import type { Dice } from "./dice.ts";
import type { Life } from "./life.ts";
import type { Scheduler } from "./scheduler.ts";

export type NetworkFaults = {
  readonly requestLost: number;
  readonly answerLost: number;
  readonly doubled: number;
  /** Late by up to `lateMs`, which is longer than callers wait: it arrives after they have given up, behind later ones. */
  readonly late: number;
  readonly lateMs: number;
};
/** Whoever answers now; null: nobody listens. */
export type Server = { readonly life: Life; handle(request: WireRequest): Promise<WireResponse> };

/** The wires between stations: they lose, repeat, hold back and overtake, as the seed says. */
export class SimulatedNetwork {
  readonly #scheduler: Scheduler;
  readonly #dice: Dice;
  readonly #faults: NetworkFaults;
  readonly #server: () => Server | null;
  readonly #cut = new Set<string>();
  healed = false;
  readonly counts = { requests: 0, requestLost: 0, answerLost: 0, doubled: 0, late: 0, cut: 0 };
  /** Hears of each fault. */
  onFault: (what: string) => void = () => undefined;
  /** Sees each answer as the server gives it, before it travels. */
  onAnswer: (request: WireRequest, response: WireResponse) => void = () => undefined;

  constructor(scheduler: Scheduler, dice: Dice, faults: NetworkFaults, server: () => Server | null) {
    this.#scheduler = scheduler;
    this.#dice = dice;
    this.#faults = faults;
    this.#server = server;
  }

  /** Nothing passes between this caller and the hub until it is joined. */
  part(caller: string): void {
    this.#cut.add(caller);
  }
  join(caller: string): void {
    this.#cut.delete(caller);
  }
  isParted(caller: string): boolean {
    return this.#cut.has(caller);
  }

  /** The network as one process sees it. `life` is asked for late: the runtime of a life holds its network. */
  for(caller: string, life: () => Life): Network {
    return {
      request: (call) =>
        new Promise((resolve, reject) => {
          this.counts.requests++;
          const gone = new AbortController();
          const open = (): boolean => !gone.signal.aborted && life().alive;
          const fail = (why: string): void => {
            if (!open()) return;
            end();
            reject(new WaybillError("HUB_UNREACHABLE", `${call.method} ${call.url}: ${why}`));
          };
          const stop = (): void => fail("stopped");
          const timeout = this.#scheduler.in(call.timeoutMs, `${caller} timeout`, () => fail("no answer in time"));
          const end = (): void => {
            timeout.cancel();
            call.signal?.removeEventListener("abort", stop);
            gone.abort();
          };
          call.signal?.addEventListener("abort", stop, { once: true });
          if (call.signal?.aborted) return fail("stopped");
          const answer = (response: HttpResponse): void => {
            if (!open()) return;
            end();
            resolve(response);
          };
          this.#send(caller, call, gone.signal, answer, fail);
          if (this.#strikes(this.#faults.doubled)) {
            this.counts.doubled++;
            this.onFault(`${caller} ${call.method} ${pathOf(call.url)} is sent twice`);
            this.#send(
              caller,
              call,
              gone.signal,
              () => undefined,
              () => undefined,
            );
          }
        }),
    };
  }

  #send(
    caller: string,
    call: HttpRequest,
    gone: AbortSignal,
    answer: (response: HttpResponse) => void,
    fail: (why: string) => void,
  ): void {
    const label = `${caller} ${call.method} ${pathOf(call.url)}`;
    if (this.#lost(label, caller, this.#faults.requestLost, "requestLost")) return;
    this.#scheduler.in(this.#delayMs(label), `${label} arrives`, () => {
      const server = this.#server();
      if (server === null) return fail("nobody listens");
      // A caller that gave up closed its connection; whoever handles the request already may notice, and acts all the same.
      void server.handle(wireRequest(call, gone)).then((response) => {
        if (!server.life.alive) return;
        this.onAnswer(wireRequest(call, gone), response);
        const answered = `${label} ${response.status}`;
        if (this.#lost(answered, caller, this.#faults.answerLost, "answerLost")) return;
        this.#scheduler.in(this.#delayMs(answered), answered, () => {
          if (this.#cut.has(caller) || !server.life.alive) return;
          answer({ status: response.status, headers: lowered(response.headers), body: response.body });
        });
      });
    });
  }

  #lost(label: string, caller: string, chance: number, what: "requestLost" | "answerLost"): boolean {
    if (this.#cut.has(caller)) {
      this.counts.cut++;
      return true;
    }
    if (!this.#strikes(chance)) return false;
    this.counts[what]++;
    this.onFault(`${label} is lost`);
    return true;
  }
  #strikes(chance: number): boolean {
    return !this.healed && this.#dice.chance(chance);
  }
  #delayMs(label: string): number {
    if (!this.#strikes(this.#faults.late)) return this.#dice.between(1, 20);
    this.counts.late++;
    const ms = this.#dice.between(20, this.#faults.lateMs);
    this.onFault(`${label} takes ${Math.round(ms)} ms`);
    return ms;
  }
}

const pathOf = (url: string): string => new URL(url).pathname;
const lowered = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

function wireRequest(call: HttpRequest, signal: AbortSignal): WireRequest {
  const url = new URL(call.url);
  return {
    method: call.method,
    path: url.pathname,
    query: url.searchParams,
    headers: lowered(call.headers),
    body: call.body ?? new Uint8Array(0),
    signal,
  };
}
