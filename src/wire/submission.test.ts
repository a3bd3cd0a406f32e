import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { instant } from "../base/clock.ts";
import { WaybillError } from "../base/errors.ts";
import { terminalId } from "../base/ids.ts";
import { CHAIN_START, chainHex, chainNext } from "../message/chain.ts";
import { readSubmission, submissionBody, type ReadSubmission, type SubmissionReader } from "./submission.ts";

const reader: SubmissionReader = {
  terminal: terminalId("t1"),
  maxLines: 100,
  search: new Map([["sale", ["receipt", "total"]]]),
  receivedAt: instant(1_000),
};
const AT = "2026-11-23T09:14:07.1234567Z";
const header = { epoch: "E1", after: 0, chain: chainHex(CHAIN_START) };
const change = {
  table: "sale",
  op: "insert",
  key: { sale_id: "S-9" },
  row: { sale_id: "S-9", receipt: "4711", total: "12.50" },
};
const line = (seq: number, more: object = {}): string => JSON.stringify({ seq, at: AT, changes: [change], ...more });
const bodyOf = (...lines: readonly string[]): Uint8Array =>
  submissionBody(
    header,
    lines.map((text) => Buffer.from(text)),
  );
const read = (...lines: readonly string[]): ReadSubmission => readSubmission(bodyOf(...lines), reader);

function refusalOf(act: () => unknown): { code: string; line: unknown; path: unknown } {
  try {
    act();
  } catch (thrown) {
    if (!(thrown instanceof WaybillError)) throw thrown;
    return { code: thrown.code, line: thrown.facts["line"], path: thrown.facts["path"] };
  }
  throw new Error("it was taken");
}

describe("a submission that is read", () => {
  test("keeps every line as the bytes that came, with the chain after each", () => {
    const texts = [line(1), line(2), `${line(3)}\r`];
    const submission = read(...texts);
    let start = 0;
    let chain: Uint8Array = CHAIN_START;
    submission.lines.forEach(({ end }, index) => {
      const bytes = submission.body.subarray(start, end - 1);
      expect(Buffer.from(bytes).toString()).toBe(texts[index]);
      chain = chainNext(chain, bytes);
      expect(Buffer.from(submission.chains.subarray(32 * index, 32 * index + 32))).toEqual(Buffer.from(chain));
      start = end;
    });
    expect(start).toBe(submission.body.byteLength);
    expect(submission.lines.map(({ seq }) => seq)).toEqual([1, 2, 3]);
  });

  test("carries the values of searchable columns, from the row, from before and from the key", () => {
    const [first] = read(
      line(1, {
        changes: [
          { ...change, op: "update", before: { receipt: 4710 } },
          { ...change, table: "other" },
        ],
      }),
    ).lines;
    expect(first?.search.toSorted()).toEqual(["12.50", "4710", "4711"]);
    expect(first?.changes).toBe(2);
  });

  test("never finds a searchable value among inherited members", () => {
    const search = new Map([["sale", ["constructor", "__proto__"]]]);
    const own = JSON.stringify({ seq: 1, at: AT, changes: [change] }).replace('"receipt"', '"__proto__"');
    const submission = readSubmission(bodyOf(own), { ...reader, search });
    expect(submission.lines[0]?.search).toEqual(["4711"]);
  });

  test("takes a message in parts, over several requests", () => {
    const first = read(line(1), line(2, { part: 1, more: true }), line(2, { part: 2, more: true }));
    expect(first.lines.map(({ seq, part, more }) => ({ seq, part, more }))).toEqual([
      { seq: 1, part: 0, more: false },
      { seq: 2, part: 1, more: true },
      { seq: 2, part: 2, more: true },
    ]);
    const inside = { ...header, after: 1, part: 2 };
    const rest = submissionBody(inside, [Buffer.from(line(2, { part: 3, at: undefined })), Buffer.from(line(3))]);
    const second = readSubmission(rest, reader);
    expect(second.part).toBe(2);
    expect(second.lines.map(({ seq, part }) => [seq, part])).toEqual([
      [2, 3],
      [3, 0],
    ]);
    expect(second.lines[0]?.at).toBe(reader.receivedAt);
  });

  test("takes a message whose value was too large to be carried", () => {
    const text = JSON.stringify({ seq: 1, refused: "VALUE_TOO_LARGE", table: "photo", key: { id: 7 } });
    expect(read(text).lines[0]).toMatchObject({ seq: 1, changes: 0, search: [] });
  });

  test("takes what nobody can load, so that one bad row never stops a lane: unknown tables, wrong types, empty keys", () => {
    const odd = {
      table: "no such table",
      op: "upsert",
      key: {},
      row: { total: true, nothing: null, deep: { a: [1] } },
    };
    expect(read(line(1, { changes: [odd] }), line(2, { changes: [] })).lines).toHaveLength(2);
  });

  test("ignores members it does not know, in header and lines", () => {
    const body = submissionBody({ ...header, later: 1 } as typeof header, [Buffer.from(line(1, { later: { x: 1 } }))]);
    expect(readSubmission(body, reader).lines).toHaveLength(1);
  });

  test("gives the chain as a copy: it goes to another thread without the buffer it came from", () => {
    const { chain, chains } = read(line(1));
    expect([chain.buffer.byteLength, chains.buffer.byteLength]).toEqual([32, 32]);
  });
});

