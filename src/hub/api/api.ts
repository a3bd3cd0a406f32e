import { asWaybillError, FAULTS, WaybillError } from "../../base/errors.ts";
import { mayActAs, type Role } from "../../ledger/access.ts";
import { WELL } from "../../observe/health.ts";
import { untraced } from "../../observe/tracing.ts";
import { decode, encode, encodingFor } from "../../wire/encoding.ts";
import { HEADERS } from "../../wire/headers.ts";
import { isNestedWithin, MAX_DEPTH } from "../../wire/message-line.ts";
import { Gatekeeper } from "./auth.ts";
import { ledgerCapacity } from "./capacity.ts";
import { Delivery } from "./delivery.ts";
import { DocumentDesk, documentRoutes } from "./documents.ts";
import { HUB_ROLES, routesOf } from "../roles.ts";
import { enrolmentRoutes } from "./enrolment.ts";
import { Gate, type Hold } from "./gate.ts";
import { RequestSpan } from "./request-span.ts";
import { refusalOf, type WireRequest, type WireResponse } from "./http.ts";
import { ingestRoutes } from "./ingest.ts";
import { Intake } from "./intake.ts";
import { openapiOf } from "./openapi.ts";
import { operatorRoutes } from "./operator.ts";
import type { HubApiParts } from "./parts.ts";
import {
  checked,
  RouteTable,
  type Call,
  type Caller,
  type CallerKind,
  type Found,
  type Person,
  type Route,
} from "./route.ts";
import { serviceRoutes } from "./service.ts";
import { SOAP_PATH, SoapEntrance } from "../soap/entrance.ts";
import { FaultCounts } from "../soap/fault-counts.ts";
import { sightOf } from "./sight.ts";
import { Sightings } from "./sightings.ts";

/** The hub's HTTP side without a socket: whole requests in, whole answers out. `listen` puts it on a port. */
export interface HubApi extends AsyncDisposable {
  /** Never rejects: whatever goes wrong is an answer. */
  handle(request: WireRequest): Promise<WireResponse>;
  readonly routes: readonly Route[];
  /** Largest body of a request, before and after decompression. */
  readonly bodyBytes: number;
  /** Counts the body that a transport gathers: together they may hold only so much memory. */
  hold(): Hold;
  readonly draining: boolean;
  /** A secret that signs one person in to the console once; null when there is no console. */
  readonly invite: () => Promise<string | null>;
  /** New requests are refused with UNAVAILABLE, long polls end at once, the rest finish. */
  drain(): void;
  /** Resolves when requests in work have had `drainMs` to finish, or `signal` is raised. */
  patience(signal: AbortSignal): Promise<void>;
}

/** Version shown in /openapi.json: of the wire, not of the program. */
const WIRE_VERSION = "1";

