import { WaybillError } from "./errors.ts";

/** A name that only its own parser can make, so that one kind cannot stand where another belongs. */
export type Brand<T, Name extends string> = T & { readonly __brand: Name };

/** 1–64 of letters, digits, `.`, `_`, `-`; starts with a letter or digit. Given at enrolment. */
export type TerminalId = Brand<string, "TerminalId">;
/** One incarnation of a terminal's numbering; sortable by time of birth (see `newEpoch`). */
export type Epoch = Brand<string, "Epoch">;
/** `<terminal>/<epoch>`: the lane's name in the central database, in logs and on the console. */
export type LaneName = Brand<string, "LaneName">;
/** The number of a message within its lane: 1, 2, 3 … (0 stands for "before the first"). */
export type Seq = Brand<number, "Seq">;
/** Position in the update log: term × 10^12 + n; grows, with holes. 0 stands for "before the first". */
export type UpdateId = Brand<number, "UpdateId">;
/** One run of one process: new at every start, so that a lease of yesterday's process is never ours. */
export type WorkerId = Brand<string, "WorkerId">;
/** Who is shown in the audit trail: `operator:anna`, `cli:root@host`, `terminal:t1`, `system`. */
export type Actor = Brand<string, "Actor">;
/** An act by a request, whose trace (32 hexadecimal digits) is told with it. */
export type Act = { readonly actor: Actor; readonly requestTrace: string };
/** Who acts: of its own accord (a worker, the system), or by a request. */
export type By = Actor | Act;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** What the field named `what` was given as, cut so that an error stays readable. */
const shown = (text: unknown): string => JSON.stringify(String(text).slice(0, 80));

export const isTerminalId = (text: string): text is TerminalId => NAME.test(text);
export function terminalId(text: string): TerminalId {
  if (!isTerminalId(text)) {
    throw new WaybillError(
      "REQUEST_INVALID",
      `terminal ${shown(text)} must be 1–64 letters, digits, ".", "_" or "-", and start with a letter or digit`,
    );
  }
  return text;
}
export function epoch(text: string): Epoch {
  if (!NAME.test(text))
    throw new WaybillError("REQUEST_INVALID", `epoch ${shown(text)} is not a name of 1–64 characters`);
  return text as Epoch;
}
export function seq(n: number): Seq {
  if (!Number.isSafeInteger(n) || n < 0)
    throw new WaybillError("REQUEST_INVALID", `number ${shown(n)} is not a whole number from 0`);
  return n as Seq;
}
export function updateId(text: string | number): UpdateId {
  const n = typeof text === "number" ? text : /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(n) || n < 0)
    throw new WaybillError("REQUEST_INVALID", `update id ${shown(text)} is not a whole number from 0`);
  return n as UpdateId;
}
export const laneName = (terminal: TerminalId, of: Epoch): LaneName => `${terminal}/${of}` as LaneName;
export function splitLane(lane: LaneName): { terminal: TerminalId; epoch: Epoch } {
  const at = lane.indexOf("/");
  return { terminal: lane.slice(0, at) as TerminalId, epoch: lane.slice(at + 1) as Epoch };
}
export const workerId = (text: string): WorkerId => text as WorkerId;
export const actor = (text: string): Actor => text as Actor;
export const SYSTEM = actor("system");
export const actorOf = (by: By): Actor => (typeof by === "string" ? by : by.actor);
export const requestTraceOf = (by: By): string | null => (typeof by === "string" ? null : by.requestTrace);
/** As it is read back from where both were kept. */
export const byOf = (who: Actor, requestTrace: string | null): By =>
  requestTrace === null ? who : { actor: who, requestTrace };

/** Ids of the update log: a restore begins a higher term, so ids grow even when `n` starts again. */
export const TERM_STEP = 1_000_000_000_000;
export const updateIdOf = (term: number, n: number): UpdateId => (term * TERM_STEP + n) as UpdateId;
export const termOf = (id: UpdateId): number => Math.floor(id / TERM_STEP);
