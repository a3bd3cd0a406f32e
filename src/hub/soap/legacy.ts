import { readFile } from "node:fs/promises";
import { WaybillError } from "../../base/errors.ts";
import { isoOf } from "../../base/clock.ts";
import type { TerminalId } from "../../base/ids.ts";
import type { Terminal } from "../../ledger/port.ts";
import { readEnvelope, writeReply } from "../../wire/soap/envelope.ts";
import { invalid, SoapFault, textOf, type Fault } from "../../wire/soap/faults.ts";
import type { LegacyMapping, LegacyOperation } from "../../wire/soap/mapping.ts";
import {
  documentsOf,
  faultFor,
  operationFor,
  render,
  terminalNamed,
  withAddress,
  type Filling,
} from "../../wire/soap/mapped.ts";
import { positionOf, readAfter, type Position } from "../../wire/soap/updates.ts";
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
import { mediaOf, soapActionOf } from "./media.ts";
import type { SoapSettings } from "./settings.ts";
import { basicCredentials, terminalOf } from "./sign-in.ts";
import { Tee } from "./tee.ts";
import { SoapUpdates } from "./updates.ts";

const PREFIX = "/soap/legacy/";
/** Replies read for one pull before it answers with what it has; rows of other tables are passed over. */
const PULLS = 50;

type Refuse = (exchange: Exchange, thrown: unknown, terminal: Terminal | null) => WireResponse;
type Found = { readonly name: string; readonly operation: LegacyOperation; readonly body: Element };

/** Terminals that keep their old contract: only the address changes on the till, a mapping says what its words mean. */
export class Legacy {
  readonly #parts: HubApiParts;
  readonly #settings: SoapSettings;
  readonly #tools: SoapTools;
  readonly #updates: SoapUpdates;
  readonly #tee: Tee;
  /** How far each terminal's last pull went. It is done when the terminal asks again: the old contracts have no other word for it. */
  readonly #given = new Map<TerminalId, Position>();

  constructor(parts: HubApiParts, settings: SoapSettings, tools: SoapTools) {
    this.#parts = parts;
    this.#settings = settings;
    this.#tools = tools;
    this.#updates = new SoapUpdates(parts, settings);
    this.#tee = new Tee(parts.runtime, parts.log);
  }

  /** @throws WaybillError as SoapEntrance.handle */
  async handle(request: WireRequest, span: RequestSpan, refuse: Refuse): Promise<WireResponse> {
    const [name = "", key, ...more] = request.path.slice(PREFIX.length).split("/");
    const mapping = this.#settings.mappings.find((each) => each.name === name);
    if (!mapping || more.length > 0 || (key !== undefined && !mapping.keyInAddress))
      throw new WaybillError("NOT_FOUND", "no mapping serves this address");
    if (request.method === "GET" && asksForWsdl(request)) return await this.#wsdl(mapping);
    if (request.method !== "POST")
      throw new WaybillError("METHOD_NOT_ALLOWED", `${request.method} is not for SOAP`, { facts: { allow: "POST" } });
    return await this.#tee.around(mapping, request, () => this.#answer(mapping, key ?? null, request, span, refuse));
  }

