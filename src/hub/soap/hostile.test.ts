import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ApiStation } from "../../../test/kit/api.ts";
import { basicAuth, envelope11, envelope12, openSoap, PING, RawConnection, submit } from "./soap.test-kit.ts";

/** Every kind of request that nobody should send, and exactly what it is answered. */
let hub: ApiStation;
let auth = "";
const LIMIT = 256 * 1024;
beforeAll(async () => {
  hub = await openSoap({}, { limits: { bodyBytes: LIMIT } });
  auth = basicAuth("h1", await hub.enrol("h1"));
});
afterAll(() => hub.close());

type Bytes = string | Uint8Array;
type Sent = {
  readonly body: Bytes;
  readonly binding?: "basic" | "ws";
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly raw?: (auth: string) => Bytes;
};
/** `status`, and words that the answer must have in it. */
type Case = readonly [what: string, sent: Sent, status: number, ...words: string[]];

const ACTION = "urn:waybill:terminal:v1/ITerminalSync/";
const S11 = "http://schemas.xmlsoap.org/soap/envelope/";
const S12 = "http://www.w3.org/2003/05/soap-envelope";
const basic = (body: Bytes, headers: Sent["headers"] = {}): Sent => ({ body, headers });
const ws = (body: Bytes, headers: Sent["headers"] = {}): Sent => ({ body, binding: "ws", headers });
const header = (xml: string): Sent => basic(envelope11(PING, xml));
const header12 = (xml: string): Sent => ws(envelope12(PING, xml));
const wsse = (inner: string): string =>
  `<o:Security xmlns:o="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd" xmlns:u="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd">${inner}</o:Security>`;
const ping = (text: string): Sent =>
  basic(envelope11(`<Ping xmlns="urn:waybill:terminal:v1"><text>${text}</text></Ping>`));
const utf16 = (text: string, mark: boolean): Uint8Array => Buffer.from(`${mark ? "\ufeff" : ""}${text}`, "utf16le");
const raw = (make: (auth: string) => Bytes): Sent => ({ body: "", raw: make });
const post = (credentials: string, headers: string, body: string): string =>
  `POST /soap/terminal/basic HTTP/1.1\r\nHost: h\r\nContent-Type: text/xml\r\nAuthorization: ${credentials}\r\n${headers}\r\n\r\n${body}`;
const pull = (inner: string): Sent =>
  basic(
    envelope11(
      `<PullUpdates xmlns="urn:waybill:terminal:v1" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><terminalId>h1</terminalId>${inner}</PullUpdates>`,
    ),
  );
const message = (inner: string): Sent =>
  basic(
    envelope11(
      `<SubmitMessages xmlns="urn:waybill:terminal:v1"><terminalId>h1</terminalId><messages><SyncMessage>${inner}</SyncMessage></messages></SubmitMessages>`,
    ),
  );
const acknowledge = (inner: string): Sent =>
  basic(
    envelope11(
      `<AcknowledgeUpdates xmlns="urn:waybill:terminal:v1" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><terminalId>h1</terminalId>${inner}</AcknowledgeUpdates>`,
    ),
  );
const nested = (depth: number): string => "<a>".repeat(depth) + "</a>".repeat(depth);
const CLIENT = "<faultcode>s:Client</faultcode>";
const BOMB = `<!DOCTYPE b [<!ENTITY a "${"x".repeat(1_000)}"><!ENTITY b "${"&a;".repeat(1_000)}">]>`;

