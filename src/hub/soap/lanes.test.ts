import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { OPERATOR, TestLane, type ApiStation } from "../../../test/kit/api.ts";
import { loadAndTakeAway } from "../../../test/kit/retention.ts";
import { laneName, seq, terminalId, type Epoch } from "../../base/ids.ts";
import { payloadOf } from "../api/payload.ts";
import { callerOf, openSoap, submit, type SoapCaller, type SyncMessageText } from "./soap.test-kit.ts";

let hub: ApiStation;
beforeAll(async () => {
  hub = await openSoap();
});
afterAll(() => hub.close());

const upTo = (count: number, from = 1): readonly number[] => Array.from({ length: count }, (_, i) => from + i);
const range = (from: number, through: number, image = ""): readonly SyncMessageText[] =>
  upTo(through - from + 1, from).map((sequence) => ({
    sequence,
    messageId: `${image}m-${sequence}`,
    payload: `{"image":"${image}"}`,
  }));
async function till(
  name: string,
  tags: Readonly<Record<string, string>> = {},
): Promise<{ readonly call: SoapCaller; readonly send: (messages: readonly SyncMessageText[]) => Promise<unknown> }> {
  const call = callerOf(hub, name, await hub.enrol(name, tags));
  const send = async (messages: readonly SyncMessageText[]): Promise<unknown> => {
    const answer = await call(submit(name, messages));
    if (answer.status !== 200) return answer.value("code");
    return [
      Number(answer.value("acceptedThrough")),
      Number(answer.value("accepted")),
      Number(answer.value("duplicates")),
    ];
  };
  return { call, send };
}
/** The message ids in the order of the terminal's lanes, with "same" for a number that only stands for an earlier message. */
async function stored(name: string): Promise<readonly (readonly string[])[]> {
  const terminal = terminalId(name);
  const lanes = await hub.ledger.lanes.of(terminal);
  return await Promise.all(
    lanes.map(async ({ epoch, receivedThrough }) => {
      const ids: string[] = [];
      for (const number of upTo(receivedThrough)) {
        const { lines } = await payloadOf(hub.ledger.bytes, laneName(terminal, epoch), seq(number));
        const line = JSON.parse(lines[0] ?? "{}") as { key?: { id: string }; changes?: { key: { id: string } }[] };
        ids.push(line.changes?.[0]?.key.id ?? line.key?.id ?? "same");
      }
      return ids;
    }),
  );
}

