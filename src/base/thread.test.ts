import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import type { Counter, CounterData } from "../../test/kit/counter-thread.ts";
import { startThread, threadModule } from "./thread.ts";

const MODULE = new URL("../../test/kit/counter-thread.ts", import.meta.url);

function counter(data: CounterData = { start: 0 }) {
  const thread = startThread<Counter>("counter", MODULE, data);
  return { ...thread, [Symbol.asyncDispose]: () => thread.stop() };
}

describe("an object on a thread", () => {
  test("answers calls in order, also those made before it was open", async () => {
    await using thread = counter({ start: 10 });
    expect(await Promise.all([1, 2, 3].map((n) => thread.remote.add(n)))).toEqual([11, 13, 16]);
  });
  test("takes and gives what structured clone carries", async () => {
    await using thread = counter();
    const given = new Map<string, bigint | Uint8Array>([
      ["big", 2n ** 63n],
      ["bytes", new Uint8Array([1, 2])],
    ]);
    expect(await thread.remote.swap(given)).toEqual(given);
  });
  test("members of its members are called on the object they belong to", async () => {
    await using thread = counter({ start: 5 });
    expect(await thread.remote.inner.plus(1)).toBe(8);
    expect(await thread.remote.inner.deeper.twice(21)).toBe(42);
  });
  test("its refusal arrives as the same error, with code, words and facts", async () => {
    await using thread = counter();
    await expect(thread.remote.refuse()).rejects.toMatchObject({
      name: "WaybillError",
      code: "ROW_EXISTS",
      what: "sale S-9",
      facts: { seq: 7 },
      stack: expect.stringContaining("counter-thread.ts") as string,
    });
  });
  test("what cannot be cloned fails that call alone, on the way in and on the way out", async () => {
    await using thread = counter();
    await expect(thread.remote.add((() => 1) as unknown as number)).rejects.toThrow("could not be cloned");
    await expect(thread.remote.giveFunction()).rejects.toMatchObject({ code: "INTERNAL" });
    expect(await thread.remote.add(1)).toBe(1);
  });
  test("a method that it does not have fails that call alone", async () => {
    await using thread = counter();
    const { remote } = thread as unknown as { remote: { gone(): Promise<void> } };
    await expect(remote.gone()).rejects.toThrow("no method gone");
  });
  test("when it does not open, every call hears why", async () => {
    await using thread = counter({ start: 0, fails: "ledger.db is held" });
    await expect(thread.remote.add(1)).rejects.toMatchObject({ code: "ALREADY_RUNNING", what: "ledger.db is held" });
    await expect(thread.remote.add(1)).rejects.toMatchObject({ code: "ALREADY_RUNNING" });
  });
  test("the remote itself can be awaited: it is no promise", async () => {
    await using thread = counter();
    const remote = await Promise.resolve(thread.remote);
    expect(await remote.add(1)).toBe(1);
  });
});

describe("the end of a thread", () => {
  test("stopped: calls that wait and later ones fail, and it was no failure of the thread", async () => {
    const thread = counter();
    const waits = thread.remote.never();
    waits.catch(() => undefined); // looked at below, after it was rejected
    await thread.remote.add(1);
    await thread.stop();
    await expect(waits).rejects.toMatchObject({ code: "INTERNAL", what: "thread counter ended" });
    expect(await thread.ended).toBeNull();
    await expect(thread.remote.add(1)).rejects.toMatchObject({ code: "INTERNAL" });
    await thread.stop();
  });
  test("an error nobody caught: the calls fail with it as cause, and the end tells it", async () => {
    await using thread = counter();
    const cause = { message: "nobody catches this" };
    await expect(thread.remote.die()).rejects.toMatchObject({ code: "INTERNAL", cause });
    expect(await thread.ended).toMatchObject(cause);
  });
  test("an exit that was not asked for is told as one, also with code 0", async () => {
    await using thread = counter();
    await expect(thread.remote.exit(0)).rejects.toMatchObject({ code: "INTERNAL" });
    expect(await thread.ended).toMatchObject({ message: "INTERNAL: thread counter ended with code 0" });
  });
  test("a module that is not there", async () => {
    const thread = startThread<Counter>("nowhere", new URL("./nowhere.ts", MODULE), null);
    await expect(thread.remote.add(1)).rejects.toMatchObject({ code: "INTERNAL" });
    expect(await thread.ended).toMatchObject({ message: expect.stringContaining("nowhere.ts") as string });
  });
});

test("a thread's module has the ending of the module that starts it: source or build", () => {
  expect(threadModule(pathToFileURL("/w/src/hub/central.ts").href, "central-thread").pathname).toMatch(
    /hub\/central-thread\.ts$/,
  );
  expect(threadModule(pathToFileURL("/w/dist/hub/central.js").href, "central-thread").pathname).toMatch(
    /hub\/central-thread\.js$/,
  );
});
