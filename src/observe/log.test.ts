import { expect, test } from "vitest";
import { WaybillError } from "../base/errors.ts";
import { createLog, readable } from "./log.ts";
import { LOG_EVENTS } from "./log-events.ts";

function logged(): { log: ReturnType<typeof createLog>; lines: () => Record<string, unknown>[] } {
  const lines: string[] = [];
  const log = createLog({ level: "debug", form: "json", to: { write: (line) => lines.push(line) } });
  return { log, lines: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

test("a line is its event, its level, its time and its facts", () => {
  const { log, lines } = logged();
  log.child({ terminal: "t1" }).info({ from: 1, through: 20 }, "run.claimed");
  expect(lines()).toEqual([
    {
      level: "info",
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      terminal: "t1",
      from: 1,
      through: 20,
      event: "run.claimed",
    },
  ]);
});

test("secrets never appear", () => {
  const { log, lines } = logged();
  log.warn(
    { key: "s3cret", request: { authorization: "Bearer s3cret" }, ledger: "postgres://u:s3cret@host/db" },
    "request.refused",
  );
  log.child({ token: "s3cret" }).warn({}, "request.refused");
  expect(JSON.stringify(lines())).not.toContain("s3cret");
  expect(lines()[0]?.["ledger"]).toBe("postgres://u:[secret]@host/db");
});

test("a refusal tells its code and words, a fault of ours its stack too, and both their causes", () => {
  const { log, lines } = logged();
  const cause = new Error("disk I/O error");
  log.error({ error: new WaybillError("DISK_FULL", "ledger.db", { cause }) }, "claim.failed");
  log.error({ error: new TypeError("x is not a function") }, "claim.failed");
  const [refused, ours] = lines().map((line) => line["error"] as Record<string, unknown>);
  expect(refused).toMatchObject({ code: "DISK_FULL", what: "ledger.db", cause: { what: "disk I/O error" } });
  expect(refused).not.toHaveProperty("stack");
  expect(ours).toMatchObject({ what: "x is not a function", stack: expect.stringContaining("log.test.ts") });
});

test("people read one line a record", () => {
  const shown: string[] = [];
  const log = createLog({ level: "info", form: "json", to: readable({ write: (line) => shown.push(line) }, "plain") });
  log.info({ lane: "t1/E1", through: 20, why: "the hub stops" }, "run.released");
  expect(shown.join("")).toMatch(
    /^\d\d:\d\d:\d\d\.\d{3} info {2}run\.released lane=t1\/E1 through=20 why="the hub stops"\n$/,
  );
});

test("every event has a dotted name and a meaning", () => {
  for (const [name, meaning] of Object.entries(LOG_EVENTS)) {
    expect(name).toMatch(/^[a-z]+(\.[a-z-]+)+$/);
    expect(meaning).toMatch(/\.$/);
  }
});
