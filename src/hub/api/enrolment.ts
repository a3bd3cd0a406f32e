import { createHash } from "node:crypto";
import { isoOf } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { terminalId } from "../../base/ids.ts";
import { chainHex } from "../../message/chain.ts";
import { enrolAnswer, enrolCall, statusAnswer, type StatusAnswer } from "../../wire/calls.ts";
import { isDocumentTable } from "../../wire/documents.ts";
import { audiencesOf, manifest, type Manifest } from "../../wire/manifest.ts";
import type { Terminal } from "../../ledger/port.ts";
import type { HubSettings } from "../settings.ts";
import type { Gatekeeper } from "./auth.ts";
import { empty, json } from "./http.ts";
import type { HubApiParts } from "./parts.ts";
import { jsonRoute, route, type Route } from "./route.ts";
import { newSecret, secretHash } from "./secret.ts";

/** What a terminal asks about itself: its key, what to capture, what the hub knows of it. */
export function enrolmentRoutes(parts: HubApiParts, gatekeeper: Gatekeeper): readonly Route[] {
  const { ledger, settings, runtime, wake } = parts;
  return [
    jsonRoute(
      "anyone",
      {
        method: "POST",
        path: "/v1/enroll",
        summary:
          "Exchange an enrolment token for a key; with a key made by the terminal, a repeat after a lost answer answers the same",
        answer: { status: 201, schema: enrolAnswer },
        faults: ["TOKEN_INVALID"],
      },
      enrolCall,
      async ({ body }) => {
        const id = terminalId(body.terminal);
        const key = body.key ?? newSecret(runtime.random);
        await ledger.terminals.enroll(secretHash(body.token), id, body.tags ?? {}, secretHash(key));
        gatekeeper.forget(id);
        wake.enrolled?.(id);
        return json(201, { terminal: id, key });
      },
    ),
    route(
      "terminal",
      {
        method: "GET",
        path: "/v1/manifest",
        summary: "Tables to keep in step, audiences and limits; 304 while the ETag sent as `if-none-match` still holds",
        answer: { status: 200, schema: manifest },
        faults: [],
      },
      async ({ caller: { terminal }, request }) => {
        const lasting = manifestOf(terminal, settings);
        const etag = `W/"${createHash("sha256").update(JSON.stringify(lasting)).digest("base64url").slice(0, 22)}"`;
        if (namesTag(request.headers["if-none-match"], etag)) return empty(304, { etag });
        const whole: Manifest = { ...lasting, hubTime: isoOf(runtime.clock.now()) };
        return json(200, whole, { etag, "cache-control": "private, no-cache" });
      },
    ),
    route(
      "terminal",
      {
        method: "GET",
        path: "/v1/status",
        summary: "What the hub knows of this terminal",
        answer: { status: 200, schema: statusAnswer },
        faults: [],
      },
      async ({ caller }) => json(200, await statusOf(caller.terminal, parts)),
    ),
  ];
}

function manifestOf(terminal: Terminal, settings: HubSettings): Omit<Manifest, "hubTime"> {
  // Documents are sent, not captured: their tables are names of the config only.
  const up = new Set(settings.up.filter((table) => !isDocumentTable(table)));
  const down = new Set(settings.down.map((table) => table.source));
  const { bodyBytes, partBytes, valueBytes, lines } = settings.limits;
  return {
    terminal: terminal.id,
    tags: terminal.tags,
    audiences: [...audiencesOf(terminal.id, terminal.tags)],
    tables: [...up.union(down)].map((name) => ({
      name,
      direction: up.has(name) ? (down.has(name) ? "both" : "up") : "down",
    })),
    streams: ["main"],
    limits: { bodyBytes, partBytes, valueBytes, lines },
  };
}

/** RFC 9110, 13.1.2: a list of tags or `*`, compared weakly. */
function namesTag(given: string | undefined, etag: string): boolean {
  if (given === undefined) return false;
  const opaque = (tag: string): string => tag.trim().replace(/^W\//, "");
  return given.trim() === "*" || given.split(",").some((tag) => opaque(tag) === opaque(etag));
}

const REFUSALS_SHOWN = 100;

async function statusOf(caller: Terminal, { ledger, runtime }: HubApiParts): Promise<StatusAnswer> {
  const [terminal, lanes, head, refusals] = await Promise.all([
    ledger.terminals.get(caller.id),
    ledger.lanes.of(caller.id),
    ledger.updates.head(),
    ledger.updates.refusals(caller.id, REFUSALS_SHOWN),
  ]);
  if (!terminal) throw new WaybillError("NOT_FOUND", `terminal ${caller.id} is not known any more`);
  return {
    terminal: terminal.id,
    hubTime: isoOf(runtime.clock.now()),
    lanes: lanes.map((lane) => ({
      epoch: lane.epoch,
      current: lane.current,
      receivedThrough: lane.receivedThrough,
      loadedThrough: lane.loadedThrough,
      chain: chainHex(lane.chain),
      open: { ...lane.open },
      partial: lane.partial,
      receivedAt: lane.receivedAt === null ? null : isoOf(lane.receivedAt),
      loadedAt: lane.loadedAt === null ? null : isoOf(lane.loadedAt),
    })),
    cursor: { appliedThrough: String(terminal.appliedThrough), head: String(head) },
    refusedUpdates: refusals.map(({ id, code, detail, at }) => ({ id: String(id), code, detail, at: isoOf(at) })),
    skewMs: terminal.skewMs,
  };
}
