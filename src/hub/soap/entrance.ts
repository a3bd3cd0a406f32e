import { isoOf, later as laterThan } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import type { Terminal } from "../../ledger/port.ts";
import { actionOf, isOperation, type OperationName } from "../../wire/soap/terminal-sync.ts";
import {
  readEnvelope,
  writeFault,
  writeReply,
  type Credentials,
  type Envelope,
  type SoapVersion,
  type Stamp,
} from "../../wire/soap/envelope.ts";
import { nameOfFault, SoapFault } from "../../wire/soap/faults.ts";
import { NS } from "../../wire/soap/namespaces.ts";
import { WSDL_SECURITIES, writeWsdl, type WsdlSecurity } from "../../wire/soap/wsdl.ts";
import type { Element } from "../../wire/soap/element.ts";
import { empty, type WireRequest, type WireResponse } from "../api/http.ts";
import type { HubApiParts } from "../api/parts.ts";
import type { RequestSpan } from "../api/request-span.ts";
import {
  asksForWsdl,
  asSoapFault,
  plainExchange,
  readDocument,
  soapResponse,
  type Exchange,
  type SoapTools,
} from "./exchange.ts";
import { SoapLanes } from "./lanes.ts";
import { Legacy } from "./legacy.ts";
import { mediaOf, soapActionOf } from "./media.ts";
import { Operations } from "./operations.ts";
import type { SoapSettings } from "./settings.ts";
import { basicCredentials, terminalOf } from "./sign-in.ts";

export const SOAP_PATH = "/soap/";
const CONTRACT_PATH = "/soap/terminal";
/** How long a reply's WS-Security timestamp holds: WCF's own default. */
const STAMP_MS = 5 * 60 * 1_000;
const VERSIONS: Readonly<Record<string, SoapVersion>> = {
  [`${CONTRACT_PATH}/basic`]: "1.1",
  [`${CONTRACT_PATH}/ws`]: "1.2",
};

/** Everything under /soap: the contract's two bindings, its WSDL, and old contracts by mapping. */
export class SoapEntrance {
  readonly #parts: HubApiParts;
  readonly #settings: SoapSettings;
  readonly #tools: SoapTools;
  readonly #operations: Operations;
  readonly #legacy: Legacy;

  constructor(parts: HubApiParts, settings: SoapSettings, tools: SoapTools) {
    this.#parts = parts;
    this.#settings = settings;
    this.#tools = tools;
    this.#operations = new Operations(parts, settings, tools.gate, new SoapLanes(parts, tools.intake));
    this.#legacy = new Legacy(parts, settings, tools);
  }

  /** What a log and a metric call the address: never the address itself, which may hold a key. */
  static routeOf(path: string): string {
    return path.startsWith(CONTRACT_PATH) ? CONTRACT_PATH : "/soap/legacy";
  }

