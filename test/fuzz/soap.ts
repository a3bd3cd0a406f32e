import { envelope11, envelope12, PING, submit } from "../../src/hub/soap/soap.test-kit.ts";
import type { Plain } from "./http.ts";

/** Good requests of a SOAP terminal, both bindings; mutations start from these. */
export function soapRequests(terminal: string, key: string): readonly (() => Plain)[] {
  const within = (name: string, inner: string): string =>
    `<${name} xmlns="urn:waybill:terminal:v1" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><terminalId>${terminal}</terminalId>${inner}</${name}>`;
  const calls = [
    PING,
    submit(terminal, [{ sequence: 1 }, { sequence: 2 }]),
    submit(terminal, [{ sequence: 3, payload: null }]),
    within("PullUpdates", "<cursor>0</cursor><maximum>5</maximum>"),
    within("AcknowledgeUpdates", "<cursor>0</cursor>"),
  ];
  return calls.flatMap((call) => [
    () => soap("basic", "text/xml; charset=utf-8", envelope11(call), terminal, key),
    () => soap("ws", "application/soap+xml; charset=utf-8", envelope12(call), terminal, key),
  ]);
}

const soap = (binding: string, type: string, body: string, terminal: string, key: string): Plain => ({
  method: "POST",
  path: `/soap/terminal/${binding}`,
  query: "",
  headers: { "content-type": type, authorization: `Basic ${Buffer.from(`${terminal}:${key}`).toString("base64")}` },
  body: Buffer.from(body),
});
