import { expect, test } from "vitest";
import { hurried, openApi, OPERATOR, VIEWER, type ApiStation } from "../../test/kit/api.ts";
import { until } from "../../test/kit/until.ts";
import { actor, seq, workerId } from "../base/ids.ts";
import { systemRuntime, type Runtime } from "../base/runtime.ts";
import { drain, send, Till } from "../ledger/contract/till.ts";
import type { Keep } from "../ledger/retention.ts";
import type { Ledger } from "../ledger/port.ts";
import type { Seats } from "../ledger/seats.ts";
import { silentLog } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import { removedText, RetentionKeeper, type RetentionPass, type RetentionState } from "./retention-keeper.ts";

const ANNA = actor("operator:anna");
/** Whatever is over is beyond its time at once. */
const NOTHING_KEPT: Keep = { messagesMs: 1, eventsMs: 1, updatesMs: 1, awayMs: 1, historyMs: 1 };

function keeperOf(
  ledger: Pick<Ledger, "retention" | "trail" | "seats">,
  everyMs = 0,
  runtime: Pick<Runtime, "clock" | "timers"> = hurried,
) {
  const metrics = new Metrics();
  const parts = { runtime, log: silentLog, metrics, worker: workerId("w1") };
  return { metrics, keeper: new RetentionKeeper({ ...parts, ledger, settings: { keep: NOTHING_KEPT, everyMs } }) };
}
const ended = (keeper: RetentionKeeper): Promise<RetentionPass> =>
  until(async () => {
    const { pass } = await keeper.state();
    return pass?.endedAt ? pass : null;
  });
async function loadedTill({ ledger }: ApiStation): Promise<Till> {
  const till = new Till("t1").write(40);
  for (let n = 1; n <= 40; n++) await send(ledger, till.messages(n, n));
  await drain(ledger);
  return till;
}

test("a pass that a person asks for takes away what is over, shows what it did, and is told in the trail and as metrics", async () => {
  await using station = await openApi();
  const till = await loadedTill(station);
  const { keeper, metrics } = keeperOf(station.ledger);
  await using _ = keeper;
  await keeper.begin(ANNA); // notes how far the lane is
  await ended(keeper);
  expect(await keeper.begin(ANNA)).toMatchObject({ by: ANNA, endedAt: null });
  await expect(keeper.begin(ANNA), "one at a time").rejects.toMatchObject({ code: "STATE_CONFLICT" });
  const pass = await ended(keeper);
  expect(pass).toMatchObject({ kind: null, failed: null });
  expect(pass.removed.messages).toBeGreaterThanOrEqual(38);
  expect(pass.bytes).toBeGreaterThan(0);
  expect(metrics.value("waybill_retention_removed_total", { kind: "messages" })).toBe(pass.removed.messages);
  const [event] = await station.ledger.trail.recent(1, null);
  expect(event).toMatchObject({ kind: "retention ended", actor: ANNA, detail: removedText(pass.removed, pass.bytes) });
  expect(await station.ledger.bytes.read(till.lane, seq(1), seq(1), 0, 1)).toEqual([]);
});

test("passes begin by themselves on their beat", async () => {
  await using station = await openApi();
  await loadedTill(station);
  const { keeper, metrics } = keeperOf(station.ledger, 60_000);
  await using _ = keeper;
  await until(() => metrics.value("waybill_retention_removed_total", { kind: "messages" }) > 0);
});

test("of several processes one is at it, and one that has lost its seat stops", async () => {
  await using station = await openApi();
  await loadedTill(station);
  let holder = "another";
  let fence = 1;
  const seats: Seats = {
    take: async (name, worker) => (holder === "another" && worker !== holder ? null : { name, fence }),
    leave: async () => undefined,
  };
  let elapsed = 0;
  const clock = { now: () => systemRuntime.clock.now(), elapsed: () => (elapsed += 25_000) };
  const timers = { ...systemRuntime.timers, sleep: async () => undefined };
  const { keeper } = keeperOf({ ...station.ledger, seats }, 0, { clock, timers });
  await using _ = keeper;
  await expect(keeper.begin(ANNA)).rejects.toMatchObject({ code: "STATE_CONFLICT" });
  expect((await keeper.state()).pass).toBeNull();
  holder = "w1";
  await keeper.begin(ANNA);
  fence++; // the next time it is prolonged, it is another's
  expect(await ended(keeper)).toMatchObject({ failed: expect.stringContaining("LEASE_LOST") });
});

test("a fault ends a pass, says why, and the next one goes on", async () => {
  await using station = await openApi();
  await loadedTill(station);
  let ill = true;
  const { retention, trail } = station.ledger;
  const step: typeof retention.step = (...given) =>
    ill ? Promise.reject(new Error("gone")) : retention.step(...given);
  const { keeper } = keeperOf({ trail, retention: { ...retention, step } });
  await using _ = keeper;
  await keeper.begin(ANNA);
  expect(await ended(keeper)).toMatchObject({ failed: "INTERNAL: gone" });
  ill = false;
  await keeper.begin(ANNA);
  await until(async () => (await keeper.state()).pass?.failed === null && (await keeper.state()).pass?.endedAt);
});

test("the API shows it to everybody, and lets operators begin a pass", async () => {
  await using station = await openApi();
  const state = await station.call("GET", "/api/retention", { key: VIEWER });
  expect(state).toMatchObject({ status: 200, json: { everyMs: 0, pass: null } });
  expect((state.json as RetentionState).outlook.map(({ kind }) => kind)).toContain("messages");
  expect((await station.call("POST", "/api/retention/passes", { key: VIEWER, json: {} })).status).toBe(403);
  expect((await station.call("POST", "/api/retention/passes", { key: OPERATOR, json: {} })).status).toBe(202);
  await until(async () => {
    const { pass } = (await station.call("GET", "/api/retention", { key: VIEWER })).json as RetentionState;
    return pass?.endedAt !== null;
  });
});
