import { readEnvelope, writeReply } from "../../wire/soap/envelope.ts";
import type { LegacyMapping } from "../../wire/soap/mapping.ts";
import { documentsOf, operationFor, render, terminalNamed } from "../../wire/soap/mapped.ts";
import { documentTable } from "../../wire/documents.ts";
import { WaybillError } from "../../base/errors.ts";
import { SoapFault } from "../../wire/soap/faults.ts";
import { ValueRefused } from "../../wire/soap/values.ts";
import { readDocument } from "./exchange.ts";

/** What a captured request would have become. */
export type DryRun = {
  readonly operation: string;
  readonly does: string;
  /** As the request names it; null where the mapping asks for none. */
  readonly terminal: string | null;
  readonly messages: readonly {
    readonly table: string;
    readonly id: string;
    readonly search: readonly string[];
    readonly body: unknown;
  }[];
  /** The envelope as if all messages were new, and no update waited; null for a one-way operation. */
  readonly reply: string | null;
};

const CAPTURE_BYTES = 64 * 1024 * 1024;

/** Nothing is stored and nobody is asked. @throws REQUEST_INVALID with what the hub would have answered */
export function dryRun(mapping: LegacyMapping, envelope: Uint8Array, terminal: string, serverTime: string): DryRun {
  try {
    const { body } = readEnvelope(readDocument({ body: envelope, headers: {} }, null, CAPTURE_BYTES), mapping.soap);
    const found = operationFor(mapping, body);
    if (!found)
      throw new WaybillError(
        "REQUEST_INVALID",
        `{${body.namespace}}${body.name} is not an operation of ${mapping.name}`,
      );
    const { name, operation } = found;
    const named = terminalNamed(mapping, body);
    const documents = operation.does === "submit" ? documentsOf(mapping, operation, body, named ?? terminal) : [];
    const filling = { accepted: documents.length, duplicates: 0, serverTime, terminal: named ?? terminal };
    const reply =
      operation.response === undefined || operation.oneWay
        ? null
        : render(operation.response, filling, [], mapping.timeZone ?? null);
    const to = { version: mapping.soap, addressed: false, messageId: null, stamped: false };
    return {
      operation: name,
      does: operation.does,
      terminal: named,
      messages: documents.map(({ id, type, search, body: value }) => ({
        table: documentTable(type),
        id,
        search,
        body: value,
      })),
      reply: reply === null ? null : writeReply(to, `${operation.action}Response`, reply, { created: "", expires: "" }),
    };
  } catch (thrown) {
    if (thrown instanceof SoapFault || thrown instanceof ValueRefused)
      throw new WaybillError("REQUEST_INVALID", `the request would be refused: ${thrown.message}`, { cause: thrown });
    throw thrown;
  }
}
