import { NS } from "./namespaces.ts";

/**
 * The contract `urn:waybill:terminal:v1` as one table. Requests are decoded, replies encoded and the WSDL written from it,
 * so that the three cannot say different things. Members stand in the order in which DataContract writes and insists on them.
 */
export type Scalar = "string" | "long" | "int" | "boolean" | "dateTime" | "base64Binary" | "UpdateOutcome";
export type Member = {
  readonly name: string;
  readonly type: Scalar | TypeName;
  /** `minOccurs="0"`: may be left out. */
  readonly optional?: true;
  readonly nillable?: true;
};

export const OUTCOMES = ["Applied", "Failed", "Skipped"] as const;

type Shape = { readonly members: readonly Member[] } | { readonly listOf: TypeName };
type TypeName =
  | "SyncMessage"
  | "ArrayOfSyncMessage"
  | "Rejection"
  | "ArrayOfRejection"
  | "SubmitResult"
  | "Update"
  | "ArrayOfUpdate"
  | "UpdateBatch"
  | "UpdateResult"
  | "ArrayOfUpdateResult"
  | "AckResult"
  | "TerminalStatus"
  | "PingReply"
  | "SyncFault";

const text = { type: "string", nillable: true } as const;
const optionalText = { ...text, optional: true } as const;

// oxfmt-ignore
export const TYPES = {
  SyncMessage: { members: [
    { name: "sequence", type: "long" },
    { name: "messageId", ...text },
    { name: "entity", ...text },
    { name: "operation", ...text },
    { name: "key", ...text },
    { name: "occurredAt", type: "dateTime" },
    { name: "contentType", ...optionalText },
    { name: "payload", ...optionalText },
    { name: "payloadBytes", type: "base64Binary", nillable: true, optional: true },
    { name: "baseVersion", type: "long", nillable: true, optional: true },
    { name: "traceParent", ...optionalText },
  ] },
  ArrayOfSyncMessage: { listOf: "SyncMessage" },
  Rejection: { members: [
    { name: "sequence", type: "long" },
    { name: "messageId", ...optionalText },
    { name: "code", ...text },
    { name: "reason", ...optionalText },
    { name: "retryable", type: "boolean" },
  ] },
  ArrayOfRejection: { listOf: "Rejection" },
  SubmitResult: { members: [
    { name: "acceptedThrough", type: "long" },
    { name: "accepted", type: "int" },
    { name: "duplicates", type: "int" },
    { name: "rejected", type: "ArrayOfRejection", nillable: true, optional: true },
  ] },
  Update: { members: [
    { name: "updateId", ...text },
    { name: "entity", ...text },
    { name: "operation", ...text },
    { name: "key", ...text },
    { name: "version", type: "long" },
    { name: "occurredAt", type: "dateTime" },
    { name: "contentType", ...optionalText },
    { name: "payload", ...optionalText },
    { name: "payloadBytes", type: "base64Binary", nillable: true, optional: true },
    { name: "traceParent", ...optionalText },
  ] },
  ArrayOfUpdate: { listOf: "Update" },
  UpdateBatch: { members: [
    { name: "batchId", ...optionalText },
    { name: "updates", type: "ArrayOfUpdate", nillable: true, optional: true },
    { name: "nextCursor", ...optionalText },
    { name: "hasMore", type: "boolean" },
  ] },
  UpdateResult: { members: [
    { name: "updateId", ...text },
    { name: "status", type: "UpdateOutcome" },
    { name: "error", ...optionalText },
  ] },
  ArrayOfUpdateResult: { listOf: "UpdateResult" },
  AckResult: { members: [
    { name: "acknowledged", type: "int" },
    { name: "unknown", type: "int" },
    { name: "cursor", ...optionalText },
  ] },
  TerminalStatus: { members: [
    { name: "terminalId", ...text },
    { name: "acceptedThrough", type: "long" },
    { name: "pendingUpdates", type: "int" },
    { name: "cursor", ...optionalText },
    { name: "lastSeenAt", type: "dateTime", nillable: true, optional: true },
    { name: "serverTime", type: "dateTime" },
  ] },
  PingReply: { members: [
    { name: "text", ...optionalText },
    { name: "serverTime", type: "dateTime" },
    { name: "contractVersion", ...text },
  ] },
  SyncFault: { members: [
    { name: "code", ...text },
    { name: "message", ...optionalText },
    { name: "retryable", type: "boolean" },
    { name: "retryAfterSeconds", type: "int", nillable: true, optional: true },
  ] },
} as const satisfies Record<TypeName, Shape>;

