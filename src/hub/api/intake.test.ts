import { describe, expect, test } from "vitest";
import { instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { epoch, seq, terminalId, type LaneName } from "../../base/ids.ts";
import type { Acknowledgement, Lanes, Refused, Submission } from "../../ledger/port.ts";
import { CHAIN_START } from "../../message/chain.ts";
import { Intake } from "./intake.ts";

const submission = (name: string, bytes = 10): Submission => ({
  terminal: terminalId(name),
  epoch: epoch("E1"),
  after: seq(0),
  part: 0,
  chain: CHAIN_START,
  oldest: null,
  body: new Uint8Array(bytes),
  lines: [{ seq: seq(1), part: 0, more: false, end: bytes, at: instant(0), changes: 1, search: [] }],
  chains: new Uint8Array(32),
});
const stored: Acknowledgement = {
  receivedThrough: seq(1),
  chain: CHAIN_START,
  duplicates: 0,
  loadedThrough: seq(0),
  open: { retrying: 0, held: 0, dead: 0 },
  partial: null,
};

/** Lanes that answer when they are told to, and remember whom they stored together. */
function slowLanes(judge: (terminal: string) => Acknowledgement | Refused = () => stored): {
  lanes: Lanes;
  groups: string[][];
  finish: () => Promise<void>;
} {
  const groups: string[][] = [];
  let finish: () => void = () => undefined;
  const append: Lanes["append"] = async (submissions) => {
    groups.push(submissions.map(({ terminal }) => terminal));
    await new Promise<void>((resolve) => (finish = resolve));
    return submissions.map(({ terminal }) => judge(terminal));
  };
  const settle = async (): Promise<void> => {
    finish();
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  return { lanes: { append } as Partial<Lanes> as Lanes, groups, finish: settle };
}

describe("group commit", () => {
  test("what arrives while one transaction runs goes into the next one together", async () => {
    const { lanes, groups, finish } = slowLanes();
    const told: (readonly LaneName[])[] = [];
    const intake = new Intake(lanes, (stored) => void told.push(stored));
    const answers = ["a", "b", "c", "d"].map((name) => intake.submit(submission(name)));
    expect(groups).toEqual([["a"]]);
    await finish();
    expect(groups).toEqual([["a"], ["b", "c", "d"]]);
    await finish();
    expect(await Promise.all(answers)).toHaveLength(4);
    expect(told).toEqual([["a/E1"], ["b/E1", "c/E1", "d/E1"]]);
  });

  test("nobody is answered before the transaction that holds their lines has ended (I2)", async () => {
    const { lanes, finish } = slowLanes();
    const intake = new Intake(lanes, () => undefined);
    let answered = 0;
    const both = [intake.submit(submission("a")), intake.submit(submission("b"))].map((each) =>
      each.then(() => answered++),
    );
    for (let i = 0; i < 10; i++) await Promise.resolve();
    expect(answered).toBe(0);
    await finish();
    expect(answered).toBe(1);
    await finish();
    await Promise.all(both);
  });

  test("one submission's refusal does not touch its neighbours", async () => {
    const { lanes, finish } = slowLanes((terminal) =>
      terminal === "b" ? { refused: "SEQUENCE_GAP", what: "w", facts: { expected: 7 } } : stored,
    );
    const intake = new Intake(lanes, () => undefined);
    const [a, b, c] = ["a", "b", "c"].map((name) => intake.submit(submission(name)));
    const refused = b?.catch((thrown: unknown) => thrown);
    await finish();
    await finish();
    expect(await refused).toMatchObject({ code: "SEQUENCE_GAP", facts: { expected: 7 } });
    expect(await Promise.all([a, c])).toEqual([stored, stored]);
  });

  test("a ledger that is ill is told to all who waited, and asked again for the next", async () => {
    let ill = true;
    const append: Lanes["append"] = async (submissions) => {
      if (ill) throw new WaybillError("DISK_FULL", "no space");
      return submissions.map(() => stored);
    };
    const intake = new Intake({ append } as Partial<Lanes> as Lanes, () => undefined);
    const refused = await Promise.allSettled(["a", "b"].map((name) => intake.submit(submission(name))));
    expect(refused.map((each) => each.status === "rejected" && (each.reason as WaybillError).code)).toEqual([
      "DISK_FULL",
      "DISK_FULL",
    ]);
    ill = false;
    expect(await intake.submit(submission("a"))).toEqual(stored);
  });

  test("a submission that makes the ledger throw does not keep its neighbours out", async () => {
    const append: Lanes["append"] = async (submissions) => {
      await Promise.resolve();
      if (submissions.some(({ terminal }) => terminal === "bad")) throw new Error("a fault of ours");
      return submissions.map(() => stored);
    };
    const intake = new Intake({ append } as Partial<Lanes> as Lanes, () => undefined);
    const answers = await Promise.allSettled(
      ["first", "good", "bad", "fine"].map((name) => intake.submit(submission(name))),
    );
    expect(answers.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
  });

  test("a group is bounded, and so is what waits: above that, OVERLOADED (I10)", async () => {
    const { lanes, groups, finish } = slowLanes();
    const intake = new Intake(lanes, () => undefined);
    const big = 10 << 20;
    const taken = Array.from({ length: 8 }, (_, index) => intake.submit(submission(`t${index}`, big)));
    await expect(intake.submit(submission("late", big))).rejects.toMatchObject({ code: "OVERLOADED" });
    for (let i = 0; i < 8; i++) await finish();
    await Promise.all(taken);
    expect(groups.every((group) => group.length === 1)).toBe(true);
    const many = Array.from({ length: 600 }, (_, index) => intake.submit(submission(`m${index}`)));
    for (let i = 0; i < 4; i++) await finish();
    await Promise.all(many);
    expect(Math.max(...groups.map((group) => group.length))).toBe(256);
  });
});