describe("numbered messages of a SOAP terminal", () => {
  test("go into a lane of their own, and a resend is a duplicate by number and content", async () => {
    const { send, call } = await till("s1");
    expect(await send(range(1, 3))).toEqual([3, 3, 0]);
    expect(await send(range(1, 3))).toEqual([3, 0, 3]);
    expect(await send(range(2, 5))).toEqual([5, 2, 2]);
    expect(
      (await hub.ledger.lanes.of(terminalId("s1"))).map(({ epoch, receivedThrough }) => [epoch, receivedThrough]),
    ).toEqual([["soap-v1", 5]]);
    expect(
      (await call('<GetStatus xmlns="urn:waybill:terminal:v1"><terminalId>s1</terminalId></GetStatus>')).value(
        "acceptedThrough",
      ),
    ).toBe("5");
  });

  test("a gap never moves acceptedThrough, and names the number expected", async () => {
    const { call, send } = await till("s2");
    const answer = await call(submit("s2", [...range(1, 2), ...range(5, 6)]));
    expect(answer.value("acceptedThrough")).toBe("2");
    expect(answer.text.match(/<code>SEQUENCE_GAP<\/code><reason>expected 3<\/reason><retryable>true</g)).toHaveLength(
      2,
    );
    expect(await send(range(3, 6))).toEqual([6, 4, 0]);
  });

  test("a till that begins again at 1 with other content loses nothing, and its resends are duplicates", async () => {
    const { send } = await till("s3");
    await send(range(1, 5));
    expect(await send(range(1, 3, "new-"))).toEqual([3, 3, 0]);
    expect(await send(range(1, 4, "new-"))).toEqual([4, 1, 3]);
    expect(await stored("s3")).toEqual([
      ["m-1", "m-2", "m-3", "m-4", "m-5"],
      ["new-m-1", "new-m-2", "new-m-3", "new-m-4"],
    ]);
  });

  test("a till restored from a copy goes on from the number it was at", async () => {
    const { send } = await till("s4");
    await send(range(1, 6));
    expect(await send(range(4, 7, "new-"))).toEqual([7, 4, 0]);
    expect(await send([...range(2, 3), ...range(4, 7, "new-")])).toEqual([7, 0, 6]);
    expect(await stored("s4")).toEqual([
      ["m-1", "m-2", "m-3", "m-4", "m-5", "m-6"],
      ["new-m-4", "new-m-5", "new-m-6", "new-m-7"],
    ]);
  });

  test("one changed message among known ones is kept once, and the others are not doubled", async () => {
    const { send } = await till("s5");
    await send(range(1, 4));
    expect(await send([...range(1, 1), ...range(2, 2, "new-"), ...range(3, 5)])).toEqual([5, 2, 3]);
    expect(await stored("s5")).toEqual([
      ["m-1", "m-2", "m-3", "m-4"],
      ["new-m-2", "same", "same", "m-5"],
    ]);
  });

  test("one number twice in a request: the same content counts once, other content is kept too", async () => {
    const { send } = await till("s6");
    expect(await send([...range(1, 2), ...range(2, 2)])).toEqual([2, 2, 1]);
    expect(await send([...range(3, 3), ...range(3, 3, "new-")])).toEqual([3, 2, 0]);
    expect(await stored("s6")).toEqual([["m-1", "m-2", "m-3"], ["new-m-3"]]);
  });

  test("messages whose lines retention took away are duplicates all the same, and other content begins a lane", async () => {
    const { send } = await till("s-old");
    for (const n of upTo(4)) await send(range(n, n));
    await loadAndTakeAway(hub.ledger);
    const lane = laneName(terminalId("s-old"), "soap-v1" as Epoch);
    expect(await hub.ledger.bytes.read(lane, seq(1), seq(1), 0, 1_000)).toEqual([]);
    expect(await send(range(1, 5))).toEqual([5, 1, 4]);
    expect(await send([...range(2, 2, "new-"), ...range(3, 5)])).toEqual([5, 1, 3]);
    expect(await send([...range(1, 2), ...range(2, 2, "new-")])).toEqual([5, 0, 3]);
  });

  test("requests at once never give one number twice", async () => {
    const { send } = await till("s7");
    await Promise.all(upTo(8).map((n) => send(range(1, n * 3))));
    expect(await stored("s7")).toEqual([upTo(24).map((n) => `m-${n}`)]);
  });

  test("a message refused for good takes its number, is told as such, and stops nothing", async () => {
    const { call, send } = await till("s8");
    const bad: SyncMessageText[] = [
      { sequence: 2, payload: "a&#x1;b", contentType: "text/plain" },
      { sequence: 3, occurredAt: "yesterday" },
      { sequence: 4, payload: "{" },
      { sequence: 5, more: "<payloadBytes>***</payloadBytes>" },
      { sequence: 6, payload: '"\\ud800"' },
    ];
    const answer = await call(submit("s8", [...range(1, 1), ...bad, ...range(7, 7)]));
    expect([answer.value("acceptedThrough"), answer.value("accepted"), answer.value("duplicates")]).toEqual([
      "7",
      "2",
      "0",
    ]);
    expect(
      [...answer.text.matchAll(/<Rejection><sequence>(\d)<.*?<code>(.*?)<.*?<retryable>(.*?)</g)].map((match) =>
        match.slice(1),
      ),
    ).toEqual([
      ["2", "INVALID_VALUE", "false"],
      ["3", "INVALID_VALUE", "false"],
      ["4", "INVALID_PAYLOAD", "false"],
      ["5", "INVALID_VALUE", "false"],
      ["6", "INVALID_PAYLOAD", "false"],
    ]);
    expect(await send([...bad])).toEqual([7, 0, 5]);
  });

  test("can be found by their business key", async () => {
    const { send } = await till("s9");
    await send([{ sequence: 1, key: "R-4711" }]);
    const { json } = await hub.call("GET", "/api/trace/s9/R-4711", { key: OPERATOR });
    expect(json["messages"]).toMatchObject([{ seq: 1 }]);
  });

  test("are refused while an agent numbers for the terminal", async () => {
    const key = await hub.enrol("s10");
    await hub.call("POST", "/v1/messages", { key, body: new TestLane("E1", 1).body(1, 1) });
    const answer = await callerOf(hub, "s10", key)(submit("s10", range(1, 1)));
    expect([answer.status, answer.value("code"), answer.value("retryable")]).toEqual([500, "EPOCH_CLOSED", "false"]);
  });
});