const terminal = { name: "terminalId", ...optionalText } as const;

// oxfmt-ignore
export const OPERATIONS = {
  Ping: { takes: [{ name: "text", ...optionalText }], gives: "PingReply" },
  SubmitMessages: { takes: [terminal, { name: "messages", type: "ArrayOfSyncMessage", nillable: true, optional: true }], gives: "SubmitResult" },
  PullUpdates: { takes: [
    terminal,
    { name: "afterCursor", ...optionalText },
    { name: "maxCount", type: "int", optional: true },
    { name: "maxBytes", type: "int", optional: true },
  ], gives: "UpdateBatch" },
  AcknowledgeUpdates: { takes: [
    terminal,
    { name: "batchId", ...optionalText },
    { name: "results", type: "ArrayOfUpdateResult", nillable: true, optional: true },
  ], gives: "AckResult" },
  GetStatus: { takes: [terminal], gives: "TerminalStatus" },
} as const satisfies Record<string, { readonly takes: readonly Member[]; readonly gives: TypeName }>;

export type OperationName = keyof typeof OPERATIONS;
export const OPERATION_NAMES = Object.keys(OPERATIONS) as readonly OperationName[];
export const isOperation = (name: string): name is OperationName => Object.hasOwn(OPERATIONS, name);

/** Even behind a urn the separator is a slash: this is how WCF makes actions. */
export const CONTRACT_NAME = "ITerminalSync";
export const actionOf = (operation: string): string => `${NS.contract}/${CONTRACT_NAME}/${operation}`;

// ── the table as types ─────────────────────────────────────────────────────────────────────────────────────────────

type ScalarValue = {
  string: string;
  long: bigint;
  int: number;
  boolean: boolean;
  dateTime: string;
  base64Binary: string;
  UpdateOutcome: (typeof OUTCOMES)[number];
};
type ValueOf<T> = T extends keyof ScalarValue ? ScalarValue[T] : T extends TypeName ? ContractValue<T> : never;
type Nullable<M extends Member> = M extends { nillable: true } | { optional: true } ? null : never;
type MembersOf<Ms extends readonly Member[]> = {
  readonly [M in Ms[number] as M["name"]]: ValueOf<M["type"]> | Nullable<M>;
};
type Written<Ms extends readonly Member[]> = {
  readonly [M in Ms[number] as M extends { optional: true } ? never : M["name"]]: ValueWritten<M["type"]> | Nullable<M>;
} & {
  readonly [M in Ms[number] as M extends { optional: true } ? M["name"] : never]?:
    | ValueWritten<M["type"]>
    | Nullable<M>;
};
type ValueWritten<T> = T extends keyof ScalarValue ? ScalarValue[T] : T extends TypeName ? Reply<T> : never;

/** What a request's value is read as: everything there, null where it was left out or nil. */
export type ContractValue<T extends TypeName> = (typeof TYPES)[T] extends {
  readonly members: infer Ms extends readonly Member[];
}
  ? MembersOf<Ms>
  : (typeof TYPES)[T] extends { readonly listOf: infer Item extends TypeName }
    ? readonly ContractValue<Item>[]
    : never;
/** What a reply is written from: an optional member may be left out, null is written as nil. */
export type Reply<T extends TypeName> = (typeof TYPES)[T] extends {
  readonly members: infer Ms extends readonly Member[];
}
  ? Written<Ms>
  : (typeof TYPES)[T] extends { readonly listOf: infer Item extends TypeName }
    ? readonly Reply<Item>[]
    : never;
export type RequestOf<O extends OperationName> = MembersOf<(typeof OPERATIONS)[O]["takes"]>;
export type ReplyOf<O extends OperationName> = Reply<(typeof OPERATIONS)[O]["gives"]>;
export type SyncMessage = ContractValue<"SyncMessage">;
export type SyncFault = Reply<"SyncFault">;
export type { TypeName };
