import { epoch, type Epoch } from "../../base/ids.ts";
import type { LaneStatus, Terminal } from "../../ledger/port.ts";

/**
 * How the numbers that a SOAP terminal gives its messages stand in lanes, whose own numbers always are 1, 2, 3 …: number n of
 * the terminal is message n − `base` of the lane. Where a lane begins is told by its epoch's name, so nothing else is stored.
 *
 * - **The first lane** begins where the terminal begins: at the lowest number of the first request it ever sends, or behind
 *   the number its tag `soap-after` names. Whatever is lower belongs to the system it came from.
 * - **The same number with other content** (the till was re-imaged, or restored from a copy) begins a lane at that number.
 * - **A number from before the beginning** (the first messages were lost on their way, and come late) does so too. When such
 *   numbers have come up to where the first lane begins, the terminal goes on behind all it has sent: see `heldBehind`.
 */
export type SoapLane = {
  readonly epoch: Epoch;
  readonly incarnation: number;
  readonly base: number;
  readonly status: LaneStatus;
};

/** Every epoch's name begins so. */
export const SOAP_EPOCH = "soap-v1";
const NAMED = /^soap-v1(?:\.(\d{1,9})-from-(\d{1,16}))?$/;
export const isSoapEpoch = (name: Epoch): boolean => NAMED.test(name);

/** @param first number of the terminal that is the lane's message 1 */
export const epochName = (incarnation: number, first: number): Epoch =>
  epoch(incarnation === 1 && first === 1 ? SOAP_EPOCH : `${SOAP_EPOCH}.${incarnation}-from-${first}`);

/** The lane as its epoch's name tells it; null for one that is not of SOAP messages. */
export function soapLane(status: LaneStatus): SoapLane | null {
  const match = NAMED.exec(status.epoch);
  if (!match) return null;
  return { epoch: status.epoch, incarnation: Number(match[1] ?? 1), base: Number(match[2] ?? 1) - 1, status };
}

export const endOf = ({ base, status }: SoapLane): number => base + status.receivedThrough;

/** The terminal's highest number up to which all are stored, in the lane it is filling; `begin` when it has none yet. */
export const topOf = (lanes: readonly SoapLane[], begin: number): number => {
  const current = lanes.at(-1);
  return current ? endOf(current) : begin;
};

/**
 * The last number that the terminal has sent, when the numbers up to `top` are late ones from before its beginning and reach
 * just up to it; else `top`. Only there may it go on beyond `top`: what lies between is stored, and it was told so.
 */
export function heldBehind(lanes: readonly SoapLane[], top: number): number {
  const first = lanes[0];
  if (!first || lanes.length === 1 || top > first.base) return top;
  let end = top;
  for (const lane of lanes.toReversed()) if (lane.base === end && endOf(lane) > end) end = endOf(lane);
  return end > first.base ? end : top;
}

/** The tag by which an operator says how far the old system has taken a terminal's messages: `--tag soap-after=4700`. */
export const BEGIN_TAG = "soap-after";

/** Null when nothing was said: then the terminal's first request says it. */
export function declaredBegin({ tags }: Pick<Terminal, "tags">): number | null {
  const told = Object.hasOwn(tags, BEGIN_TAG) ? (tags[BEGIN_TAG] ?? "") : "";
  const through = /^\d{1,16}$/.test(told) ? Number(told) : Number.NaN;
  return Number.isSafeInteger(through) && through < Number.MAX_SAFE_INTEGER ? through : null;
}
