import { gzipSync, zstdCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { decode, encode, encodingFor, ENCODINGS } from "./encoding.ts";

const text = Buffer.from("receipt 4711 of store 14\n".repeat(1_000));

test.each(ENCODINGS)("%s: what was encoded is decoded again", (encoding) => {
  expect(Buffer.from(decode(encode(text, encoding), encoding, text.byteLength)).equals(text)).toBe(true);
});

test.each(ENCODINGS)("%s: one byte above the limit after decompression is TOO_LARGE", (encoding) => {
  expect(() => decode(encode(text, encoding), encoding, text.byteLength - 1)).toThrow(
    expect.objectContaining({ code: "TOO_LARGE", facts: { limit: text.byteLength - 1 } }),
  );
});

test("a bomb is given up at the limit, not unpacked", () => {
  const before = process.memoryUsage().arrayBuffers;
  for (const bomb of [zstdCompressSync(Buffer.alloc(64 << 20)), gzipSync(Buffer.alloc(64 << 20))]) {
    const encoding = bomb[0] === 0x1f ? "gzip" : "zstd";
    expect(() => decode(bomb, encoding, 1 << 20)).toThrow(expect.objectContaining({ code: "TOO_LARGE" }));
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(200 << 20);
});

test("a zstd frame that asks for a window above 8 MiB is refused, however little it holds", () => {
  // RFC 8878: magic, no content size, window descriptor 2^(10 + n), one raw block of one byte.
  const frame = (n: number): Uint8Array => Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, n << 3, 0x09, 0x00, 0x00, 0x41]);
  expect(Buffer.from(decode(frame(13), "zstd", 8 << 20)).toString()).toBe("A");
  expect(() => decode(frame(17), "zstd", 8 << 20)).toThrow(expect.objectContaining({ code: "REQUEST_INVALID" }));
});

test.each(["gzip", "zstd"] as const)("%s: damaged and cut-off data is REQUEST_INVALID", (encoding) => {
  const whole = encode(text, encoding);
  for (const cut of [0, 1, 10, whole.byteLength - 1]) {
    expect(() => decode(whole.subarray(0, cut), encoding, 1 << 20)).toThrow(
      expect.objectContaining({ code: "REQUEST_INVALID" }),
    );
  }
  expect(() => decode(text, encoding, 1 << 20)).toThrow(expect.objectContaining({ code: "REQUEST_INVALID" }));
});

test("an encoding we do not speak, or two at once, is MEDIA_TYPE", () => {
  for (const name of ["br", "gzip, gzip", "x-gzip"])
    expect(() => decode(text, name, 1 << 20)).toThrow(expect.objectContaining({ code: "MEDIA_TYPE" }));
});

test("no encoding, `identity` and any case are understood", () => {
  expect(decode(text, undefined, text.byteLength)).toBe(text);
  expect(decode(text, "Identity", text.byteLength)).toBe(text);
  expect(Buffer.from(decode(encode(text, "gzip"), "GZIP", 1 << 20)).equals(text)).toBe(true);
});

test.each<[string | undefined, number, string]>([
  [undefined, 1 << 20, "identity"],
  ["gzip, zstd", 1 << 20, "zstd"],
  ["gzip, deflate, br", 1 << 20, "gzip"],
  ["zstd;q=0, gzip;q=0.5", 1 << 20, "gzip"],
  ["zstd", 100, "identity"],
  ["br", 1 << 20, "identity"],
])("accept-encoding %s for %d bytes gives %s", (accept, bytes, expected) => {
  expect(encodingFor(accept, bytes)).toBe(expected);
});
