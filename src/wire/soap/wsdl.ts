import {
  actionOf,
  CONTRACT_NAME,
  OPERATION_NAMES,
  OPERATIONS,
  OUTCOMES,
  TYPES,
  type Member,
  type TypeName,
} from "./terminal-sync.ts";
import { NS } from "./namespaces.ts";
import { escapeAttribute } from "./xml.ts";

/** How the WSDL tells clients to sign in: by policy, which svcutil turns into the binding's security settings. */
export type WsdlSecurity = "none" | "http-basic" | "usernametoken";
export const WSDL_SECURITIES = ["none", "http-basic", "usernametoken"] as const satisfies readonly WsdlSecurity[];

const BINDINGS = { basic: `BasicHttpBinding_${CONTRACT_NAME}`, ws: `WSHttpBinding_${CONTRACT_NAME}` } as const;
const SP = "http://schemas.xmlsoap.org/ws/2005/07/securitypolicy";

/**
 * The whole contract as one WSDL document, from the table that decodes and encodes. `?wsdl` and `?singleWsdl` are the same:
 * svcutil, "Add service reference", zeep and node-soap all read it without another request.
 * @param base address without a slash at its end, as terminals reach it: `https://hub.example/soap/terminal`
 */
export function writeWsdl(base: string, security: WsdlSecurity): string {
  const bindings = (["basic", "ws"] as const).map((binding) => writeBinding(binding, security));
  const policies = (["basic", "ws"] as const).map((binding) => writePolicy(binding, security));
  return [
    `<?xml version="1.0" encoding="utf-8"?>`,
    `<wsdl:definitions name="TerminalSyncService" targetNamespace="${NS.contract}" xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:soap12="http://schemas.xmlsoap.org/wsdl/soap12/" xmlns:wsaw="http://www.w3.org/2006/05/addressing/wsdl" xmlns:wsam="http://www.w3.org/2007/05/addressing/metadata" xmlns:wsa10="${NS.addressing}" xmlns:wsp="http://schemas.xmlsoap.org/ws/2004/09/policy" xmlns:wsu="${NS.utility}" xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:tns="${NS.contract}">`,
    ...policies,
    `<wsdl:types>${writeSchema()}</wsdl:types>`,
    ...OPERATION_NAMES.flatMap(writeMessages),
    `<wsdl:portType name="${CONTRACT_NAME}">${OPERATION_NAMES.map(writePortOperation).join("\n")}</wsdl:portType>`,
    ...bindings,
    writeService(escapeAttribute(base)),
    "</wsdl:definitions>",
    "",
  ].join("\n");
}

function writeSchema(): string {
  const elements = OPERATION_NAMES.flatMap((name) => {
    const result: Member = { name: `${name}Result`, type: OPERATIONS[name].gives, optional: true, nillable: true };
    return [writeWrapper(name, OPERATIONS[name].takes), writeWrapper(`${name}Response`, [result])];
  });
  const types = (Object.keys(TYPES) as TypeName[]).flatMap((name) =>
    name === "UpdateResult" ? [writeOutcome(), writeType(name)] : [writeType(name)],
  );
  return `<xs:schema elementFormDefault="qualified" targetNamespace="${NS.contract}">\n${[...elements, ...types].join("\n")}\n</xs:schema>`;
}

const writeWrapper = (name: string, members: readonly Member[]): string =>
  `<xs:element name="${name}"><xs:complexType>${writeSequence(members)}</xs:complexType></xs:element>`;
const writeGlobal = (name: string): string => `<xs:element name="${name}" nillable="true" type="tns:${name}"/>`;
const writeSequence = (members: readonly Member[]): string =>
  `<xs:sequence>${members.map(writeMember).join("")}</xs:sequence>`;

function writeMember({ name, type, optional, nillable }: Member): string {
  const own = Object.hasOwn(TYPES, type) || type === "UpdateOutcome";
  return `<xs:element${optional ? ' minOccurs="0"' : ""} name="${name}"${nillable ? ' nillable="true"' : ""} type="${own ? "tns" : "xs"}:${type}"/>`;
}

function writeType(name: TypeName): string {
  const shape = TYPES[name];
  const inner =
    "members" in shape
      ? writeSequence(shape.members)
      : `<xs:sequence><xs:element minOccurs="0" maxOccurs="unbounded" name="${shape.listOf}" nillable="true" type="tns:${shape.listOf}"/></xs:sequence>`;
  return `<xs:complexType name="${name}">${inner}</xs:complexType>${writeGlobal(name)}`;
}

const writeOutcome = (): string =>
  `<xs:simpleType name="UpdateOutcome"><xs:restriction base="xs:string">${OUTCOMES.map((value) => `<xs:enumeration value="${value}"/>`).join("")}</xs:restriction></xs:simpleType>${writeGlobal("UpdateOutcome")}`;

const MESSAGES = [
  { kind: "input", suffix: "InputMessage", part: "parameters", element: (name: string) => name, action: "" },
  {
    kind: "output",
    suffix: "OutputMessage",
    part: "parameters",
    element: (name: string) => `${name}Response`,
    action: "Response",
  },
  {
    kind: "fault",
    suffix: "SyncFaultFault_FaultMessage",
    part: "detail",
    element: () => "SyncFault",
    action: "SyncFaultFault",
  },
] as const;