const XML: readonly Case[] = [
  [
    "an external entity",
    basic(`<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>${envelope11(PING)}`),
    400,
    "REQUEST_INVALID",
  ],
  [
    "an entity over the network",
    basic(`<!DOCTYPE r SYSTEM "http://127.0.0.1:1/x.dtd">${envelope11(PING).slice(38)}`),
    400,
    "document types",
  ],
  ["a bomb of entities", basic(`${BOMB}<r>&b;</r>`), 400, "document types"],
  ["a parameter entity", basic(`<!DOCTYPE r [<!ENTITY % p "<!ENTITY q 'x'>"> %p;]><r/>`), 400, "document types"],
  ["an empty document type", basic("<!DOCTYPE r><r/>"), 400, "document types"],
  ["an entity nobody declared", ping("&lol;"), 400],
  [
    "a processing instruction before the envelope",
    basic(`<?xml-stylesheet href="x"?>${envelope11(PING).slice(38)}`),
    400,
    "processing instructions",
  ],
  ["a processing instruction inside", ping("<?php evil ?>"), 400, "processing instructions"],
  ["XML 1.1", basic(envelope11(PING).replace('version="1.0"', 'version="1.1"')), 400],
  ["a declaration of another encoding", basic(envelope11(PING).replace("utf-8", "iso-8859-1")), 400, "encoding"],
  ["no bytes at all", basic(""), 400],
  ["only white space", basic("  \r\n "), 400],
  ["no XML", basic('{"ping":1}'), 400],
  ["an envelope cut off", basic(envelope11(PING).slice(0, -20)), 400],
  ["two roots", basic(`${envelope11(PING)}<a/>`), 400],
  ["two envelopes", basic(`${envelope11(PING)}${envelope11(PING).slice(38)}`), 400],
  ["text behind the envelope", basic(`${envelope11(PING)}x`), 400],
  ["bytes of zero behind the envelope", basic(`${envelope11(PING)}\0`), 400],
  ["tags that do not match", ping("</Ping>"), 400],
  ["a prefix nobody bound", ping("<z:a/>"), 400],
  ["a doubled attribute", ping('<a b="1" b="2"/>'), 400],
  ["a doubled attribute by two prefixes", ping('<a xmlns:p="u" xmlns:q="u" p:b="1" q:b="2"/>'), 400],
  ["an attribute without quotes", ping("<a b=1/>"), 400],
  ["the end of CDATA in text", ping("]]>"), 400],
  ["a raw control character", ping("\u0001"), 400],
  ["a raw NUL", ping("\u0000"), 400],
  ["U+FFFE", ping("\ufffe"), 400],
  ["a reference to a control character", ping("&#x1;"), 500, "INVALID_REQUEST", "character"],
  ["a reference to NUL", ping("&#0;"), 500, "INVALID_REQUEST"],
  ["a reference to a surrogate", ping("&#xD800;"), 500, "INVALID_REQUEST"],
  ["a reference beyond Unicode", ping("&#x110000;"), 500, "INVALID_REQUEST"],
  ["a reference of a thousand digits", ping(`&#${"9".repeat(1_000)};`), 500, "INVALID_REQUEST"],
  ["an illegal reference in an attribute", ping('<a b="&#x1;"/>'), 400],
  [
    "an illegal reference in an attribute of the body",
    basic(envelope11('<Ping xmlns="urn:waybill:terminal:v1" x="&#x2;"/>')),
    400,
  ],
  ["a hundred levels", ping(nested(100)), 400, "nested deeper"],
  ["fifty thousand levels", ping("<a>".repeat(20_000)), 400, "nested deeper"],
  [
    "a hundred attributes",
    ping(`<a ${Array.from({ length: 100 }, (_, i) => `b${i}=""`).join(" ")}/>`),
    400,
    "attributes",
  ],
  [
    "ten thousand namespaces",
    ping(`<a ${Array.from({ length: 10_000 }, (_, i) => `xmlns:n${i}="u"`).join(" ")}/>`),
    400,
    "attributes",
  ],
  [
    "UTF-8 that is none",
    basic(Buffer.concat([Buffer.from(envelope11(PING).slice(0, -40)), Buffer.from([0xc3, 0x28])])),
    400,
    "UTF-8",
  ],
  [
    "an overlong slash",
    basic(Buffer.concat([Buffer.from("<a>"), Buffer.from([0xc0, 0xaf]), Buffer.from("</a>")])),
    400,
    "UTF-8",
  ],
  [
    "half of a surrogate pair in UTF-8",
    basic(Buffer.concat([Buffer.from("<a>"), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from("</a>")])),
    400,
    "UTF-8",
  ],
  ["half of a surrogate pair in UTF-16", basic(utf16("<a>\ud800</a>", true)), 400],
  ["UTF-16 cut in the middle of a letter", basic(utf16(envelope11(PING), true).subarray(0, 101)), 400],
  ["UTF-32", basic(Buffer.from([0xff, 0xfe, 0, 0, 0x3c, 0, 0, 0])), 400],
  ["UTF-7", basic("+ADw-a/+AD4-", { "content-type": "text/xml; charset=utf-7" }), 415],
];
const HTTP: readonly Case[] = [
  ["JSON's media type", basic(envelope11(PING), { "content-type": "application/json" }), 415],
  ["no media type", basic(envelope11(PING), { "content-type": "application/octet-stream" }), 415],
  [
    "MTOM",
    basic("--x", { "content-type": 'multipart/related; type="application/xop+xml"; boundary=x' }),
    415,
    'messageEncoding=\\"Text\\"',
  ],
  ["binary WCF", ws("x", { "content-type": "application/soap+msbin1" }), 415, "textMessageEncoding"],
  ["SOAP 1.2's type at the 1.1 address", basic(envelope12(PING), { "content-type": "application/soap+xml" }), 415],
  ["SOAP 1.1's type at the 1.2 address", ws(envelope11(PING), { "content-type": "text/xml" }), 415],
  ["a doubled charset", basic(envelope11(PING), { "content-type": "text/xml; charset=utf-8; charset=utf-16" }), 415],
  ["an encoding we do not speak", basic(envelope11(PING), { "content-encoding": "br" }), 415],
  ["gzip that is none", basic(envelope11(PING), { "content-encoding": "gzip" }), 400],
  ["gzip cut off", basic(gzipSync(envelope11(PING)).subarray(0, 40), { "content-encoding": "gzip" }), 400],
  ["a bomb in gzip", basic(gzipSync(Buffer.alloc(64 * LIMIT, 0x20)), { "content-encoding": "gzip" }), 413, "TOO_LARGE"],
  ["a length above the limit", raw((a) => post(a, `Content-Length: ${LIMIT + 1}`, "")), 413],
  ["a huge length", raw((a) => post(a, "Content-Length: 9007199254740991", "")), 413],
  [
    "a body in pieces above the limit",
    raw((a) =>
      post(a, "Transfer-Encoding: chunked", `${(LIMIT * 2).toString(16)}\r\n${" ".repeat(LIMIT * 2)}\r\n0\r\n\r\n`),
    ),
    413,
  ],
  ["a negative length", raw((a) => post(a, "Content-Length: -1", "")), 400],
  ["two lengths", raw((a) => post(a, "Content-Length: 5\r\nContent-Length: 6", "<a/>xx")), 400],
  [
    "a length and pieces (smuggling)",
    raw((a) => post(a, "Content-Length: 4\r\nTransfer-Encoding: chunked", "0\r\n\r\nGET / HTTP/1.1\r\n\r\n")),
    400,
  ],
  ["pieces that are named twice", raw((a) => post(a, "Transfer-Encoding: chunked, chunked", "0\r\n\r\n")), 400],
  ["a piece whose size is no number", raw((a) => post(a, "Transfer-Encoding: chunked", "zz\r\n")), 400],
  ["a header cut by a bare line feed", raw((a) => post(a, "X-A: b\nX-C: d\r\nContent-Length: 0", "")), 400],
  ["a header with NUL", raw((a) => post(a, "X-A: \0\r\nContent-Length: 0", "")), 400],
  ["headers without end", raw((a) => post(a, `X-A: ${"x".repeat(40_000)}\r\nContent-Length: 0`, "")), 400],
  ["no HTTP", raw(() => "HELO mail\r\n\r\n"), 400],
  ["TLS at a port without", raw(() => Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00])), 400],
  [
    "GET without asking for the WSDL",
    raw((a) => `GET /soap/terminal/basic HTTP/1.1\r\nHost: h\r\nAuthorization: ${a}\r\n\r\n`),
    405,
    "allow: POST",
  ],
  ["DELETE", raw((a) => `DELETE /soap/terminal/ws HTTP/1.1\r\nHost: h\r\nAuthorization: ${a}\r\n\r\n`), 405],
  [
    "an address that is not there",
    raw((a) => `POST /soap/terminal/other HTTP/1.1\r\nHost: h\r\nAuthorization: ${a}\r\nContent-Length: 0\r\n\r\n`),
    404,
  ],
  [
    "an address with dots",
    raw(
      (a) =>
        `POST /soap/terminal/../../v1/messages HTTP/1.1\r\nHost: h\r\nAuthorization: ${a}\r\nContent-Length: 0\r\n\r\n`,
    ),
    404,
  ],
  [
    "the name of what objects inherit",
    raw(
      (a) => `POST /soap/terminal/constructor HTTP/1.1\r\nHost: h\r\nAuthorization: ${a}\r\nContent-Length: 0\r\n\r\n`,
    ),
    404,
  ],
  [
    "a mapping that is not there",
    raw((a) => `POST /soap/legacy/nobody HTTP/1.1\r\nHost: h\r\nAuthorization: ${a}\r\nContent-Length: 0\r\n\r\n`),
    404,
  ],
];
const SIGN_IN: readonly Case[] = [
  ["nobody", basic(envelope11(PING), { authorization: "" }), 401, 'www-authenticate: Basic realm="waybill"'],
  ["a wrong key", basic(envelope11(PING), { authorization: basicAuth("h1", "wrong") }), 401],
  ["no key", basic(envelope11(PING), { authorization: basicAuth("h1", "") }), 401],
  ["Basic that is no base64", basic(envelope11(PING), { authorization: "Basic ***" }), 401],
  [
    "Basic without a colon",
    basic(envelope11(PING), { authorization: `Basic ${Buffer.from("h1").toString("base64")}` }),
    401,
  ],
  ["a key of ten kilobytes", basic(envelope11(PING), { authorization: basicAuth("h1", "x".repeat(7_000)) }), 401],
  [
    "another terminal's name with this key",
    {
      body: "",
      raw: (a) =>
        post(
          basicAuth("h2", Buffer.from(a.slice(6), "base64").toString().slice(3)),
          `Content-Length: ${envelope11(PING).length}`,
          envelope11(PING),
        ),
    },
    401,
  ],
  ["an agent's Bearer", basic(envelope11(PING), { authorization: "Bearer x" }), 401],
  [
    "a token of nobody",
    basic(
      envelope11(
        PING,
        wsse("<o:UsernameToken><o:Username>h1</o:Username><o:Password>wrong</o:Password></o:UsernameToken>"),
      ),
      { authorization: "" },
    ),
    500,
    "o:FailedAuthentication",
  ],
  [
    "a token without password",
    basic(envelope11(PING, wsse("<o:UsernameToken><o:Username>h1</o:Username></o:UsernameToken>")), {
      authorization: "",
    }),
    500,
    "o:FailedAuthentication",
  ],
  [
    "a digest",
    header(
      wsse(
        '<o:UsernameToken><o:Username>h1</o:Username><o:Password Type="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest">x</o:Password></o:UsernameToken>',
      ),
    ),
    500,
    "o:UnsupportedSecurityToken",
    "PasswordText",
  ],
  [
    "a certificate",
    header(wsse("<o:BinarySecurityToken>x</o:BinarySecurityToken>")),
    500,
    "o:UnsupportedSecurityToken",
    "TransportWithMessageCredential",
  ],
  ["two tokens", header(wsse("<o:UsernameToken/><o:UsernameToken/>")), 500, "o:InvalidSecurity"],
  ["two Security headers", header(wsse("") + wsse("")), 500, "o:InvalidSecurity"],
  [
    "a spoofed terminalId",
    basic(envelope11('<GetStatus xmlns="urn:waybill:terminal:v1"><terminalId>h2</terminalId></GetStatus>')),
    500,
    "UNKNOWN_TERMINAL",
  ],
  [
    "a terminalId that only looks the same",
    basic(envelope11('<GetStatus xmlns="urn:waybill:terminal:v1"><terminalId>h1 </terminalId></GetStatus>')),
    500,
    "UNKNOWN_TERMINAL",
  ],
  ["no terminalId", basic(envelope11('<GetStatus xmlns="urn:waybill:terminal:v1"/>')), 500, "terminalId is required"],
];
const SOAP: readonly Case[] = [
  ["SOAP 1.2 in a 1.1 envelope's place", basic(envelope12(PING)), 500, "<faultcode>s:VersionMismatch</faultcode>"],
  ["SOAP 1.1 in a 1.2 envelope's place", ws(envelope11(PING)), 500, "<s:Value>s:VersionMismatch</s:Value>"],
  [
    "an envelope of no version",
    basic(`<s:Envelope xmlns:s="urn:x"><s:Body>${PING}</s:Body></s:Envelope>`),
    500,
    "s:VersionMismatch",
  ],
  ["another root", basic(PING), 500, CLIENT],
  ["no body", basic(`<s:Envelope xmlns:s="${S11}"/>`), 500, CLIENT],
  [
    "two bodies",
    basic(`<s:Envelope xmlns:s="${S11}"><s:Body>${PING}</s:Body><s:Body>${PING}</s:Body></s:Envelope>`),
    500,
    CLIENT,
  ],
  [
    "two headers",
    basic(`<s:Envelope xmlns:s="${S11}"><s:Header/><s:Header/><s:Body>${PING}</s:Body></s:Envelope>`),
    500,
    CLIENT,
  ],
  [
    "the header behind the body",
    basic(`<s:Envelope xmlns:s="${S11}"><s:Body>${PING}</s:Body><s:Header/></s:Envelope>`),
    500,
    CLIENT,
  ],
  [
    "something behind the body",
    basic(`<s:Envelope xmlns:s="${S11}"><s:Body>${PING}</s:Body><x/></s:Envelope>`),
    500,
    CLIENT,
  ],
  ["an empty body", basic(envelope11("")), 500, "exactly one element"],
  ["two operations in a body", basic(envelope11(PING + PING)), 500, "exactly one element"],
  ["text in the body", basic(envelope11(`x${PING}`)), 500, "text of its own"],
  ["an unknown operation", basic(envelope11('<Drop xmlns="urn:waybill:terminal:v1"/>')), 500, "a:ActionNotSupported"],
  [
    "an operation of objects' inheritance",
    basic(envelope11('<constructor xmlns="urn:waybill:terminal:v1"/>')),
    500,
    "a:ActionNotSupported",
  ],
  ["an operation of another namespace", basic(envelope11('<Ping xmlns="urn:other"/>')), 500, "a:ActionNotSupported"],
  ["an operation in no namespace", basic(envelope11("<Ping/>")), 500, "a:ActionNotSupported"],
  [
    "the action of another operation",
    basic(envelope11(PING), { soapaction: `"${ACTION}GetStatus"` }),
    500,
    "a:ActionNotSupported",
  ],
  [
    "two SOAPAction headers",
    basic(envelope11(PING), { soapaction: [`"${ACTION}Ping"`, `"${ACTION}GetStatus"`] }),
    500,
    "a:ActionNotSupported",
  ],
  [
    "actions that do not agree",
    ws(envelope12(PING, `<a:Action>${ACTION}Ping</a:Action>`), {
      "content-type": `application/soap+xml; action="${ACTION}GetStatus"`,
    }),
    500,
    "a:ActionNotSupported",
  ],
  [
    "a doubled Action",
    header12(`<a:Action>${ACTION}Ping</a:Action><a:Action>${ACTION}Ping</a:Action>`),
    500,
    "a:InvalidAddressingHeader",
  ],
  [
    "a doubled MessageID",
    header12("<a:MessageID>a</a:MessageID><a:MessageID>b</a:MessageID>"),
    500,
    "a:InvalidAddressingHeader",
  ],
  ["a doubled To", header12("<a:To>a</a:To><a:To>b</a:To>"), 500, "a:InvalidAddressingHeader"],
  [
    "a reply to somewhere else",
    header12("<a:ReplyTo><a:Address>http://127.0.0.1:1/steal</a:Address></a:ReplyTo>"),
    500,
    "a:InvalidAddressingHeader",
  ],
  [
    "a fault to somewhere else",
    header12("<a:FaultTo><a:Address>http://127.0.0.1:1/steal</a:Address></a:FaultTo>"),
    500,
    "a:InvalidAddressingHeader",
  ],
  ["a ReplyTo without address", header12("<a:ReplyTo/>"), 500, "a:InvalidAddressingHeader"],
  ["a MessageID that XML cannot say", header12("<a:MessageID>&#x1;</a:MessageID>"), 500, "a:InvalidAddressingHeader"],
  [
    "a header that must be understood",
    header(`<x xmlns="urn:x" xmlns:s="${S11}" s:mustUnderstand="1"/>`),
    500,
    "<faultcode>s:MustUnderstand</faultcode>",
  ],
  [
    "a header that must be understood, in words",
    header(`<x xmlns="urn:x" xmlns:s="${S11}" s:mustUnderstand="true"/>`),
    500,
    "s:MustUnderstand",
  ],
  [
    "a header that must be understood, in SOAP 1.2",
    header12(`<x xmlns="urn:x" xmlns:s="${S12}" s:mustUnderstand="1"/>`),
    500,
    's:NotUnderstood qname="h:x" xmlns:h="urn:x"',
  ],
  [
    "a reliable session",
    ws(envelope12('<CreateSequence xmlns="http://schemas.xmlsoap.org/ws/2005/02/rm"/>')),
    500,
    "reliableSession",
  ],
  [
    "a reliable session of 1.1",
    ws(envelope12('<CreateSequence xmlns="http://docs.oasis-open.org/ws-rx/wsrm/200702"/>')),
    500,
    "reliableSession",
  ],
  [
    "message security",
    ws(envelope12('<RequestSecurityToken xmlns="http://schemas.xmlsoap.org/ws/2005/02/trust"/>')),
    500,
    "security mode",
  ],
  [
    "an encrypted body",
    basic(envelope11('<EncryptedData xmlns="http://www.w3.org/2001/04/xmlenc#"/>')),
    500,
    "security mode",
  ],
  [
    "the addressing of 2004",
    header('<Action xmlns="http://schemas.xmlsoap.org/ws/2004/08/addressing">x</Action>'),
    500,
    "WS-Addressing 1.0",
  ],
];
const VALUES: readonly Case[] = [
  ["no messages", basic(envelope11(submit("h1", []))), 500, "messages is required"],
  ["a number that is none", message("<sequence>one</sequence>"), 500, "messages[0].sequence"],
  ["a number of zero", message("<sequence>0</sequence>"), 500, "messages[0].sequence"],
  ["a negative number", message("<sequence>-1</sequence>"), 500, "messages[0].sequence"],
  ["a number beyond 2^53", message("<sequence>9007199254740993</sequence>"), 500, "messages[0].sequence"],
  ["a number beyond 2^63", message("<sequence>9223372036854775808</sequence>"), 500, "messages[0].sequence"],
  ["a number with a fraction", message("<sequence>1.0</sequence>"), 500, "messages[0].sequence"],
  ["a number twice", message("<sequence>1</sequence><sequence>2</sequence>"), 500, "comes twice"],
  [
    "a number that is nil",
    message('<sequence xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"/>'),
    500,
    "must not be nil",
  ],
  ["no number", message(""), 500, "messages[0].sequence is missing"],
  [
    "two thousand messages",
    basic(envelope11(submit("h1", []).replace("<messages>", `<messages>${"<SyncMessage/>".repeat(2_000)}`))),
    500,
    "TOO_LARGE",
  ],
  ["an element inside text", ping("<b/>"), 500, "elements inside"],
  [
    "a text twice",
    basic(envelope11('<Ping xmlns="urn:waybill:terminal:v1"><text>a</text><text>b</text></Ping>')),
    500,
    "comes twice",
  ],
  ["a bad cursor", pull("<afterCursor>DROP TABLE</afterCursor>"), 500, "INVALID_CURSOR"],
  ["a cursor beyond all numbers", pull(`<afterCursor>${"9".repeat(40)}</afterCursor>`), 500, "INVALID_CURSOR"],
  ["a negative cursor", pull("<afterCursor>-1</afterCursor>"), 500, "INVALID_CURSOR"],
  ["a count beyond 32 bits", pull("<maxCount>2147483648</maxCount>"), 500, "maxCount"],
  ["a count that is empty", pull("<maxCount/>"), 500, "maxCount"],
  ["no results", acknowledge("<batchId>b0-0</batchId>"), 500, "results is required"],
  ["a batch nobody gave", acknowledge("<batchId>x</batchId><results/>"), 500, "INVALID_BATCH"],
  [
    "a status that is none",
    acknowledge(
      "<batchId>b0-0</batchId><results><UpdateResult><updateId>1</updateId><status>applied</status></UpdateResult></results>",
    ),
    500,
    "must be one of",
  ],
];
const ALL = { XML, HTTP, "sign-in": SIGN_IN, SOAP, values: VALUES };

