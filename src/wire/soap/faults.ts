import type { SyncFault } from "./terminal-sync.ts";

/**
 * What a caller may be told instead of a result, whatever the SOAP version. Only `typed` ones are of the contract: a client
 * catches them as FaultException<SyncFault>; the others belong to SOAP and WS-Addressing themselves.
 */
export type Fault =
  | { readonly kind: "typed"; readonly blame: "sender" | "receiver"; readonly detail: SyncFault }
  /** The old contract's own fault, by a mapping. `detail` is XML, `action` its WS-Addressing action. */
  | {
      readonly kind: "mapped";
      readonly blame: "sender" | "receiver";
      readonly text: string;
      readonly detail: string;
      readonly action: string;
    }
  | {
      readonly kind: "must-understand";
      readonly headers: readonly { readonly namespace: string; readonly name: string }[];
    }
  | { readonly kind: "version-mismatch" }
  | {
      readonly kind: "addressing";
      readonly subcode: "ActionNotSupported" | "InvalidAddressingHeader" | "MessageAddressingHeaderRequired";
      readonly text: string;
    }
  | {
      readonly kind: "security";
      readonly subcode: "FailedAuthentication" | "InvalidSecurity" | "UnsupportedSecurityToken";
      readonly text: string;
    }
  /** The request is no envelope of ours, or asks for a protocol that is not spoken here. */
  | { readonly kind: "sender"; readonly text: string }
  | { readonly kind: "internal" };

export class SoapFault extends Error {
  override readonly name = "SoapFault";
  readonly fault: Fault;
  constructor(fault: Fault) {
    super(textOf(fault));
    this.fault = fault;
  }
}

const INTERNAL_TEXT = "The server was unable to process the request due to an internal error.";

/** For people. Of an internal fault always the same words: a trace could hold anything. */
export function textOf(fault: Fault): string {
  switch (fault.kind) {
    case "typed":
      return fault.detail.message ?? fault.detail.code ?? "";
    case "must-understand":
      return `These headers must be understood and are not: ${fault.headers.map(({ namespace, name }) => `${name} of ${namespace}`).join(", ")}.`;
    case "version-mismatch":
      return "The envelope is not of the SOAP version that this address speaks: /basic takes SOAP 1.1, /ws takes SOAP 1.2.";
    case "internal":
      return INTERNAL_TEXT;
    case "mapped":
    case "addressing":
    case "security":
    case "sender":
      return fault.text;
  }
}

/** A short name for logs and metrics. */
export const nameOfFault = (fault: Fault): string =>
  fault.kind === "typed"
    ? (fault.detail.code ?? "typed")
    : fault.kind === "addressing" || fault.kind === "security"
      ? fault.subcode
      : fault.kind;

/** The caller must change something. */
export const invalid = (message: string, code = "INVALID_REQUEST"): SoapFault =>
  new SoapFault({ kind: "typed", blame: "sender", detail: { code, message, retryable: false } });
/** The same later, unchanged. */
export const later = (code: string, message: string, retryAfterSeconds: number): SoapFault =>
  new SoapFault({ kind: "typed", blame: "receiver", detail: { code, message, retryable: true, retryAfterSeconds } });