  async #answer(
    mapping: LegacyMapping,
    key: string | null,
    request: WireRequest,
    span: RequestSpan,
    refuse: Refuse,
  ): Promise<WireResponse> {
    let exchange = plainExchange(mapping.soap);
    let terminal: Terminal | null = null;
    let operation = "";
    try {
      this.#tools.gate.mayEnter();
      const media = mediaOf(request.headers["content-type"], mapping.soap);
      const envelope = readEnvelope(
        readDocument(request, media.charset, this.#parts.settings.limits.bodyBytes),
        mapping.soap,
      );
      exchange = {
        ...exchange,
        to: {
          version: mapping.soap,
          addressed: envelope.action !== null,
          messageId: envelope.messageId,
          stamped: envelope.stamped,
        },
      };
      const named = terminalNamed(mapping, envelope.body);
      terminal = await this.#signIn(request, key, envelope.credentials);
      if (!terminal) {
        this.#tools.faults.count("UNAUTHENTICATED", null);
        return {
          status: 401,
          headers: { "content-type": "text/plain", "www-authenticate": 'Basic realm="waybill"' },
          body: Buffer.from("sign in with the terminal's name and key"),
        };
      }
      if (named !== null && named !== terminal.id) throw invalid("terminal is not enrolled", "UNKNOWN_TERMINAL");
      this.#tools.sightings.saw(terminal.id, request);
      const found = foundIn(mapping, envelope.body, [
        soapActionOf(request.headers["soapaction"]),
        media.action,
        envelope.action,
      ]);
      operation = found.name;
      const reply = await this.#run(mapping, found, terminal, span);
      if (found.operation.oneWay || reply === null) return empty(202);
      return soapResponse(
        200,
        mapping.soap,
        writeReply(exchange.to, `${found.operation.action}Response`, reply, NO_STAMP),
      );
    } catch (thrown) {
      return refuse(exchange, mappedFault(mapping, operation, asSoapFault(thrown)), terminal);
    }
  }

  async #signIn(
    request: WireRequest,
    key: string | null,
    token: { readonly username: string; readonly password: string } | null,
  ): Promise<Terminal | null> {
    const { gatekeeper } = this.#tools;
    if (key !== null) return await gatekeeper.terminal(`Bearer ${key}`);
    const credentials = basicCredentials(request.headers["authorization"]) ?? token;
    return credentials === null ? null : await terminalOf(gatekeeper, credentials);
  }

  /** The reply's body; null when the operation has none. */
  async #run(
    mapping: LegacyMapping,
    { operation, body }: Found,
    terminal: Terminal,
    span: RequestSpan,
  ): Promise<string | null> {
    const zone = mapping.timeZone ?? null;
    const serverTime = isoOf(this.#parts.runtime.clock.now());
    const filled = (filling: Filling, updates: readonly Filling[] = []): string | null =>
      operation.response === undefined
        ? null
        : render(operation.response, { ...filling, serverTime, terminal: terminal.id }, updates, zone);
    switch (operation.does) {
      case "ping":
        return filled({});
      case "submit": {
        this.#tools.gate.mayStore();
        const documents = documentsOf(mapping, operation, body, terminal.id);
        const answers = documents.length === 0 ? [] : await this.#tools.desk.take(terminal.id, documents, span);
        const accepted = answers.filter(({ state }) => state === "accepted").length;
        return filled({ accepted, duplicates: answers.length - accepted });
      }
      case "pull":
        return filled({}, await this.#pull(terminal, operation.entity, operation.limit));
    }
  }

  async #pull(terminal: Terminal, entity: string, limit: number): Promise<readonly Filling[]> {
    const given = this.#given.get(terminal.id);
    const { ledger } = this.#parts;
    if (given) await ledger.updates.acknowledge(terminal.id, readAfter(given), []);
    const updates: Filling[] = [];
    let cursor: string | null = null;
    for (let pulls = 0; pulls < PULLS && updates.length < limit; pulls++) {
      const batch = await this.#updates.pull(terminal, {
        afterCursor: cursor,
        maxCount: limit - updates.length,
        maxBytes: null,
      });
      cursor = batch.nextCursor ?? cursor;
      for (const update of batch.updates ?? []) {
        if (update.entity !== entity) continue;
        const row: unknown = typeof update.payload === "string" ? JSON.parse(update.payload) : null;
        updates.push({
          key: update.key,
          operation: update.operation,
          occurredAt: update.occurredAt,
          version: String(update.version),
          row,
        });
      }
      if (!batch.hasMore) break;
    }
    const through = cursor === null ? null : positionOf(cursor);
    if (through) this.#given.set(terminal.id, through);
    return updates;
  }

  async #wsdl(mapping: LegacyMapping): Promise<WireResponse> {
    if (mapping.wsdl === undefined) throw new WaybillError("NOT_FOUND", `mapping ${mapping.name} has no WSDL`);
    const text = await readFile(mapping.wsdl, "utf8");
    return {
      status: 200,
      headers: { "content-type": "text/xml; charset=utf-8" },
      body: Buffer.from(withAddress(text, `${this.#settings.publicUrl}${PREFIX}${mapping.name}`)),
    };
  }
}

const NO_STAMP = { created: "", expires: "" };

/** @throws SoapFault */
function foundIn(mapping: LegacyMapping, body: Element, actions: readonly (string | null)[]): Found {
  const found = operationFor(mapping, body);
  const unknown = (text: string): SoapFault =>
    new SoapFault({ kind: "addressing", subcode: "ActionNotSupported", text });
  if (!found) throw unknown(`the Body's element is not an operation of ${mapping.name}`);
  if (actions.some((action) => action !== null && action !== "" && action !== found.operation.action))
    throw unknown("the action is not that of the Body's element");
  return { ...found, body };
}

/** The old contract's own fault in place of ours, so that its client's catch blocks still hold. */
function mappedFault(mapping: LegacyMapping, operation: string, thrown: SoapFault): SoapFault {
  const { fault } = thrown;
  if (fault.kind !== "typed") return thrown;
  const own = faultFor(mapping, operation, fault.detail.code ?? "", textOf(fault));
  return own
    ? new SoapFault({ kind: "mapped", blame: fault.blame, text: textOf(fault), ...own } satisfies Fault)
    : thrown;
}