const writeMessages = (name: string): readonly string[] =>
  MESSAGES.map(
    ({ suffix, part, element }) =>
      `<wsdl:message name="${CONTRACT_NAME}_${name}_${suffix}"><wsdl:part name="${part}" element="tns:${element(name)}"/></wsdl:message>`,
  );

function writePortOperation(name: string): string {
  const parts = MESSAGES.map(({ kind, suffix, action }) => {
    const uri = actionOf(`${name}${action}`);
    return `<wsdl:${kind} wsaw:Action="${uri}" wsam:Action="${uri}"${kind === "fault" ? ' name="SyncFaultFault"' : ""} message="tns:${CONTRACT_NAME}_${name}_${suffix}"/>`;
  });
  return `<wsdl:operation name="${name}">${parts.join("")}</wsdl:operation>`;
}

function writeBinding(binding: keyof typeof BINDINGS, security: WsdlSecurity): string {
  const soap = binding === "basic" ? "soap" : "soap12";
  const literal = `<${soap}:body use="literal"/>`;
  const operations = OPERATION_NAMES.map(
    (name) =>
      `<wsdl:operation name="${name}"><${soap}:operation soapAction="${actionOf(name)}" style="document"/><wsdl:input>${literal}</wsdl:input><wsdl:output>${literal}</wsdl:output><wsdl:fault name="SyncFaultFault"><${soap}:fault name="SyncFaultFault" use="literal"/></wsdl:fault></wsdl:operation>`,
  );
  const policy =
    writePolicy(binding, security) === "" ? "" : `<wsp:PolicyReference URI="#${BINDINGS[binding]}_policy"/>`;
  return `<wsdl:binding name="${BINDINGS[binding]}" type="tns:${CONTRACT_NAME}">${policy}<${soap}:binding transport="http://schemas.xmlsoap.org/soap/http"/>\n${operations.join("\n")}\n</wsdl:binding>`;
}

const writeService = (base: string): string =>
  `<wsdl:service name="TerminalSyncService"><wsdl:port name="${BINDINGS.basic}" binding="tns:${BINDINGS.basic}"><soap:address location="${base}/basic"/></wsdl:port><wsdl:port name="${BINDINGS.ws}" binding="tns:${BINDINGS.ws}"><soap12:address location="${base}/ws"/><wsa10:EndpointReference><wsa10:Address>${base}/ws</wsa10:Address></wsa10:EndpointReference></wsdl:port></wsdl:service>`;

/** Empty where there is nothing to say: a SOAP 1.1 binding without sign-in. */
function writePolicy(binding: keyof typeof BINDINGS, security: WsdlSecurity): string {
  const addressing = binding === "ws" ? "<wsaw:UsingAddressing/>" : "";
  const assertions = `${writeSecurity(binding, security)}${addressing}`;
  return assertions === ""
    ? ""
    : `<wsp:Policy wsu:Id="${BINDINGS[binding]}_policy"><wsp:ExactlyOne><wsp:All>${assertions}</wsp:All></wsp:ExactlyOne></wsp:Policy>`;
}

const transport = (layout: "Strict" | "Lax", timestamp: string): string =>
  `<sp:TransportBinding xmlns:sp="${SP}"><wsp:Policy><sp:TransportToken><wsp:Policy><sp:HttpsToken RequireClientCertificate="false"/></wsp:Policy></sp:TransportToken><sp:AlgorithmSuite><wsp:Policy><sp:Basic256/></wsp:Policy></sp:AlgorithmSuite><sp:Layout><wsp:Policy><sp:${layout}/></wsp:Policy></sp:Layout>${timestamp}</wsp:Policy></sp:TransportBinding>`;
const HTTP_BASIC = `<http:BasicAuthentication xmlns:http="http://schemas.microsoft.com/ws/06/2004/policy/http"/>${transport("Strict", "")}`;
const USERNAME_TOKEN = `<sp:SignedSupportingTokens xmlns:sp="${SP}"><wsp:Policy><sp:UsernameToken sp:IncludeToken="${SP}/IncludeToken/AlwaysToRecipient"><wsp:Policy><sp:WssUsernameToken10/></wsp:Policy></sp:UsernameToken></wsp:Policy></sp:SignedSupportingTokens>`;
const WSS10 = `<sp:Wss10 xmlns:sp="${SP}"><wsp:Policy><sp:MustSupportRefKeyIdentifier/><sp:MustSupportRefIssuerSerial/></wsp:Policy></sp:Wss10>`;
const WSS11 = `<sp:Wss11 xmlns:sp="${SP}"><wsp:Policy/></sp:Wss11><sp:Trust10 xmlns:sp="${SP}"><wsp:Policy><sp:MustSupportIssuedTokens/><sp:RequireClientEntropy/><sp:RequireServerEntropy/></wsp:Policy></sp:Trust10>`;

function writeSecurity(binding: keyof typeof BINDINGS, security: WsdlSecurity): string {
  if (security === "none") return "";
  if (security === "http-basic") return HTTP_BASIC;
  // These are the words WCF itself uses for TransportWithMessageCredential, which differ by binding.
  const stamped = transport(binding === "basic" ? "Lax" : "Strict", "<sp:IncludeTimestamp/>");
  return `${stamped}${USERNAME_TOKEN}${binding === "basic" ? WSS10 : WSS11}`;
}