/** A second process on the same ledger; `meanwhile` runs between its look at the lanes and the first epoch it opens. */
async function racing(meanwhile: () => Promise<unknown>): Promise<ApiStation> {
  let raced = false;
  const other = await openSoap(
    {},
    {
      around: () => ({
        ...hub.ledger,
        [Symbol.asyncDispose]: () => Promise.resolve(),
        lanes: {
          ...hub.ledger.lanes,
          openEpoch: async (...given) => {
            if (!raced) await meanwhile();
            raced = true;
            return hub.ledger.lanes.openEpoch(...given);
          },
        },
      }),
    },
  );
  onTestFinished(() => other.api[Symbol.asyncDispose]());
  return other;
}

describe("a lane that another process moved meanwhile", () => {
  const both = async (name: string): Promise<readonly [SoapCaller, SoapCaller]> => {
    const other = await openSoap({}, { around: () => hub.ledger });
    onTestFinished(() => other.api[Symbol.asyncDispose]());
    const key = await hub.enrol(name);
    return [callerOf(hub, name, key), callerOf(other, name, key)];
  };
  const counts = (answer: Awaited<ReturnType<SoapCaller>>): readonly (string | undefined)[] =>
    ["acceptedThrough", "accepted", "duplicates"].map((name) => answer.value(name));

  test("with the same messages: they are duplicates", async () => {
    const [here, there] = await both("two");
    await here(submit("two", range(1, 2)));
    await there(submit("two", range(1, 4)));
    expect(counts(await here(submit("two", range(3, 6))))).toEqual(["6", "2", "2"]);
    expect(await stored("two")).toEqual([upTo(6).map((n) => `m-${n}`)]);
  });

  test("with other messages: it is looked at again, and both are kept", async () => {
    const [here, there] = await both("three");
    await here(submit("three", range(1, 2)));
    await there(submit("three", range(3, 4, "new-")));
    expect(counts(await here(submit("three", range(3, 3))))).toEqual(["3", "1", "0"]);
    expect(await stored("three")).toEqual([["m-1", "m-2", "new-m-3", "new-m-4"], ["m-3"]]);
  });
});

test("a lane that two processes begin at one number at once holds its messages once", async () => {
  const key = await hub.enrol("four");
  const here = callerOf(hub, "four", key);
  await here(submit("four", range(1, 3)));
  const again = submit("four", range(2, 3, "new-"));
  const answer = await callerOf(await racing(() => here(again)), "four", key)(again);
  expect(["acceptedThrough", "accepted", "duplicates"].map((each) => answer.value(each))).toEqual(["3", "0", "2"]);
  expect(await stored("four")).toEqual([
    ["m-1", "m-2", "m-3"],
    ["new-m-2", "new-m-3"],
  ]);
});

test("the epoch's name tells from which number a lane goes on", async () => {
  const { send } = await till("s11");
  await send(range(1, 3));
  await send(range(2, 2, "new-"));
  const epochs: readonly Epoch[] = (await hub.ledger.lanes.of(terminalId("s11"))).map(({ epoch }) => epoch);
  expect(epochs).toEqual(["soap-v1", "soap-v1.2-from-2"]);
});

