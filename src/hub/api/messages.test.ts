import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openApi, saleLine, TestLane, type ApiStation } from "../../../test/kit/api.ts";
import { epoch, laneName, seq, terminalId } from "../../base/ids.ts";
import { submissionBody } from "../../wire/submission.ts";

let hub: ApiStation;
beforeAll(async () => {
  hub = await openApi();
});
afterAll(() => hub.close());

let terminals = 0;
/** A terminal of its own for each test, so that none sees another's lane. */
async function till(): Promise<{
  id: string;
  key: string;
  send: (body: Uint8Array<ArrayBuffer>, headers?: Record<string, string>) => ReturnType<ApiStation["call"]>;
}> {
  const id = `t${++terminals}`;
  const key = await hub.enrol(id);
  return { id, key, send: (body, headers = {}) => hub.call("POST", "/v1/messages", { key, body, headers }) };
}
const stored = async (id: string, lane: TestLane): Promise<string> => {
  const pieces = await hub.ledger.bytes.read(
    laneName(terminalId(id), epoch(lane.epoch)),
    seq(1),
    seq(9_999),
    0,
    1 << 24,
  );
  return Buffer.concat(pieces.map(({ bytes }) => bytes)).toString();
};

describe("POST /v1/messages", () => {
  test("stores the lines as the bytes that came, acknowledges them, and tells the processor", async () => {
    const { id, send } = await till();
    const lane = new TestLane("E1", 3);
    const before = hub.wakes();
    const answer = await send(lane.body(1, 3));
    expect(answer).toMatchObject({
      status: 200,
      json: {
        receivedThrough: 3,
        chain: lane.chain(3),
        duplicates: 0,
        loadedThrough: 0,
        open: { retrying: 0, held: 0, dead: 0 },
      },
    });
    expect(answer.json).not.toHaveProperty("partial");
    expect(await stored(id, lane)).toBe([1, 2, 3].map((n) => `${saleLine(n)}\n`).join(""));
    expect(hub.wakes()).toBeGreaterThan(before);
  });

  test("a resend is counted as duplicates and changes nothing", async () => {
    const { id, send } = await till();
    const lane = new TestLane("E1", 4);
    await send(lane.body(1, 3));
    expect((await send(lane.body(1, 3))).json).toMatchObject({ receivedThrough: 3, duplicates: 3 });
    expect((await send(lane.body(2, 4))).json).toMatchObject({
      receivedThrough: 4,
      duplicates: 2,
      chain: lane.chain(4),
    });
    expect((await stored(id, lane)).split("\n")).toHaveLength(5);
  });

  test.each([
    ["gzip", gzipSync],
    ["zstd", zstdCompressSync],
  ] as const)("takes a body in %s", async (encoding, pack) => {
    const { send } = await till();
    expect((await send(pack(new TestLane("E1", 50).body(1, 50)), { "content-encoding": encoding })).json).toMatchObject(
      { receivedThrough: 50 },
    );
  });

  test("SEQUENCE_GAP names the number expected, and nothing is stored", async () => {
    const { id, send } = await till();
    const lane = new TestLane("E1", 9);
    await send(lane.body(1, 2));
    const answer = await send(lane.body(5, 9));
    expect(answer).toMatchObject({ status: 409, json: { code: "SEQUENCE_GAP", expected: 3 } });
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect((await stored(id, lane)).split("\n")).toHaveLength(3);
  });

  test("CHAIN_BROKEN for a known number with other content", async () => {
    const { send } = await till();
    await send(new TestLane("E1", 3).body(1, 3));
    const other = new TestLane("E1", 3, (n) => saleLine(n).replace("12.50", n === 2 ? "99.99" : "12.50"));
    expect(await send(other.body(1, 3))).toMatchObject({ status: 409, json: { code: "CHAIN_BROKEN", seq: 2 } });
  });

  test("LINE_INVALID names line and path; nothing of the request is stored", async () => {
    const { id, send } = await till();
    const lane = new TestLane("E1", 3, (n) => (n === 3 ? saleLine(3).replace('"insert"', '"merge"') : saleLine(n)));
    expect(await send(lane.body(1, 3))).toMatchObject({
      status: 400,
      json: { code: "LINE_INVALID", line: 4, path: "changes[0].op" },
    });
    expect(await hub.ledger.lanes.of(terminalId(id))).toEqual([]);
  });

  test("TOO_LARGE for too many lines, and for a body that is too large after decompression", async () => {
    const { send } = await till();
    expect(await send(new TestLane("E1", 1_001).body(1, 1_001))).toMatchObject({
      status: 413,
      json: { code: "TOO_LARGE", limit: 1_000 },
    });
    const bomb = zstdCompressSync(Buffer.alloc(64 << 20, "x"));
    expect(await send(bomb, { "content-encoding": "zstd" })).toMatchObject({
      status: 413,
      json: { code: "TOO_LARGE", limit: 1 << 20 },
    });
  });

  test("MEDIA_TYPE for an encoding nobody speaks, REQUEST_INVALID for damaged data", async () => {
    const { send } = await till();
    const body = new TestLane("E1", 1).body(1, 1);
    expect(await send(body, { "content-encoding": "br" })).toMatchObject({ status: 415, json: { code: "MEDIA_TYPE" } });
    expect(await send(body, { "content-encoding": "gzip" })).toMatchObject({
      status: 400,
      json: { code: "REQUEST_INVALID" },
    });
  });

  test("a message in parts: the answer says where to go on", async () => {
    const { send } = await till();
    const part = (n: number, more: boolean): string =>
      JSON.stringify({
        seq: 1,
        part: n,
        more,
        at: "2026-11-23T09:14:07Z",
        changes: [{ table: "sale", op: "upsert", key: { id: n }, row: { id: n } }],
      });
    const lane = new TestLane("E1", 0);
    for (const text of [part(1, true), part(2, true), part(3, false)]) lane.append(text);
    expect((await send(lane.body(1, 2))).json).toMatchObject({ receivedThrough: 0, partial: { seq: 1, part: 2 } });
    const rest = submissionBody({ epoch: "E1", after: 0, part: 2, chain: lane.chain(2) }, [
      Buffer.from(part(3, false)),
    ]);
    const answer = await send(rest);
    expect(answer.json).toMatchObject({ receivedThrough: 1, chain: lane.chain(3) });
    expect(answer.json).not.toHaveProperty("partial");
  });

  test("many terminals at once each get their own answer", async () => {
    const tills = await Promise.all(Array.from({ length: 12 }, () => till()));
    const answers = await Promise.all(
      tills.map(async ({ send }, index) => {
        const lane = new TestLane(`E${index}`, index + 1);
        return { expected: lane.chain(index + 1), answer: await send(lane.body(1, index + 1)) };
      }),
    );
    for (const { expected, answer } of answers) expect(answer.json["chain"]).toBe(expected);
  });
});