describe("a submission that is refused", () => {
  const withChange = (more: object): string => line(2, { changes: [change, { ...change, ...more }] });
  test.each<[what: string, second: string, path: string]>([
    ["no JSON", "{", ""],
    ["a list", "[]", ""],
    ["no number", line(2, { seq: undefined }), "seq"],
    ["a number with a fraction", line(2, { seq: 2.5 }), "seq"],
    ["a number that was left out", line(3), "seq"],
    ["a number twice", line(1), "seq"],
    ["no time", line(2, { at: undefined }), "at"],
    ["a time without zone", line(2, { at: "2026-11-23T09:14:07" }), "at"],
    ["a date that does not exist", line(2, { at: "2026-13-23T09:14:07Z" }), "at"],
    ["a second part first", line(2, { part: 2, more: true }), "part"],
    ["part 0", line(2, { part: 0 }), "part"],
    ["more without part", line(2, { more: true }), "more"],
    ["a trace that is no text", line(2, { trace: 7 }), "trace"],
    ["no changes", line(2, { changes: undefined }), "changes"],
    ["a change that is text", line(2, { changes: ["x"] }), "changes[0]"],
    ["no table", withChange({ table: "" }), "changes[1].table"],
    ["an unknown op", withChange({ op: "merge" }), "changes[1].op"],
    ["an inherited op", withChange({ op: "constructor" }), "changes[1].op"],
    ["no key", withChange({ key: undefined }), "changes[1].key"],
    ["a key that is a list", withChange({ key: [1] }), "changes[1].key"],
    ["an insert without row", withChange({ row: undefined }), "changes[1].row"],
    ["a delete with row", withChange({ op: "delete" }), "changes[1].row"],
    ["a before that is null", withChange({ before: null }), "changes[1].before"],
  ])("%s: LINE_INVALID with line and path", (_, second, path) => {
    expect(refusalOf(() => read(line(1), second))).toEqual({ code: "LINE_INVALID", line: 3, path });
  });

  test.each<[what: string, value: string, path: string]>([
    ["an integer that a double cannot hold", "9007199254740993", "total"],
    ["the smallest 64-bit integer plus one as a number", "-9223372036854775807", "total"],
    ["a number too large for any double", "1e999", "total"],
    ["the same inside a JSON value", '{"a":[9007199254740993]}', "0"],
    ["half of a surrogate pair", '"\\ud83d"', "total"],
  ])("%s would change in silence (I13)", (_, value, path) => {
    const text = line(1).replace('"12.50"', value);
    expect(refusalOf(() => read(text))).toEqual({ code: "LINE_INVALID", line: 2, path });
  });

  test.each([
    "9007199254740991",
    "1e20",
    "100000000000000000000",
    "1.5e300",
    '"\\ud83d\\ude00"',
    '"\\u0000"',
    '"\\\\ud83d"',
  ])("%s is carried as it is", (value) => {
    expect(read(line(1).replace('"12.50"', value)).lines).toHaveLength(1);
  });

  test("nesting that could only exhaust a stack", () => {
    const deep = (levels: number): string => line(1).replace('"12.50"', "[".repeat(levels) + "]".repeat(levels));
    expect(read(deep(1_000)).lines).toHaveLength(1);
    expect(refusalOf(() => read(deep(1_001)))).toMatchObject({ code: "LINE_INVALID", path: "changes[0].row.total" });
    expect(refusalOf(() => read(deep(200_000)))).toMatchObject({ code: "LINE_INVALID" });
  });

  test("the same in a member that nobody knows, next to an escape", () => {
    const nested = `{"a":"\\u0041","b":${"[".repeat(200_000)}${"]".repeat(200_000)}}`;
    const text = line(1).replace("{", `{"unknown":${nested},`);
    expect(refusalOf(() => read(text))).toMatchObject({ code: "LINE_INVALID", line: 2 });
  });

  test("a body cut off in its last line", () => {
    const body = bodyOf(line(1), line(2));
    expect(refusalOf(() => readSubmission(body.subarray(0, -1), reader))).toEqual({
      code: "LINE_INVALID",
      line: 3,
      path: "",
    });
  });

  test("bytes that are no UTF-8, naming the line", () => {
    const body = Buffer.from(bodyOf(line(1), line(2)));
    body[body.lastIndexOf("12.50")] = 0xff;
    expect(refusalOf(() => readSubmission(body, reader))).toEqual({ code: "LINE_INVALID", line: 3, path: "" });
  });

  test.each([
    ["a part left out", 4],
    ["a part twice", 2],
    ["the next message before the last part", undefined],
  ])("%s, while a message is in parts", (_, part) => {
    const parts = [line(1, { part: 1, more: true }), line(1, { part: 2, more: true }), line(1, { part })];
    expect(refusalOf(() => read(...parts))).toEqual({ code: "LINE_INVALID", line: 4, path: "part" });
  });

  test("an empty body, a header alone, an empty line", () => {
    expect(refusalOf(() => readSubmission(new Uint8Array(0), reader))).toMatchObject({ line: 1 });
    expect(refusalOf(() => read())).toMatchObject({ line: 2 });
    expect(refusalOf(() => read(line(1), ""))).toMatchObject({ line: 3 });
  });

  test("more lines than the manifest allows", () => {
    const lines = Array.from({ length: 101 }, (_, index) => line(index + 1));
    expect(refusalOf(() => read(...lines))).toMatchObject({ code: "TOO_LARGE" });
    expect(read(...lines.slice(0, 100)).lines).toHaveLength(100);
  });

  test.each<[string, object, string]>([
    ["no epoch", { epoch: undefined }, "epoch"],
    ["an epoch that is no name", { epoch: "a/b" }, "epoch"],
    ["a negative number", { after: -1 }, "after"],
    ["a chain of another length", { chain: "00" }, "chain"],
    ["another stream", { stream: "other" }, "stream"],
    ["an oldest of 0", { oldest: 0 }, "oldest"],
  ])("a header with %s", (_, more, path) => {
    const body = submissionBody({ ...header, ...more }, [Buffer.from(line(1))]);
    expect(refusalOf(() => readSubmission(body, reader))).toEqual({ code: "LINE_INVALID", line: 1, path });
  });

  test("any bytes are either read or refused with a documented error", () => {
    const good = Buffer.from(bodyOf(line(1), line(2, { part: 1, more: true }), line(2, { part: 2 })));
    const mutation = fc.record({ at: fc.nat(good.length - 1), cut: fc.nat(8), put: fc.uint8Array({ maxLength: 8 }) });
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) => {
        let bytes: Buffer = good;
        for (const { at, cut, put } of mutations)
          bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + cut)]);
        try {
          readSubmission(bytes, reader);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(WaybillError);
          expect(["LINE_INVALID", "TOO_LARGE"]).toContain((thrown as WaybillError).code);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
