import type { FaultCode } from "../base/errors.ts";
import type { LaneName } from "../base/ids.ts";
import type { Trial } from "./message.ts";
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

type Reason = Tripped & { readonly lanes: Set<LaneName>; messages: number; again: boolean };

/** The tables' routes as one transaction sees them: which are paused, and which turn out to be broken. */
export class Routes {
  readonly #paused: ReadonlySet<string>;
  readonly #reasons = new Map<string, Reason>();

  constructor(paused: ReadonlySet<string>) {
    this.#paused = paused;
  }

  /** The paused route that this message must wait for; null: none. */
  async pausedFor(message: Trial): Promise<string | null> {
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

  /** @param loaded all messages that went through in this transaction; asked only when a reason has enough lanes */
  async tripped(loaded: () => readonly Trial[]): Promise<ReadonlyMap<string, Tripped>> {
    const broken = new Map<string, Tripped>();
    for (const [id, { lanes, messages, again, ...tripped }] of this.#reasons) {
      if (again) broken.set(id, tripped);
      if (lanes.size < (LANES[tripped.fault] ?? Number.POSITIVE_INFINITY)) continue;
      const only = new Set([tripped.route]);
      let through = 0;
      for (const message of loaded()) if ((await message.routeAmong(only)) !== null) through++;
      if (messages >= FAILING * through && messages > 0) broken.set(id, tripped);
    }
    return broken;
  }
}

/** What faults have in common that have one cause. */
export const reasonOf = ({ route = "", code, cause = "" }: Fault): string => JSON.stringify([route, code, cause]);