  /** @throws WaybillError for what is refused before SOAP is spoken: 400, 404, 405, 413, 415; WCF reads no body of those */
  async handle(request: WireRequest, span: RequestSpan): Promise<WireResponse> {
    const { path, method } = request;
    if (path.startsWith("/soap/legacy/"))
      return await this.#legacy.handle(request, span, (exchange, thrown, terminal) =>
        this.#refuse(exchange, thrown, terminal, span.trace),
      );
    if (method === "GET" && asksForWsdl(request) && (path === CONTRACT_PATH || Object.hasOwn(VERSIONS, path)))
      return this.#wsdl(request);
    const version = Object.hasOwn(VERSIONS, path) ? VERSIONS[path] : undefined;
    if (version === undefined)
      throw new WaybillError(
        "NOT_FOUND",
        "SOAP is served at /soap/terminal/basic and /soap/terminal/ws, and described at /soap/terminal?wsdl",
      );
    if (method !== "POST")
      throw new WaybillError("METHOD_NOT_ALLOWED", `${method} is not for SOAP`, { facts: { allow: "POST" } });
    return await this.#answer(request, version, span);
  }

  async #answer(request: WireRequest, version: SoapVersion, span: RequestSpan): Promise<WireResponse> {
    let exchange = plainExchange(version);
    let terminal: Terminal | null = null;
    try {
      this.#tools.gate.mayEnter();
      // A header that does not sign in is refused before anything is parsed for it.
      const basic = this.#settings.auth.includes("basic") ? basicCredentials(request.headers["authorization"]) : null;
      if (basic) terminal = await terminalOf(this.#tools.gatekeeper, basic);
      if (basic && !terminal) return this.#challenge();
      const { envelope, actions } = this.#read(request, version);
      exchange = {
        ...exchange,
        to: { version, addressed: envelope.action !== null, messageId: envelope.messageId, stamped: envelope.stamped },
      };
      terminal ??= await this.#tokenTerminal(envelope.credentials);
      if (!terminal) return this.#challenge();
      this.#tools.sightings.saw(terminal.id, request);
      const operation = operationOf(envelope.body, actions);
      exchange = { ...exchange, action: actionOf(operation) };
      const { body, headers } = await this.#operations.run(operation, terminal, envelope.body, span);
      if (envelope.noReply) return empty(202);
      const reply = writeReply(exchange.to, `${actionOf(operation)}Response`, body, this.#stamp());
      return soapResponse(200, version, reply, headers);
    } catch (thrown) {
      return this.#refuse(exchange, thrown, terminal, span.trace);
    }
  }

  /** @throws MEDIA_TYPE, TOO_LARGE, REQUEST_INVALID; SoapFault */
  #read(
    request: WireRequest,
    version: SoapVersion,
  ): { readonly envelope: Envelope; readonly actions: readonly string[] } {
    const media = mediaOf(request.headers["content-type"], version);
    const envelope = readEnvelope(readDocument(request, media.charset, this.#parts.settings.limits.bodyBytes), version);
    const actions = [soapActionOf(request.headers["soapaction"]), media.action, envelope.action].filter(
      (action) => action !== null,
    );
    return { envelope, actions: actions.filter((action) => action !== "") };
  }

  /** The terminal of a UsernameToken; null without one. @throws SoapFault when it is nobody's */
  async #tokenTerminal(credentials: Credentials | null): Promise<Terminal | null> {
    if (!credentials || !this.#settings.auth.includes("usernameToken")) return null;
    const terminal = await terminalOf(this.#tools.gatekeeper, credentials);
    if (terminal) return terminal;
    throw new SoapFault({
      kind: "security",
      subcode: "FailedAuthentication",
      text: "The security token could not be authenticated or authorized",
    });
  }

  /** WCF sends Basic credentials only after it was asked for them; a short body keeps the connection. */
  #challenge(): WireResponse {
    this.#tools.faults.count("UNAUTHENTICATED", null);
    return {
      status: 401,
      headers: { "content-type": "text/plain", "www-authenticate": 'Basic realm="waybill"' },
      body: Buffer.from("sign in with the terminal's name and key"),
    };
  }

  #refuse({ version, to, action }: Exchange, thrown: unknown, terminal: Terminal | null, trace: string): WireResponse {
    const { fault } = asSoapFault(thrown);
    const code = nameOfFault(fault);
    const { log } = this.#parts;
    this.#tools.faults.count(code, terminal?.id ?? null);
    if (fault.kind === "internal") log.error({ trace, terminal: terminal?.id, error: thrown }, "request.failed");
    else log.info({ trace, terminal: terminal?.id, code }, "soap.fault");
    // A client reads the body of a fault on 500 alone; 503 tells it, and every proxy on the way, to come again later.
    const retry = fault.kind === "typed" && fault.blame === "receiver" ? fault.detail.retryAfterSeconds : null;
    const headers = typeof retry === "number" ? { "retry-after": String(retry) } : {};
    return soapResponse(
      typeof retry === "number" ? 503 : 500,
      version,
      writeFault(to, fault, action, this.#stamp()),
      headers,
    );
  }

  #stamp(): Stamp {
    const now = this.#parts.runtime.clock.now();
    return { created: isoOf(now), expires: isoOf(laterThan(now, STAMP_MS)) };
  }

  #wsdl({ query }: WireRequest): WireResponse {
    const { publicUrl, auth } = this.#settings;
    const kind = auth[0] === "basic" ? "http-basic" : "usernametoken";
    const wanted = query.get("auth");
    // Policies with sign-in demand TLS; over plain HTTP a client made from them would refuse to send.
    const security: WsdlSecurity =
      WSDL_SECURITIES.find((each) => each === wanted) ?? (publicUrl.startsWith("https:") ? kind : "none");
    return {
      status: 200,
      headers: { "content-type": "text/xml; charset=utf-8" },
      body: Buffer.from(writeWsdl(`${publicUrl}${CONTRACT_PATH}`, security)),
    };
  }
}

/** The body's element decides; every action that was told must be its. @throws SoapFault */
function operationOf(body: Element, actions: readonly string[]): OperationName {
  const unknown = (text: string): SoapFault =>
    new SoapFault({ kind: "addressing", subcode: "ActionNotSupported", text });
  if (body.namespace !== NS.contract || !isOperation(body.name))
    throw unknown("the Body's element is not an operation of urn:waybill:terminal:v1");
  if (actions.some((action) => action !== actionOf(body.name)))
    throw unknown("the action is not that of the Body's element");
  return body.name;
}