describe("a till that has been sending to another system for years", () => {
  const ids = (from: number, through: number, image = ""): readonly string[] =>
    range(from, through, image).map(({ messageId = "" }) => messageId);
  const status = async (call: SoapCaller, name: string): Promise<string | undefined> =>
    (await call(`<GetStatus xmlns="urn:waybill:terminal:v1"><terminalId>${name}</terminalId></GetStatus>`)).value(
      "acceptedThrough",
    );

  test("goes on with the number it is at, and an event says whose the lower ones are", async () => {
    const { send, call } = await till("j1");
    expect(await status(call, "j1")).toBe("0");
    expect(await send(range(4_701, 4_703))).toEqual([4_703, 3, 0]);
    expect(await send(range(4_702, 4_705))).toEqual([4_705, 2, 2]);
    expect(await status(call, "j1")).toBe("4705");
    expect(await send(range(4_707, 4_707))).toEqual([4_705, 0, 0]);
    expect((await hub.ledger.lanes.of(terminalId("j1"))).map(({ epoch }) => epoch)).toEqual(["soap-v1.1-from-4701"]);
    const opened = (await hub.ledger.trail.recent(200, null)).find(
      ({ kind, lane }) =>
        kind === "epoch opened" && lane === laneName(terminalId("j1"), "soap-v1.1-from-4701" as Epoch),
    );
    expect(opened?.detail).toContain(
      "begins at number 4701: its first request says so; lower ones belong to the system before",
    );
  });

  test("begins at the lowest number of its first request, in whatever order they stand there", async () => {
    const { send } = await till("j2");
    expect(await send([...range(13, 13), ...range(11, 12)])).toEqual([12, 2, 0]);
    expect(await send(range(13, 13))).toEqual([13, 1, 0]);
    expect(await stored("j2")).toEqual([ids(11, 13)]);
  });

  test("whose first messages come late keeps them, and goes on behind all it has sent", async () => {
    const { send, call } = await till("j3");
    expect(await send(range(11, 13))).toEqual([13, 3, 0]);
    expect(await send(range(8, 9))).toEqual([9, 2, 0]);
    expect(await send(range(14, 14))).toEqual([9, 0, 0]); // 10 may still come
    expect(await send(range(10, 10))).toEqual([10, 1, 0]);
    expect(await send(range(12, 12))).toEqual([10, 0, 1]);
    expect(await send(range(14, 15))).toEqual([15, 2, 0]);
    expect(await send(range(8, 16))).toEqual([16, 1, 8]);
    expect(await status(call, "j3")).toBe("16");
    expect(await stored("j3")).toEqual([ids(11, 13), ids(8, 10), ids(14, 16)]);
  });

  test("that sends what it has newest first loses nothing either", async () => {
    const { send } = await till("j4");
    await send(range(11, 12));
    await send(range(9, 10));
    expect(await send(range(7, 8))).toEqual([8, 2, 0]);
    expect(await send(range(13, 13))).toEqual([13, 1, 0]);
    expect(await stored("j4")).toEqual([ids(11, 12), ids(9, 10), ids(7, 8), ids(13, 13)]);
  });

  test("that sends the late ones and those behind them together is answered as if it had sent them in order", async () => {
    const { send } = await till("j5");
    await send(range(4, 5));
    expect(await send(range(1, 8))).toEqual([8, 6, 2]);
    expect((await stored("j5")).flat().filter((id) => id !== "same")).toEqual([
      ...ids(4, 5),
      ...ids(1, 3),
      ...ids(6, 8),
    ]);
  });

  test("and is re-imaged, so that it begins at 1: nothing of the new image is taken for what the old one sent", async () => {
    const { send } = await till("j6");
    await send(range(4, 6));
    expect(await send(range(1, 2, "new-"))).toEqual([2, 2, 0]);
    expect(await send(range(1, 5, "new-"))).toEqual([5, 3, 2]);
    expect(await send(range(7, 7, "new-"))).toEqual([5, 0, 0]);
    expect(await send(range(6, 7, "new-"))).toEqual([7, 2, 0]);
    expect(await stored("j6")).toEqual([ids(4, 6), ids(1, 7, "new-")]);
  });

  test("begins where its enrolment says, when an operator has said so", async () => {
    const { send, call } = await till("j7", { "soap-after": "4700" });
    expect(await status(call, "j7")).toBe("4700");
    const early = await call(submit("j7", range(4_703, 4_703)));
    expect([early.value("acceptedThrough"), early.value("reason")]).toEqual(["4700", "expected 4701"]);
    expect(await send(range(4_701, 4_703))).toEqual([4_703, 3, 0]);
    expect(await send(range(4_700, 4_700))).toEqual([4_700, 1, 0]); // kept, whatever was said
    expect(await send(range(4_704, 4_704))).toEqual([4_704, 1, 0]);
  });

  test.each(["4,700", "-1", "1e3", "9007199254740991", "99999999999999999999"])(
    "a soap-after that is no number (%s) says nothing",
    async (told) => {
      const { send } = await till(`j8${told.length}`, { "soap-after": told });
      expect(await send(range(7, 7))).toEqual([7, 1, 0]);
    },
  );

  test.each([
    [21, 23, 1],
    [23, 21, 2],
  ])("told to two processes at once, %i first, then %i: nothing stands in another's place", async (one, two, lanes) => {
    const name = `j9${one}`;
    const key = await hub.enrol(name);
    const other = await racing(() => callerOf(hub, name, key)(submit(name, range(one, one + 1))));
    const answer = await callerOf(other, name, key)(submit(name, range(two, two + 1)));
    expect([answer.value("acceptedThrough"), answer.value("accepted")]).toEqual([String(two + 1), "2"]);
    expect((await hub.ledger.lanes.of(terminalId(name))).length).toBe(lanes);
    expect((await stored(name)).flat().toSorted()).toEqual(ids(21, 24));
  });
});
