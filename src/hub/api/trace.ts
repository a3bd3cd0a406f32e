import { WaybillError, unreachable } from "../../base/errors.ts";
import {
  epoch,
  isTerminalId,
  laneName,
  seq,
  SYSTEM,
  type LaneName,
  type Seq,
  type TerminalId,
} from "../../base/ids.ts";
import type { ExceptionRow } from "../../ledger/exceptions.ts";
import type { Ledger } from "../../ledger/port.ts";
import type { Event } from "../../ledger/trail.ts";
import { headline, type MessageState, type StateKind } from "../../message/lifecycle.ts";
import { contextOfLine } from "../../observe/trace-context.ts";
import { payloadOf, type Payload } from "./payload.ts";
import type { Sight } from "./sight.ts";
import { waitsOf, type Standstill, type WaitReason } from "./waits.ts";

/** One message's waybill, as far as the hub knows it. */
export type TracedMessage = {
  readonly lane: LaneName;
  readonly seq: Seq;
  readonly state: StateKind;
  /** What the state means, in one line for people. */
  readonly headline: string;
  readonly exception: ExceptionRow | null;
  /** The message it waits behind, when it is held. */
  readonly waitsFor: ExceptionRow["behind"];
  /** All that it waits for now. */
  readonly waits: readonly WaitReason[];
  /** Its trace id, for the tracing tool and the log; null when its sender named none. */
  readonly trace: string | null;
  readonly events: readonly Event[];
  readonly payload: Payload;
};
export type TraceAnswer = {
  readonly terminal: TerminalId;
  readonly what: string;
  readonly messages: readonly TracedMessage[];
  /** A trace's page in the tool where people look at traces, with `{trace}` for its id; null when the config names none. */
  readonly traceLink?: string | null;
};

const MOST = 20;

/**
 * @param what a message's number (of any epoch, the current one first), `epoch/number`, or a searchable value
 * @throws NOT_FOUND, saying how far this terminal has sent
 */
export async function traceMessages(
  ledger: Ledger,
  terminal: TerminalId,
  what: string,
  sight: Sight,
  standstill: Standstill,
): Promise<TraceAnswer> {
  const places = await placesOf(ledger, terminal, what, sight);
  const messages = (await Promise.all(places.map((place) => traceOne(ledger, place, sight, standstill)))).filter(
    (message) => message !== null,
  );
  if (messages.length > 0) return { terminal, what, messages };
  if (!(await ledger.terminals.get(terminal))) throw new WaybillError("NOT_FOUND", `there is no terminal ${terminal}`);
  const current = (await ledger.lanes.of(terminal)).find((lane) => lane.current);
  const known = current ? `received through ${current.receivedThrough} of ${current.lane}` : "nothing received yet";
  throw new WaybillError(
    "NOT_FOUND",
    `terminal ${terminal} has sent no message ${JSON.stringify(what.slice(0, 200))} (${known})`,
  );
}

/**
 * The same without naming the terminal: all messages that carry the value, of terminals that have the tags, and at `at`: a
 * terminal, or the value of any of its tags.
 * @throws NOT_FOUND
 */
export async function traceAnywhere(
  ledger: Ledger,
  value: string,
  tags: Readonly<Record<string, string>>,
  at: string | null,
  sight: Sight,
  standstill: Standstill,
): Promise<Omit<TraceAnswer, "terminal">> {
  const places = await placesAnywhere(ledger, value, tags, at, sight);
  const messages = (await Promise.all(places.map((place) => traceOne(ledger, place, sight, standstill)))).filter(
    (message) => message !== null,
  );
  if (messages.length > 0) return { what: value, messages };
  const whose = [
    ...Object.entries(tags).map(([name, tag]) => ` ${name} ${tag}`),
    ...(at === null ? [] : [` store or terminal ${JSON.stringify(at.slice(0, 64))}`]),
  ];
  throw new WaybillError(
    "NOT_FOUND",
    `no message${whose.length > 0 ? ` of${whose.join(" and")}` : ""} carries ${JSON.stringify(value.slice(0, 200))} in a searchable column`,
  );
}

