import { expect, test } from "vitest";
import { WaybillError } from "../base/errors.ts";
import { actor } from "../base/ids.ts";
import { systemRuntime, type Runtime } from "../base/runtime.ts";
import type { WireRequest } from "../hub/api/http.ts";
import { Sessions } from "./sessions.ts";

const HOUR = 3_600_000;

function door(): { sessions: Sessions; pass: (ms: number) => void } {
  let now = 0;
  const runtime: Runtime = { ...systemRuntime, clock: { ...systemRuntime.clock, elapsed: () => now } };
  const sessions = new Sessions(
    runtime,
    (token) => {
      if (token !== "right") throw new WaybillError("UNAUTHENTICATED", "unknown");
      return actor("operator:anna");
    },
    actor("operator:local"),
  );
  return { sessions, pass: (ms) => void (now += ms) };
}
const request = (cookie: string): WireRequest => ({
  method: "GET",
  path: "/",
  query: new URLSearchParams(),
  headers: { cookie },
  body: new Uint8Array(0),
  signal: new AbortController().signal,
});

test("a session ends after twelve hours, whatever it was used for", () => {
  const { sessions, pass } = door();
  const { cookie } = sessions.signInByToken("right");
  pass(11 * HOUR);
  expect(sessions.of(request(cookie))?.actor).toBe("operator:anna");
  pass(HOUR);
  expect(sessions.of(request(cookie))).toBeNull();
});
test("the cookie is found among others", () => {
  const { sessions } = door();
  const [cookie = ""] = sessions.signInByToken("right").cookie.split(";");
  expect(sessions.of(request(`a=1; ${cookie}; b=2`))).not.toBeNull();
  expect(sessions.of(request(`not_${cookie}`))).toBeNull();
});
test("after ten failures within a minute nobody is let in until the minute has passed", () => {
  const { sessions, pass } = door();
  for (let i = 0; i < 10; i++) expect(() => sessions.signInByToken("wrong")).toThrow("UNAUTHENTICATED");
  expect(() => sessions.signInByToken("right")).toThrow("OVERLOADED");
  pass(60_001);
  expect(sessions.signInByToken("right").session.actor).toBe("operator:anna");
});
test("an invitation is good for a quarter of an hour", () => {
  const { sessions, pass } = door();
  const first = sessions.invite();
  pass(HOUR / 4);
  expect(() => sessions.signInByInvitation(first)).toThrow("UNAUTHENTICATED");
  expect(sessions.signInByInvitation(sessions.invite()).session.actor).toBe("operator:local");
});
test("the oldest of very many sessions is signed out", () => {
  const { sessions } = door();
  const { cookie } = sessions.signInByToken("right");
  for (let i = 0; i < 1_000; i++) sessions.signInByToken("right");
  expect(sessions.of(request(cookie))).toBeNull();
});
