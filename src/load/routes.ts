import type { FaultCode } from "../base/errors.ts";
import type { LaneName } from "../base/ids.ts";
import { Loading, type Trial } from "./message.ts";
import type { Fault } from "./plan.ts";

/** A route that was found broken: one fault for one reason, on many lanes, and next to nothing of the table goes through. */
export type Tripped = { readonly route: string; readonly fault: FaultCode; readonly detail: string };

/**
 * On how many lanes a fault must be met before it is called the route's. What the schema lacks, and a transform that throws,
 * are hardly ever one message's doing; values that do not fit are, until very many lanes send them.
 */
const SURELY = 3;
const LANES: Partial<Record<FaultCode, number>> = {
  TABLE_UNKNOWN: SURELY,
  COLUMN_UNKNOWN: SURELY,
  PRIVILEGE_MISSING: SURELY,
  TRANSFORM_FAILED: SURELY,
  TYPE_REFUSED: 10,
  NULL_REFUSED: 10,
  CHECK_VIOLATED: 10,
  ROW_REFUSED: 10,
};
/** For each message of the table that goes through so many must fail. */
const FAILING = 4;
/** Failures and lanes counted of one reason at most: what was broken for hours is believed to be well again after a few messages. */
const MOST_COUNTED = 50;
/** Reasons remembered at most; the one not met for longest is forgotten first. */
const MOST_REASONS = 100;
/** How long a reason is one of single messages after all, once a message that never met it went through its route. */
const ACQUITTED_MS = 120_000;

type Reason = Tripped & { readonly lanes: ReadonlySet<LaneName>; readonly messages: number; readonly through: number };

/**
 * What was refused lately, from one transaction to the next: lanes hardly ever come all in one batch. It holds no promise: a
 * process that starts anew must meet the fault again.
 */
export class RouteMemory {
  readonly #elapsed: () => number;
  readonly #reasons = new Map<string, Reason>();
  readonly #acquitted = new Map<string, number>();

  /** @param elapsed milliseconds by a clock that cannot jump */
  constructor(elapsed: () => number) {
    this.#elapsed = elapsed;
  }

  get(id: string): Reason | undefined {
    return this.#reasons.get(id);
  }
  /** Tables of which something failed lately: of these it matters what goes through. */
  get routes(): ReadonlySet<string> {
    return new Set([...this.#reasons.values()].map(({ route }) => route));
  }
  isAcquitted(id: string): boolean {
    return this.#elapsed() < (this.#acquitted.get(id) ?? 0);
  }

  failed(id: string, reason: Reason): void {
    if (reason.messages < FAILING * reason.through) return void this.#reasons.delete(id);
    const lanes = new Set([...reason.lanes].slice(0, MOST_COUNTED));
    this.#reasons.delete(id); // it is the latest now
    this.#reasons.set(id, { ...reason, lanes, messages: Math.min(reason.messages, MOST_COUNTED) });
    const [oldest] = this.#reasons.keys();
    if (this.#reasons.size > MOST_REASONS && oldest !== undefined) this.#reasons.delete(oldest);
  }
  /** @param except reasons that counted it themselves */
  passed(route: string, count: number, except: ReadonlyMap<string, unknown>): void {
    for (const [id, reason] of this.#reasons) {
      if (reason.route !== route || except.has(id)) continue;
      const through = reason.through + count;
      if (reason.messages < FAILING * through) this.#reasons.delete(id);
      else this.#reasons.set(id, { ...reason, through });
    }
  }
  /** The route goes on. @param doubted what went through had never met the fault: perhaps only some terminals do */
  mended(route: string, doubted: boolean): void {
    for (const [id, { route: of }] of this.#reasons) {
      if (of !== route) continue;
      this.#reasons.delete(id);
      if (doubted) this.#acquitted.set(id, this.#elapsed() + ACQUITTED_MS);
    }
    for (const [id, until] of this.#acquitted) if (until <= this.#elapsed()) this.#acquitted.delete(id);
  }
}

/** What one transaction brought. Made anew for each try: only what was committed is remembered. */
export class Routes {
  readonly #paused: ReadonlySet<string>;
  readonly #memory: RouteMemory;
  readonly #reasons = new Map<string, Tripped & { readonly lanes: Set<LaneName>; messages: number; again: boolean }>();
  readonly #through = new Map<string, number>();

  constructor(paused: ReadonlySet<string>, memory: RouteMemory) {
    this.#paused = paused;
    this.#memory = memory;
  }

  /** The paused route that this message must wait for; null: none. */
  pausedFor(message: Trial): Promise<string | null> | null {
    return this.#paused.size === 0 ? null : message.routeAmong(this.#paused);
  }

  /** @param before what a message was refused for that probes a paused route; null when it was not tried yet */
  failed(lane: LaneName, fault: Fault, before: FaultCode | null): void {
    const { route, code, detail } = fault;
    if (route === undefined || LANES[code] === undefined) return;
    const id = reasonOf(fault);
    const known = this.#reasons.get(id) ?? { route, fault: code, detail, lanes: new Set(), messages: 0, again: false };
    // Of a paused route a probe alone is tried: it is mended when the probe meets something else.
    known.again ||= this.#paused.has(route) && (before === code || LANES[code] === SURELY);
    known.lanes.add(lane);
    known.messages++;
    this.#reasons.set(id, known);
  }

  /** @param loaded all messages that went through in this transaction; looked at only when something failed lately */
  async tripped(loaded: () => readonly Trial[]): Promise<ReadonlyMap<string, Tripped>> {
    const broken = new Map<string, Tripped>();
    const routes = new Set([...this.#memory.routes, ...[...this.#reasons.values()].map(({ route }) => route)]);
    if (routes.size === 0) return broken;
    for (const message of loaded())
      for (const route of routes)
        if (message instanceof Loading ? message.isOf(route) : (await message.routeAmong(new Set([route]))) !== null)
          this.#through.set(route, (this.#through.get(route) ?? 0) + 1);
    for (const [id, { again, ...reason }] of this.#reasons) {
      const { lanes, messages, through } = this.#added(id, reason);
      const { route, fault, detail } = reason;
      const isBroken = lanes.size >= (LANES[fault] ?? Number.POSITIVE_INFINITY) && messages >= FAILING * through;
      if (again || (isBroken && !this.#memory.isAcquitted(id))) broken.set(id, { route, fault, detail });
    }
    return broken;
  }

  /** The transaction is committed. @param probes messages that went through although their route was paused, with what they had met before */
  async committed(probes: readonly { readonly trial: Trial; readonly before: FaultCode | null }[]): Promise<void> {
    for (const { trial, before } of probes)
      for (const route of this.#paused)
        if ((await trial.routeAmong(new Set([route]))) !== null) this.#memory.mended(route, before === null);
    for (const [id, { again: _, ...reason }] of this.#reasons) this.#memory.failed(id, this.#added(id, reason));
    for (const [route, count] of this.#through) this.#memory.passed(route, count, this.#reasons);
  }

  #added(id: string, { route, fault, detail, lanes, messages }: Omit<Reason, "through">): Reason {
    const known = this.#memory.get(id);
    return {
      route,
      fault,
      detail,
      lanes: new Set([...(known?.lanes ?? []), ...lanes]),
      messages: (known?.messages ?? 0) + messages,
      through: (known?.through ?? 0) + (this.#through.get(route) ?? 0),
    };
  }
}

/** What faults have in common that have one cause. */
export const reasonOf = ({ route = "", code, cause = "" }: Fault): string => JSON.stringify([route, code, cause]);