describe("POST /v1/epochs", () => {
  const open = (key: string, previous: string | null, install: string): ReturnType<ApiStation["call"]> =>
    hub.call("POST", "/v1/epochs", { key, json: { previous, install, reason: "restored from an image" } });

  test("opens a new epoch; the same call answers the same; the old one is closed", async () => {
    const { key, send } = await till();
    const lane = new TestLane("E1", 2);
    await send(lane.body(1, 1));
    const first = await open(key, "E1", "install-1");
    expect(first).toMatchObject({ status: 200, json: { epoch: expect.any(String) } });
    expect((await open(key, "E1", "install-1")).json).toEqual(first.json);
    expect(await send(lane.body(2, 2))).toMatchObject({
      status: 409,
      json: { code: "EPOCH_CLOSED", epoch: first.json["epoch"] },
    });
    expect((await send(new TestLane(String(first.json["epoch"]), 1).body(1, 1))).json).toMatchObject({
      receivedThrough: 1,
    });
  });

  test("a second install within an hour waits for an operator", async () => {
    const { key, send } = await till();
    await send(new TestLane("E1", 1).body(1, 1));
    const first = await open(key, "E1", "install-1");
    expect(await open(key, String(first.json["epoch"]), "install-2")).toMatchObject({
      status: 409,
      json: { code: "EPOCH_WAITS" },
    });
  });

  test("a body of another shape is refused with its path", async () => {
    const { key } = await till();
    const answer = await hub.call("POST", "/v1/epochs", { key, json: { previous: 7, install: "i", reason: "r" } });
    expect(answer).toMatchObject({ status: 400, json: { code: "REQUEST_INVALID", path: "body.previous" } });
  });
});