export function createHubApi(parts: HubApiParts): HubApi {
  const { ledger, settings, runtime, log, metrics, tracing = untraced } = parts;
  const gatekeeper = new Gatekeeper(ledger, settings.tokens, runtime);
  const intake = new Intake(ledger.lanes, (lanes) => parts.wake.received(lanes));
  const { clock } = runtime;
  const meanBytes = (): number => intake.meanLineBytes;
  const capacity = parts.capacity ?? ledgerCapacity({ ledgerUrl: settings.ledgerUrl, ledger, clock, meanBytes });
  const gate = new Gate(settings.limits, runtime, { log, metrics }, capacity);
  const sightings = new Sightings(ledger.terminals, runtime, log);
  const delivery = new Delivery(parts, gate, sightings);
  const browser = parts.browser?.({
    ledger,
    runtime,
    log,
    oidc: settings.oidc ?? null,
    health: parts.health ?? (() => ({ ready: true, parts: { hub: WELL } })),
  });
  const soapTools = {
    gatekeeper,
    gate,
    intake,
    sightings,
    desk: new DocumentDesk(parts, intake),
    faults: new FaultCounts(parts.metrics),
  };
  const soap = settings.soap ? new SoapEntrance(parts, settings.soap, soapTools) : null;
  const roles = parts.roles ?? HUB_ROLES;
  const table = new RouteTable([
    ...enrolmentRoutes(parts, gatekeeper),
    ...routesOf("ingest", roles, ingestRoutes(parts, intake, gate)),
    ...documentRoutes(parts, intake, gate),
    ...routesOf("deliver", roles, delivery.routes()),
    ...operatorRoutes(parts, gatekeeper),
    ...(browser?.routes ?? []),
    ...serviceRoutes(parts, gate, () => (document ??= openapiOf(table.routes, WIRE_VERSION))),
  ]);
  let document: unknown = null;

  async function callerOf(kind: CallerKind, request: WireRequest, span: RequestSpan): Promise<Caller[CallerKind]> {
    const { authorization } = request.headers;
    if (kind === "anyone") return { as: kind };
    if (kind === "publisher") return { as: kind, by: span.by(gatekeeper.publisher(authorization)) };
    if (kind !== "terminal") return personOf(kind, request, span);
    const terminal = await gatekeeper.terminal(authorization);
    sightings.saw(terminal.id, request);
    return { as: kind, terminal };
  }

  async function personOf<As extends Role>(needed: As, request: WireRequest, span: RequestSpan): Promise<Person<As>> {
    const { authorization } = request.headers;
    const signedIn = authorization === undefined ? await browser?.personOf(request) : null;
    const { actor, role } = signedIn ?? (await gatekeeper.person(authorization));
    if (!mayActAs(role, needed))
      throw new WaybillError("FORBIDDEN", `${actor} has the role ${role}; this needs the role ${needed}`);
    return { as: needed, by: span.by(actor), role, sight: sightOf(role, settings.personal) };
  }

  async function answer({ route, params }: Found, request: WireRequest, span: RequestSpan): Promise<WireResponse> {
    const caller = await callerOf(route.caller, request, span);
    if (route.method !== "GET" && "by" in caller) span.name(); // the audit trail leads there
    if (route.caller !== "anyone" || route.body !== "none") gate.mayEnter();
    if (route.body === "none") return route.handle({ caller, request, params, body: null, text: "", span });
    const bytes = decode(request.body, request.headers["content-encoding"], settings.limits.bodyBytes);
    using unpacked = gate.hold();
    if (bytes !== request.body) unpacked.grow(bytes.byteLength);
    return await route.handle({ caller, request, params, span, ...bodyOf(route, request, bytes) });
  }

  return {
    routes: table.routes,
    invite: async () => (await browser?.invite()) ?? null,
    bodyBytes: settings.limits.bodyBytes,
    hold: () => gate.hold(),
    get draining() {
      return gate.draining;
    },
    async handle(request) {
      const began = runtime.clock.elapsed();
      const span = new RequestSpan(request.headers["traceparent"], runtime);
      const { trace } = span;
      let path = "unknown";
      let response: WireResponse;
      try {
        if (soap && request.path.startsWith(SOAP_PATH)) {
          path = SoapEntrance.routeOf(request.path);
          response = packed(await soap.handle(request, span), request);
        } else {
          const found = table.find(request.method, request.path);
          path = found.route.path;
          response = packed(await answer(found, request, span), request);
        }
      } catch (thrown) {
        const error = publicError(thrown);
        const facts = { trace, method: request.method, path, code: error.code };
        if (FAULTS[error.code].status === 500) log.error({ ...facts, error: thrown }, "request.failed");
        else log.debug({ ...facts, what: error.what }, "request.refused");
        response = refusalOf(error, trace);
      }
      span.end(tracing, request.method, path, response.status, runtime.clock.now());
      metrics.add("waybill_requests_total", 1, { route: path, status: String(response.status) });
      metrics.observe("waybill_request_seconds", (runtime.clock.elapsed() - began) / 1_000, { route: path });
      return { ...response, headers: { ...response.headers, [HEADERS.trace]: trace } };
    },
    drain() {
      gate.drain();
      parts.updates.ring(null);
      browser?.drain();
    },
    patience: (signal) => runtime.timers.sleep(settings.drainMs, signal),
    async [Symbol.asyncDispose]() {
      gate[Symbol.dispose]();
      delivery[Symbol.dispose]();
      browser?.[Symbol.dispose]();
      await sightings[Symbol.asyncDispose]();
    },
  };
}

/** @throws REQUEST_INVALID for a JSON body that is none or has another shape */
function bodyOf(
  route: Route,
  request: WireRequest,
  bytes: Uint8Array,
): Pick<Call<CallerKind, unknown>, "body" | "text"> {
  if (route.body === "bytes" || !route.bodySchema) return { body: bytes, text: "" };
  const type = request.headers["content-type"];
  if (type !== undefined && !/^application\/([a-z0-9.+-]+\+)?json\s*(;|$)/i.test(type)) {
    throw new WaybillError("MEDIA_TYPE", "the body must be application/json");
  }
  const { text, value } = jsonOf(bytes);
  if (!isNestedWithin(value, MAX_DEPTH))
    throw new WaybillError("REQUEST_INVALID", `body: is nested deeper than ${MAX_DEPTH}`);
  return { body: checked(route.bodySchema, value, "body"), text };
}

function jsonOf(bytes: Uint8Array): { text: string; value: unknown } {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return { text, value: JSON.parse(text) as unknown };
  } catch (cause) {
    throw new WaybillError("REQUEST_INVALID", "body: is not JSON in UTF-8", { cause });
  }
}

/** A caller can do nothing else about a ledger that is ill than about a hub that is full: the wire has one code for both. */
function publicError(thrown: unknown): WaybillError {
  const error = asWaybillError(thrown);
  if (error.code === "UNAVAILABLE" || FAULTS[error.code].status !== 503) return error;
  return new WaybillError("UNAVAILABLE", `${error.code}: the hub cannot do this now`, { cause: error });
}

function packed(response: WireResponse, request: WireRequest): WireResponse {
  if (response.stream) return response; // what is small and must arrive at once gains nothing by it
  const encoding = encodingFor(request.headers["accept-encoding"], response.body.byteLength);
  const headers = { vary: "accept-encoding", ...response.headers };
  if (encoding === "identity") return { ...response, headers };
  return { ...response, headers: { ...headers, "content-encoding": encoding }, body: encode(response.body, encoding) };
}
