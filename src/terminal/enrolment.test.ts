import { readFileSync, statSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { folderAt } from "../base/folder.ts";
import { systemRuntime } from "../base/runtime.ts";
import { FakeHub } from "../../test/kit/fake-hub.ts";
import { tempDir } from "../../test/kit/temp-dir.ts";
import { ensureEnrolled } from "./enrolment.ts";
import { HubClient } from "./hub-client.ts";

const { random, clock } = systemRuntime;
const enrol = (hub: FakeHub, folder: string, token: string | undefined): Promise<boolean> =>
  ensureEnrolled({
    folder: folderAt(folder),
    terminal: "t1",
    token,
    tags: {},
    random,
    client: new HubClient({
      hub: hub.url,
      network: hub,
      clock,
      timeoutMs: 1_000,
      version: "test",
      signal: new AbortController().signal,
    }),
  });

describe("enrolment", () => {
  test("the key stands in the state folder, for its owner only, and the token is not needed again", async () => {
    await using dir = tempDir();
    const hub = new FakeHub({});
    expect(await enrol(hub, dir.file("state"), hub.token)).toBe(true);
    expect(statSync(dir.file("state", "terminal.key")).mode & 0o777).toBe(0o600);
    expect(readFileSync(dir.file("state", "terminal.key"), "utf8")).not.toContain(hub.token);
    expect(await enrol(hub, dir.file("state"), undefined)).toBe(false);
    expect(hub.calls.map(({ path }) => path)).toEqual(["/v1/enroll"]);
  });

  test("a lost answer is repeated with the same key, so a token that works once is enough", async () => {
    await using dir = tempDir();
    const hub = new FakeHub({});
    hub.accident = () => "lose-answer";
    await expect(enrol(hub, dir.path, hub.token)).rejects.toMatchObject({ code: "HUB_UNREACHABLE" });
    hub.accident = () => null;
    expect(await enrol(hub, dir.path, hub.token)).toBe(true);
  });

  test("without key and token it says what is needed", async () => {
    await using dir = tempDir();
    await expect(enrol(new FakeHub({}), dir.path, undefined)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  test("a wrong token does not cost a terminal the key that works", async () => {
    await using dir = tempDir();
    const hub = new FakeHub({});
    await enrol(hub, dir.path, hub.token);
    const before = JSON.parse(readFileSync(dir.file("terminal.key"), "utf8")) as { key: string };
    expect(await enrol(hub, dir.path, "a token of yesterday")).toBe(false);
    const after = JSON.parse(readFileSync(dir.file("terminal.key"), "utf8")) as { key: string; enrolled: boolean };
    expect(after).toMatchObject({ key: before.key, enrolled: true });
  });

  test("a wrong token is told, and a right one afterwards works", async () => {
    await using dir = tempDir();
    const hub = new FakeHub({});
    await expect(enrol(hub, dir.path, "another")).rejects.toMatchObject({ code: "TOKEN_INVALID" });
    expect(await enrol(hub, dir.path, hub.token)).toBe(true);
  });
});
