import type { Event, TracedMessage } from "./api.ts";
import { capturedAt } from "./payload-line.ts";

/** A place on the way from till to centre. `at` null: it has not come there; `ill`: it is stuck before the next one. */
export type Station = {
  readonly name: string;
  readonly at: number | null;
  /** Since the station before, in milliseconds. Of the till's own clock when `byTill`. */
  readonly tookMs: number | null;
  readonly byTill: boolean;
  readonly state: "passed" | "here" | "ill" | "ahead";
  readonly note: string;
};

const TRIED: ReadonlySet<string> = new Set(["retrying", "held", "dead", "requeued"]);
const LOADED: ReadonlySet<string> = new Set(["loaded", "loaded late"]);

/** The way of one message as few stations: where it is, how long each leg took. */
export function stationsOf({
  events,
  payload,
  state,
  exception,
}: Pick<TracedMessage, "events" | "payload" | "state" | "exception">): readonly Station[] {
  const committed = timeOf(capturedAt(payload.lines));
  const received = first(events, (event) => event.kind === "received");
  const troubled = first(events, (event) => TRIED.has(event.kind));
  const loaded = first(events, (event) => LOADED.has(event.kind));
  const given = first(events, (event) => event.kind === "discarded");
  const end = loaded ?? given;
  const isIll = state === "dead" || state === "held" || state === "retrying";
  const stations: Station[] = [
    station("Committed at the till", committed, null, "passed", committed === null ? "not told" : "", true),
    station("Stored at the hub", received?.at ?? null, committed, received ? "passed" : "here", ""),
  ];
  if (troubled) {
    const tries = exception === null || exception.attempts === 0 ? "" : `tried ${exception.attempts}×`;
    stations.push(
      station(isIll ? state : "Set aside", troubled.at, received?.at ?? null, isIll ? "ill" : "passed", tries),
    );
  } else if (state === "processing") stations.push({ ...station("Being loaded", null, null, "here", ""), at: null });
  if (state === "discarded") stations.push(station("Given up", given?.at ?? null, null, "ill", given?.detail ?? ""));
  else
    stations.push(
      station(
        "In the central database",
        end?.at ?? null,
        troubled?.at ?? received?.at ?? null,
        loaded ? "passed" : "ahead",
        loaded ? "" : isIll ? "not yet" : "",
      ),
    );
  return stations;
}

function station(
  name: string,
  at: number | null,
  before: number | null,
  state: Station["state"],
  note: string,
  byTill = false,
): Station {
  return { name, at, tookMs: at === null || before === null ? null : at - before, byTill, state, note };
}

const first = (events: readonly Event[], is: (event: Event) => boolean): Event | undefined => events.find(is);

function timeOf(text: string | null): number | null {
  const at = text === null ? Number.NaN : Date.parse(text);
  return Number.isNaN(at) ? null : at;
}