/** A terminal that is named by itself is asked by number, too. */
async function placesAnywhere(
  ledger: Ledger,
  value: string,
  tags: Readonly<Record<string, string>>,
  at: string | null,
  sight: Sight,
): Promise<readonly Place[]> {
  const named = at !== null && isTerminalId(at) ? await ledger.terminals.get(at) : null;
  if (named) return placesOf(ledger, named.id, value, sight);
  return foundBy(value, await ledger.trail.findAnywhere(value, tags, at, MOST), ledger, sight);
}

type Place = { readonly lane: LaneName; readonly seq: Seq };

async function placesOf(ledger: Ledger, terminal: TerminalId, what: string, sight: Sight): Promise<readonly Place[]> {
  const named = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63})\/(\d{1,15})$/.exec(what);
  if (named) return [{ lane: laneName(terminal, epoch(named[1] ?? "")), seq: seq(Number(named[2])) }];
  const byValue = await foundBy(what, await ledger.trail.find(terminal, what, MOST), ledger, sight);
  if (!/^\d{1,15}$/.test(what)) return byValue;
  const lanes = (await ledger.lanes.of(terminal)).toSorted((a, b) => Number(b.current) - Number(a.current));
  const byNumber = lanes.map((lane) => ({ lane: lane.lane, seq: seq(Number(what)) }));
  const isByNumber = (place: Place): boolean =>
    byNumber.some((each) => each.lane === place.lane && each.seq === place.seq);
  return [...byNumber, ...byValue.filter((place) => !isByNumber(place))];
}

/** The index knows values without their columns: whether this caller may find a message by one, its payload tells. */
async function foundBy(
  value: string,
  places: readonly Place[],
  { bytes }: Ledger,
  { finds }: Sight,
): Promise<readonly Place[]> {
  if (finds === null) return places;
  const found = await Promise.all(
    places.map(async (place) => finds(await payloadOf(bytes, place.lane, place.seq), value)),
  );
  return places.filter((_, i) => found[i]);
}

async function traceOne(
  ledger: Ledger,
  { lane, seq: number }: Place,
  sight: Sight,
  standstill: Standstill,
): Promise<TracedMessage | null> {
  const state = await ledger.trail.state(lane, number);
  if (state === null) return null;
  const [row, happened, stored] = await Promise.all([
    ledger.exceptions.get(lane, number),
    ledger.trail.of(lane, number),
    payloadOf(ledger.bytes, lane, number),
  ]);
  // What is told in words below is made of what this caller sees, so it cannot say more.
  const [exception, events, payload] = [row && sight.exception(row), happened.map(sight.event), sight.payload(stored)];
  const waitsFor = exception?.behind ?? null;
  const trace = contextOfLine(Buffer.from(stored.lines[0] ?? ""))?.traceId ?? null;
  const told = toldOf(state, exception, events);
  const waits = waitsOf(lane, state, exception, standstill);
  return { lane, seq: number, state, headline: told, exception, waitsFor, waits, trace, events, payload };
}

/** The state in one line, from what the ledger keeps of it. */
function toldOf(kind: StateKind, exception: ExceptionRow | null, events: readonly Event[]): string {
  // Who holds the lease is the processor's business, and over by the time that it is read.
  if (kind === "processing") return "being loaded now";
  if (kind === "held" && exception?.route != null) return `waits until the route ${exception.route} goes on`;
  return headline(stateOf(kind, exception, events));
}

function stateOf(
  kind: Exclude<StateKind, "processing">,
  exception: ExceptionRow | null,
  events: readonly Event[],
): MessageState {
  if (kind === "received" || kind === "loaded") return { kind };
  if (kind === "discarded") {
    const act = events.findLast((event) => event.kind.includes("discard"));
    return { kind, by: act?.actor ?? SYSTEM, reason: act?.detail ?? exception?.detail ?? "" };
  }
  if (!exception) return { kind: "received" }; // it moved on between the two looks; the next one tells
  const { fault, attempts, dueAt, behind } = exception;
  switch (kind) {
    case "retrying":
      return { kind, dueAt: dueAt ?? exception.since, attempts, fault: fault ?? "INTERNAL" };
    case "held":
      return behind ? { kind, behind: behind.seq, behindLane: behind.lane, on: behind.on } : { kind: "received" };
    case "dead":
      return { kind, fault: fault ?? "INTERNAL" };
    default:
      return unreachable(kind);
  }
}
