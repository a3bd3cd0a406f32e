import { afterAll, beforeAll, expect, test } from "vitest";
import { tempDir, type TempDir } from "../../test/kit/temp-dir.ts";
import { instant, later } from "../base/clock.ts";
import { SYSTEM } from "../base/ids.ts";
import { systemRuntime, type Runtime } from "../base/runtime.ts";
import type { WireRequest } from "../hub/api/http.ts";
import { passwordHash } from "../hub/api/password.ts";
import { openSqliteLedger } from "../ledger/sqlite/ledger.ts";
import type { Ledger } from "../ledger/port.ts";
import { silentLog } from "../observe/log.ts";
import { Sessions } from "./sessions.ts";

const HOUR = 3_600_000;
let now = 0;
const clock = { now: () => later(instant(1_000_000_000_000), now), elapsed: () => now };
const runtime: Runtime = { ...systemRuntime, clock };
let dir: TempDir;
let ledger: Ledger;
beforeAll(async () => {
  dir = tempDir();
  ledger = await openSqliteLedger(dir.file("ledger.db"), runtime);
  await ledger.access.addOperator("anna", "operator", await passwordHash("right", runtime.random), SYSTEM);
});
afterAll(async () => {
  await ledger[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});
const hub = (): Sessions => new Sessions({ ledger, runtime, log: silentLog });
const request = (cookie = ""): WireRequest => ({
  method: "GET",
  path: "/",
  query: new URLSearchParams(),
  headers: { cookie },
  body: new Uint8Array(0),
  signal: new AbortController().signal,
});
const cookieOf = ({ cookie }: { readonly cookie: string }): string => cookie.split(";")[0] ?? "";

test("a session is known to every hub of the ledger, among other cookies", async () => {
  const cookie = cookieOf(await hub().signIn("anna", "right", request()));
  expect(await hub().of(request(`a=1; ${cookie}; b=2`))).toMatchObject({ actor: "operator:anna", role: "operator" });
  expect(await hub().of(request(`not_${cookie}`))).toBeNull();
});
test("a session ends after twelve hours of work, or two without any", async () => {
  const [used, unused] = [
    await hub().signIn("anna", "right", request()),
    await hub().signIn("anna", "right", request()),
  ];
  for (let hour = 1; hour < 12; hour++) {
    now += HOUR;
    expect(await hub().of(request(cookieOf(used)))).not.toBeNull();
  }
  expect(await hub().of(request(cookieOf(unused)))).toBeNull();
  now += HOUR;
  expect(await hub().of(request(cookieOf(used)))).toBeNull();
});
test("an invitation is good for a quarter of an hour", async () => {
  const sessions = hub();
  const first = await sessions.invite();
  now += HOUR / 4;
  await expect(sessions.accept(first, request())).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  const accepted = await sessions.accept(await sessions.invite(), request());
  expect(accepted.session).toMatchObject({ actor: "operator:local", role: "admin" });
});
test("hubs of one ledger agree: a link used at one is not offered again by the other", async () => {
  const [here, there] = [hub(), hub()];
  const link = await here.invite();
  expect(await here.invite(), "the same while it stands").toBe(link);
  await there.accept(link, request());
  const next = await here.invite();
  expect(next).not.toBe(link);
  await there.accept(next, request());
});
