import { expect, test } from "vitest";
import { Stop } from "./stop.ts";

const nobody = (what: string, thrown: unknown): void => expect.fail(`${what} failed: ${String(thrown)}`);

test("closes one after the other, last registered first, after raising the signal", async () => {
  const stop = new Stop();
  const closed: string[] = [];
  for (const name of ["ledger", "processor", "server"]) {
    stop.onClose(name, async () => {
      expect(stop.requested).toBe(true);
      closed.push(`${name} closes`);
      await Promise.resolve();
      closed.push(`${name} closed`);
    });
  }
  await stop.end(nobody);
  expect(closed).toEqual([
    "server closes",
    "server closed",
    "processor closes",
    "processor closed",
    "ledger closes",
    "ledger closed",
  ]);
});

test("a second request waits for the same end and closes nothing twice", async () => {
  const stop = new Stop();
  let closed = 0;
  stop.onClose("ledger", () => void (closed += 1));
  await Promise.all([stop.end(nobody), stop.end(nobody)]);
  await stop.end(nobody);
  expect(closed).toBe(1);
});

test("a closer that fails is told, and the others are closed all the same", async () => {
  const stop = new Stop();
  const closed: string[] = [];
  const failed: unknown[] = [];
  stop.onClose("ledger", () => void closed.push("ledger"));
  stop.onClose("later refusal", () => Promise.reject(new Error("no")));
  stop.onClose("thrown at once", () => {
    throw new Error("no");
  });
  await stop.end((what, thrown) => failed.push([what, (thrown as Error).message]));
  expect(failed).toEqual([
    ["thrown at once", "no"],
    ["later refusal", "no"],
  ]);
  expect(closed).toEqual(["ledger"]);
});

test("what is opened while the process already stops is closed too", async () => {
  const stop = new Stop();
  const closed: string[] = [];
  stop.onClose("server", () => {
    stop.onClose("opened by a closer", () => void closed.push("opened by a closer"));
  });
  const ending = stop.end(nobody);
  stop.onClose("opened meanwhile", () => void closed.push("opened meanwhile"));
  await ending;
  stop.onClose("opened afterwards", () => void closed.push("opened afterwards"));
  await stop.end(nobody);
  expect(closed.toSorted()).toEqual(["opened afterwards", "opened by a closer", "opened meanwhile"]);
});
