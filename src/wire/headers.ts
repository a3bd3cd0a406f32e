/** Names in lower case, as they are looked up. */
export const HEADERS = {
  /** Sent by a terminal with each request: its clock, ISO 8601; the hub shows the skew. */
  time: "waybill-time",
  /** Sent by a terminal: the version of its agent. */
  version: "waybill-version",
  /** In every answer of the hub: the id under which it logged the request. */
  trace: "waybill-trace",
} as const;

export const NDJSON_TYPE = "application/x-ndjson";
export const JSON_TYPE = "application/json";