const bytesOf = ({ body, binding = "basic", headers = {}, raw: rawOf }: Sent): Bytes => {
  if (rawOf) return rawOf(auth);
  const given: Record<string, string | readonly string[]> = {
    "content-type": binding === "basic" ? "text/xml; charset=utf-8" : "application/soap+xml; charset=utf-8",
    authorization: auth,
    ...headers,
  };
  if (typeof body !== "string" && headers["content-type"] === undefined)
    given["content-type"] = binding === "basic" ? "text/xml" : "application/soap+xml";
  const lines = Object.entries(given).flatMap(([name, value]) =>
    (typeof value === "string" ? [value] : value).filter((each) => each !== "").map((each) => `${name}: ${each}\r\n`),
  );
  const payload = Buffer.from(body);
  return Buffer.concat([
    Buffer.from(
      `POST /soap/terminal/${binding} HTTP/1.1\r\nHost: h\r\n${lines.join("")}Content-Length: ${payload.length}\r\n\r\n`,
    ),
    payload,
  ]);
};
async function ask(sent: Sent): Promise<{ readonly status: number; readonly text: string }> {
  const connection = new RawConnection(hub.port);
  connection.send(bytesOf(sent));
  const answer = await connection.answer();
  connection.close();
  return { status: answer?.status ?? 0, text: `${answer?.raw ?? ""}\n\n${answer?.body ?? ""}` };
}

