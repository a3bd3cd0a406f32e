import { constants, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { WaybillError } from "../base/errors.ts";

/** Content encodings both ends speak, best first. zstd at level 3 beats gzip on size and on CPU (measured, docs/performance.md). */
export const ENCODINGS = ["zstd", "gzip", "identity"] as const;
export type Encoding = (typeof ENCODINGS)[number];

/** Windows above 8 MiB are refused: RFC 8878 asks no more of a decoder, and a frame could demand 2 GiB. */
const WINDOW_LOG_MAX = 23;
/** Below this, compressing costs more than it saves. */
const WORTH_IT_BYTES = 1_024;

/**
 * The bytes as they were before `content-encoding`. Never gives, nor ever holds, more than `limit` bytes, whatever the input
 * expands to. Runs to its end in the calling thread: bodies are bounded, and a simulated run stays the same every time.
 * @throws MEDIA_TYPE for an encoding we do not speak; TOO_LARGE with `limit`; REQUEST_INVALID for damaged or cut-off data
 */
export function decode(bytes: Uint8Array, encoding: string | undefined, limit: number): Uint8Array {
  const name = (encoding ?? "identity").trim().toLowerCase();
  if (name === "identity" || name === "") {
    if (bytes.byteLength > limit) throw tooLarge(limit);
    return bytes;
  }
  if (name !== "gzip" && name !== "zstd") {
    throw new WaybillError(
      "MEDIA_TYPE",
      `content-encoding ${JSON.stringify(name.slice(0, 40))} is not one of ${ENCODINGS.join(", ")}`,
    );
  }
  try {
    if (name === "gzip") return gunzipSync(bytes, { maxOutputLength: limit });
    return zstdDecompressSync(bytes, {
      maxOutputLength: limit,
      params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX },
    });
  } catch (thrown) {
    if (codeOf(thrown) === "ERR_BUFFER_TOO_LARGE") throw tooLarge(limit);
    throw new WaybillError("REQUEST_INVALID", `the body is not whole ${name} data`, { cause: thrown });
  }
}

export function encode(bytes: Uint8Array, encoding: Encoding): Uint8Array {
  switch (encoding) {
    case "zstd":
      return zstdCompressSync(bytes);
    case "gzip":
      return gzipSync(bytes);
    case "identity":
      return bytes;
  }
}

/** The best encoding that `accept-encoding` allows for a body of this size; `identity` where it says nothing. */
export function encodingFor(acceptEncoding: string | undefined, bytes: number): Encoding {
  if (acceptEncoding === undefined || bytes < WORTH_IT_BYTES) return "identity";
  const accepted = new Set<string>();
  for (const item of acceptEncoding.toLowerCase().split(",")) {
    const [name = "", ...parameters] = item.split(";").map((text) => text.trim());
    if (!parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter))) accepted.add(name);
  }
  return ENCODINGS.find((encoding) => accepted.has(encoding)) ?? "identity";
}

const tooLarge = (limit: number): WaybillError =>
  new WaybillError("TOO_LARGE", `the body is above ${limit} bytes after decompression`, { facts: { limit } });

const codeOf = (thrown: unknown): unknown => (thrown instanceof Error && "code" in thrown ? thrown.code : undefined);
