import { isoOf } from "../../base/clock.ts";
import type { Terminal } from "../../ledger/port.ts";
import { decodeRequest, encodeReply, itemsOf } from "../../wire/soap/codec.ts";
import type { OperationName } from "../../wire/soap/terminal-sync.ts";
import { invalid } from "../../wire/soap/faults.ts";
import { readSubmitted, type Submitted } from "../../wire/soap/submitted.ts";
import { ValueRefused } from "../../wire/soap/values.ts";
import type { Element } from "../../wire/soap/element.ts";
import type { Gate } from "../api/gate.ts";
import type { HubApiParts } from "../api/parts.ts";
import type { RequestSpan } from "../api/request-span.ts";
import type { SoapLanes } from "./lanes.ts";
import type { SoapSettings } from "./settings.ts";
import { SoapUpdates } from "./updates.ts";
import { cursorOf } from "../../wire/soap/updates.ts";

const CONTRACT_VERSION = "1.0";

type Reply = { readonly body: string; readonly headers: Readonly<Record<string, string>> };

/** The five operations of the contract, for a terminal that has signed in. */
export class Operations {
  readonly #parts: HubApiParts;
  readonly #settings: SoapSettings;
  readonly #gate: Gate;
  readonly #lanes: SoapLanes;
  readonly #updates: SoapUpdates;

  constructor(parts: HubApiParts, settings: SoapSettings, gate: Gate, lanes: SoapLanes) {
    this.#parts = parts;
    this.#settings = settings;
    this.#gate = gate;
    this.#lanes = lanes;
    this.#updates = new SoapUpdates(parts, settings);
  }

  /** The body element of the reply, and what HTTP says beside it. @throws SoapFault; ValueRefused; whatever the ledger throws */
  async run(operation: OperationName, terminal: Terminal, body: Element, span: RequestSpan): Promise<Reply> {
    if (operation === "GetStatus") return await this.#status(terminal, body);
    return { body: await this.#bodyOf(operation, terminal, body, span), headers: {} };
  }

  async #bodyOf(
    operation: Exclude<OperationName, "GetStatus">,
    terminal: Terminal,
    body: Element,
    span: RequestSpan,
  ): Promise<string> {
    const reading = { zone: this.#settings.zone };
    switch (operation) {
      case "Ping": {
        const { text } = decodeRequest("Ping", body, reading);
        return encodeReply("Ping", { text, serverTime: this.#now(), contractVersion: CONTRACT_VERSION });
      }
      case "SubmitMessages": {
        const { terminalId } = decodeRequest("SubmitMessages", body, reading, ["messages"]);
        checkTerminal(terminal, terminalId);
        return await this.#submit(terminal, body, span);
      }
      case "PullUpdates": {
        const request = decodeRequest("PullUpdates", body, reading);
        checkTerminal(terminal, request.terminalId);
        return encodeReply("PullUpdates", await this.#updates.pull(terminal, request));
      }
      case "AcknowledgeUpdates": {
        const request = decodeRequest("AcknowledgeUpdates", body, reading);
        checkTerminal(terminal, request.terminalId);
        return encodeReply("AcknowledgeUpdates", await this.#updates.acknowledge(terminal, request));
      }
    }
  }

  async #submit(terminal: Terminal, body: Element, span: RequestSpan): Promise<string> {
    this.#gate.mayStore();
    const { limits } = this.#parts.settings;
    const items = itemsOf(body, "messages", "SyncMessage");
    if (items === null || items.length === 0) throw invalid("messages is required");
    if (items.length > limits.lines)
      throw invalid(`there are more than ${limits.lines} messages in one request`, "TOO_LARGE");
    const receivedAt = this.#now();
    const messages = items.map((item, index): Submitted => {
      try {
        return readSubmitted(item, { zone: this.#settings.zone }, receivedAt);
      } catch (thrown) {
        if (thrown instanceof ValueRefused) throw invalid(`messages[${index}].${thrown.path} ${thrown.what}`);
        throw thrown;
      }
    });
    const { acceptedThrough, accepted, duplicates, rejected } = await this.#lanes.take(terminal, messages, span);
    return encodeReply("SubmitMessages", {
      acceptedThrough: BigInt(acceptedThrough),
      accepted,
      duplicates,
      rejected: rejected.map(({ message, code, reason, retryable }) => ({
        sequence: BigInt(message.sequence),
        messageId: message.messageId,
        code,
        reason,
        retryable,
      })),
    });
  }

  /** Both acknowledgements: taken over, as the contract has it; and loaded, for which it has no member, in a header. */
  async #status(known: Terminal, request: Element): Promise<Reply> {
    checkTerminal(known, decodeRequest("GetStatus", request, { zone: this.#settings.zone }).terminalId);
    const terminal = (await this.#parts.ledger.terminals.get(known.id)) ?? known;
    const { acceptedThrough, loadedThrough } = await this.#lanes.progress(terminal);
    const body = encodeReply("GetStatus", {
      terminalId: terminal.id,
      acceptedThrough: BigInt(acceptedThrough),
      pendingUpdates: await this.#updates.pending(terminal),
      cursor: cursorOf(this.#updates.cursor(terminal)),
      lastSeenAt: terminal.lastSeenAt === null ? null : isoOf(terminal.lastSeenAt),
      serverTime: this.#now(),
    });
    return { body, headers: { "waybill-loaded-through": String(loadedThrough) } };
  }

  #now(): string {
    return isoOf(this.#parts.runtime.clock.now());
  }
}

/** A terminal speaks for itself alone. The words do not tell whether another one of that name exists. */
function checkTerminal(terminal: Terminal, named: string | null): void {
  if (named === null || named === "") throw invalid("terminalId is required");
  if (named !== terminal.id) throw invalid("terminal is not enrolled", "UNKNOWN_TERMINAL");
}