describe.each(Object.entries<readonly Case[]>(ALL))("%s", (_, cases) => {
  test.each(cases.map(([what, sent, status, ...words]) => [what, sent, status, words] as const))(
    "%s",
    async (_what, sent, status, words) => {
      const answer = await ask(sent);
      expect(answer, answer.text).toMatchObject({ status });
      for (const word of words) expect(answer.text).toContain(word);
      expect(answer.text, "no trace leaves the hub").not.toMatch(/\.ts:\d|node_modules| at .*\(/);
      expect(await ask(basic(envelope11(PING)))).toMatchObject({ status: 200 });
    },
  );
});

test(
  "there are at least a hundred of them, and round after round of them leaves memory as it was",
  { timeout: 60_000 },
  async () => {
    const all = Object.values<readonly Case[]>(ALL).flatMap((cases) => cases);
    expect(all.length).toBeGreaterThanOrEqual(100);
    const heavy = new Set([
      "a body in pieces above the limit",
      "a bomb in gzip",
      "headers without end",
      "ten thousand namespaces",
      "fifty thousand levels",
    ]);
    const round = async (): Promise<void> => {
      const queue = all.filter(([what]) => !heavy.has(what));
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          for (let next = queue.pop(); next; next = queue.pop()) await ask(next[1]);
        }),
      );
    };
    for (let i = 0; i < 3; i++) await round();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 8; i++) await round();
    expect((process.memoryUsage().heapUsed - before) / 2 ** 20).toBeLessThan(64);
    expect(await ask(basic(envelope11(PING)))).toMatchObject({ status: 200 });
  },
);
