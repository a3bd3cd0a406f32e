import { describe, expect, test } from "vitest";
import { later } from "../../base/clock.ts";
import { actor, laneName, terminalId, workerId } from "../../base/ids.ts";
import { GIVE_UP_MS, REPORT_MS, WAITING_NOTICES, type AlertLimits, type AlertPolicy, type Trouble } from "../alerts.ts";
import type { Ledger } from "../port.ts";
import type { OpenSubject, Subject } from "./subject.ts";
import { behind, drain, send, Till } from "./till.ts";

const ANNA = actor("operator:anna");
const [ONE, TWO] = [workerId("hub-1"), workerId("hub-2")];
const POLICY: AlertPolicy = {
  settleMs: 60_000,
  againMs: 3_600_000,
  each: 3,
  channels: ["log", "pager"],
  lostMs: 24 * 3_600_000,
};
const HOUR_MS = 3_600_000;
const LIMITS: AlertLimits = {
  heldMs: 1_800_000,
  silent: { factor: 2, leastMs: 1_800_000, newMs: 48 * HOUR_MS },
  skewMs: 300_000,
  most: 100,
};
const trouble = (subject: string, more: Partial<Trouble> = {}): Trouble => ({
  rule: "lane-held",
  subject,
  what: `${subject} is held`,
  count: null,
  facts: { lane: subject },
  ...more,
});

/** What each channel is told from now on, in order, all of it taken. */
async function takeAll({ alerts }: Ledger, channels = POLICY.channels): Promise<string[]> {
  const told: string[] = [];
  for (;;) {
    const due = await alerts.due(channels);
    if (due.length === 0) return told.toSorted();
    for (const { id, channel, kind, alert } of due) {
      told.push(`${channel} ${kind} ${alert.subject}`);
      await alerts.delivered(id);
    }
  }
}
const look = (ledger: Ledger, found: readonly Trouble[], looked = ["lane-held"]) =>
  ledger.alerts.observe(looked, found, POLICY);

async function enrolled(ledger: Ledger, name: string): Promise<void> {
  const hash = new Uint8Array(32).fill(name.charCodeAt(name.length - 1));
  const by = ANNA;
  await ledger.terminals.createToken(hash, { terminal: terminalId(name), tags: {}, validMs: 60_000, by });
  await ledger.terminals.enroll(hash, terminalId(name), {}, hash);
}
const MINUTE_MS = 60_000;
/** Time goes on while a hub looks now and then. */
async function watchFor(subject: Subject, ms: number): Promise<void> {
  for (let gone = 0; gone < ms; gone += POLICY.lostMs) {
    await subject.advance(Math.min(POLICY.lostMs, ms - gone));
    await look(subject.ledger, []);
  }
}

export function alertsContract(adapter: string, open: OpenSubject): void {
  describe(`alerts contract: ${adapter}`, () => {
    test("a trouble is raised once and cleared once, for each channel, also over restarts", async () => {
      await using subject = await open();
      await look(subject.ledger, [trouble("t1/E1")]);
      await subject.restart();
      await look(subject.ledger, [trouble("t1/E1")]);
      expect(await takeAll(subject.ledger)).toEqual(["log raised t1/E1", "pager raised t1/E1"]);
      await look(subject.ledger, []);
      await subject.restart();
      await subject.advance(60_000);
      await look(subject.ledger, []);
      await look(subject.ledger, []);
      expect(await takeAll(subject.ledger)).toEqual(["log cleared t1/E1", "pager cleared t1/E1"]);
      const [past] = await subject.ledger.alerts.list({ state: "past" }, 10, null);
      expect(past).toMatchObject({ rule: "lane-held", subject: "t1/E1", facts: { lane: "t1/E1" } });
      expect(await subject.ledger.alerts.list({ state: "open" }, 10, null)).toEqual([]);
      const kinds = (await subject.ledger.trail.recent(10, null)).map(({ kind }) => kind);
      expect(kinds.slice(0, 2)).toEqual(["alert cleared", "alert raised"]);
    });

    test("a notice waits until it is delivered: what was not said to be taken comes again with the same key", async () => {
      await using subject = await open();
      await look(subject.ledger, [trouble("t1/E1")]);
      const before = await subject.ledger.alerts.due(["pager"]);
      await subject.restart();
      const after = await subject.ledger.alerts.due(["pager"]);
      expect(after).toEqual(before);
      expect(after[0]).toMatchObject({ kind: "raised", attempts: 0, alert: { subject: "t1/E1" } });
      expect(after[0]?.key).toMatch(/^[0-9A-Z]{26}\/1$/);
    });

    test("one that failed is tried again when it is due, the ones behind it wait, and after a day it is given up", async () => {
      await using subject = await open();
      const { alerts } = subject.ledger;
      await look(subject.ledger, [trouble("t1/E1")]);
      await subject.advance(1_000);
      await look(subject.ledger, [trouble("t1/E1"), trouble("t2/E1")]);
      const [first] = await alerts
        .due(["log", "pager"])
        .then((due) => due.filter(({ channel }) => channel === "pager"));
      expect(await alerts.failed(first!.id, "receiver answered 500", 5_000)).toBe("waits");
      expect((await alerts.due(["pager"])).map(({ id }) => id)).toEqual([]);
      await subject.advance(5_000);
      expect(await alerts.due(["pager"])).toMatchObject([{ id: first!.id, attempts: 1 }]);
      expect(await alerts.channels()).toMatchObject([
        { channel: "log", waiting: 0, givenUp: 2 },
        { channel: "pager", waiting: 2, fault: "receiver answered 500" },
      ]);
      await subject.advance(GIVE_UP_MS);
      expect(await alerts.failed(first!.id, "receiver answered 500", 5_000)).toBe("given up");
      expect(await alerts.due(["pager"])).toMatchObject([{ attempts: 0, alert: { subject: "t2/E1" } }]);
    });

    test("a clock that was set back keeps nobody waiting for a notice", async () => {
      await using subject = await open();
      const { alerts, work } = subject.ledger;
      await look(subject.ledger, [trouble("t1/E1")]);
      const [first] = await alerts.due(["log", "pager"]);
      await alerts.failed(first!.id, "receiver answered 500", 5_000);
      await subject.setBack(HOUR_MS);
      await work.nextDue();
      await work.claim(ONE, { lanes: 1, messages: 1, bytes: 1 }, 60_000); // the next claim notices
      expect((await alerts.due(["log", "pager"])).map(({ id }) => id)).toContain(first!.id);
    });

    test("notices of a channel that is no longer configured are given up, and a channel never keeps too many", async () => {
      await using subject = await open();
      const { alerts } = subject.ledger;
      await look(subject.ledger, [trouble("t1/E1")]);
      expect(await takeAll(subject.ledger, ["log"])).toEqual(["log raised t1/E1"]);
      expect((await alerts.channels()).find(({ channel }) => channel === "pager")).toMatchObject({
        waiting: 0,
        givenUp: 1,
        fault: "the channel is no longer configured",
      });
      const many = Array.from({ length: WAITING_NOTICES + 3 }, (_, n) => trouble(`t${n}/E2`));
      await alerts.observe(["lane-held"], many, { ...POLICY, each: 5_000, channels: ["pager"] });
      expect((await alerts.channels()).find(({ channel }) => channel === "pager")).toMatchObject({
        waiting: WAITING_NOTICES,
        givenUp: 4,
      });
    });

    test("what a process reports counts until it says otherwise, or has not been heard of for long", async () => {
      await using subject = await open();
      const { alerts } = subject.ledger;
      const away = trouble("central", { rule: "breaker-open", what: "the centre is away" });
      const openNow = async () => (await alerts.list({ state: "open" }, 10, null)).map(({ subject: of }) => of);
      await alerts.report(ONE, [away]);
      await alerts.report(TWO, [away]);
      await look(subject.ledger, [], ["breaker-open"]);
      expect(await openNow()).toEqual(["central"]);
      await alerts.report(ONE, []);
      await watchFor(subject, REPORT_MS - 1);
      await look(subject.ledger, [], ["breaker-open"]);
      expect(await openNow()).toEqual(["central"]); // the other says so still
      await subject.advance(2);
      await look(subject.ledger, [], ["breaker-open"]);
      await subject.advance(POLICY.settleMs);
      await look(subject.ledger, [], ["breaker-open"]);
      expect(await openNow()).toEqual([]);
    });

    test("who has lost the seat raises nothing", async () => {
      await using subject = await open();
      const { seats, alerts } = subject.ledger;
      if (!seats) return; // one process holds this ledger
      const lost = await seats.take("alerts", ONE, 1_000);
      await subject.advance(1_000);
      const mine = await seats.take("alerts", TWO, 1_000);
      expect(await alerts.observe(["lane-held"], [trouble("t1/E1")], POLICY, lost!)).toBe(false);
      expect(await alerts.list({ state: "open" }, 10, null)).toEqual([]);
      expect(await alerts.observe(["lane-held"], [trouble("t1/E1")], POLICY, mine!)).toBe(true);
    });

    test("a person sees an alert, with an event; one that is over or unknown cannot be seen", async () => {
      await using subject = await open();
      const { alerts, trail } = subject.ledger;
      await look(subject.ledger, [trouble("t1/E1", { count: 3 })]);
      const [alert] = await alerts.list({ state: "open" }, 10, null);
      expect(await alerts.open()).toEqual({ open: 1, unseen: 1 });
      expect(await alerts.see(alert!.id, ANNA, "on it")).toMatchObject({ seen: { by: ANNA, note: "on it" } });
      expect(await alerts.open()).toEqual({ open: 1, unseen: 0 });
      expect(await alerts.get(alert!.id)).toMatchObject({ seen: { by: ANNA, note: "on it" } });
      expect(await trail.recent(1, null)).toMatchObject([{ kind: "alert seen", actor: ANNA }]);
      await subject.advance(HOUR_MS);
      await look(subject.ledger, [trouble("t1/E1", { count: 30 })]);
      expect(await takeAll(subject.ledger)).toEqual(["log raised t1/E1", "pager raised t1/E1"]);
      await look(subject.ledger, []);
      await subject.advance(60_000);
      await look(subject.ledger, []);
      expect(await alerts.open()).toEqual({ open: 0, unseen: 0 });
      await expect(alerts.see(alert!.id, ANNA, "late")).rejects.toMatchObject({ code: "STATE_CONFLICT" });
      await expect(alerts.see("01JDCW0000000000000000000A", ANNA, "who")).rejects.toMatchObject({ code: "NOT_FOUND" });
    });

    test("alerts are listed newest first, page by page, by rule, also those of one moment", async () => {
      await using subject = await open();
      for (const name of ["a", "b", "c"]) {
        await subject.ledger.alerts.observe([], [trouble(name), trouble(name, { rule: "other" })], POLICY);
      }
      const { alerts } = subject.ledger;
      const mine = { state: "open", rule: "lane-held" } as const;
      const page = await alerts.list(mine, 2, null);
      expect(page.map(({ subject: of }) => of)).toEqual(["c", "b"]);
      expect((await alerts.list(mine, 2, page[1]!.id)).map(({ subject: of }) => of)).toEqual(["a"]);
      const all = await alerts.list({ state: "open" }, 10, null);
      const raised = ["a", "b", "c"].flatMap((name) => [`lane-held ${name}`, `other ${name}`]);
      expect(all.map(({ rule, subject: of }) => `${rule} ${of}`)).toEqual(raised.toReversed());
    });

    test("looking tells dead letters by fault and tables, held lanes, and how old the backlog is", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const [t1, t2] = [new Till("t1").write(4), new Till("t2").write(2)];
      await send(ledger, t1.request());
      await send(ledger, t2.request());
      await drain(ledger, (n) => (n === 2 ? {} : n === 3 ? { state: "held", behind: behind(t1.lane, 2) } : null));
      expect(await ledger.alerts.look(LIMITS)).toMatchObject({
        dead: [{ fault: "ROW_REFUSED", tables: ["sale"], messages: 2, lanes: 2 }],
        held: { rows: [], count: 0 },
        backlog: { messages: 0, lanes: 0, oldestAt: null, lane: null },
      });
      await subject.advance(LIMITS.heldMs! + 1);
      await send(ledger, t2.write(3).request({ seq: 2, part: 0 }));
      const { at, held, backlog } = await ledger.alerts.look(LIMITS);
      expect(held).toMatchObject({ rows: [{ lane: t1.lane, messages: 1 }], count: 1 });
      expect(backlog).toMatchObject({ messages: 3, lanes: 1, lane: laneName(t2.terminal, t2.epoch) });
      expect(at - Number(backlog.oldestAt)).toBe(0);
      expect((await ledger.alerts.look({ ...LIMITS, heldMs: null })).held.count).toBe(0);
    });

    test("a terminal is silent when it is so for longer than is usual for it; what it was while no hub was there does not count", async () => {
      await using subject = await open();
      const { ledger } = subject;
      await enrolled(ledger, "t1");
      const seen = async (): Promise<void> => {
        const { at } = await ledger.alerts.look(LIMITS);
        await ledger.terminals.seen([
          { terminal: terminalId("t1"), at, skewMs: 0, version: null, deliveredThrough: null },
        ]);
      };
      const silent = async () => (await ledger.alerts.look(LIMITS)).silent;
      await watchFor(subject, MINUTE_MS);
      await seen();
      // A shop of a week and a day: open, then closed for ten hours.
      for (let day = 0; day < 8; day++) {
        await watchFor(subject, 10 * HOUR_MS);
        expect((await silent()).count).toBe(0);
        await seen();
        await watchFor(subject, 14 * HOUR_MS);
        await seen();
      }
      await watchFor(subject, 27 * HOUR_MS);
      expect((await silent()).count).toBe(0);
      await watchFor(subject, 2 * HOUR_MS);
      expect(await silent()).toMatchObject({ rows: [{ terminal: "t1", usualMs: 14 * HOUR_MS }], count: 1 });
      // The hub is away for days, too: nobody could be heard meanwhile.
      await seen();
      await subject.advance(72 * HOUR_MS);
      await look(ledger, []);
      expect((await silent()).count).toBe(0);
      await watchFor(subject, HOUR_MS);
      expect((await silent()).count).toBe(0);
    });

    test("a terminal that is new is given two days, a revoked one is never silent", async () => {
      await using subject = await open();
      const { ledger } = subject;
      await look(ledger, []);
      await enrolled(ledger, "t1");
      const { at } = await ledger.alerts.look(LIMITS);
      await ledger.terminals.seen([
        { terminal: terminalId("t1"), at, skewMs: 0, version: null, deliveredThrough: null },
      ]);
      await watchFor(subject, 49 * HOUR_MS);
      expect(await ledger.alerts.look(LIMITS)).toMatchObject({ silent: { rows: [{ usualMs: null }], count: 1 } });
      await ledger.terminals.revoke(terminalId("t1"), ANNA);
      expect((await ledger.alerts.look(LIMITS)).silent.count).toBe(0);
    });

    test("an outage of a terminal does not become its custom at once", async () => {
      await using subject = await open();
      const { ledger } = subject;
      await enrolled(ledger, "t1");
      const now = async () => (await ledger.alerts.look(LIMITS)).at;
      const seenAt = async (at: Awaited<ReturnType<typeof now>>): Promise<void> =>
        ledger.terminals.seen([{ terminal: terminalId("t1"), at, skewMs: 0, version: null, deliveredThrough: null }]);
      const day = async (): Promise<void> => {
        await watchFor(subject, 10 * HOUR_MS);
        await seenAt(await now());
        await watchFor(subject, 14 * HOUR_MS);
        await seenAt(await now());
      };
      await look(ledger, []);
      await seenAt(await now());
      for (let n = 0; n < 8; n++) await day();
      await watchFor(subject, 100 * HOUR_MS);
      await seenAt(await now());
      await watchFor(subject, 55 * HOUR_MS);
      expect((await ledger.alerts.look(LIMITS)).silent.count).toBe(0);
      await watchFor(subject, 2 * HOUR_MS); // of the outage twice the usual 14 hours count
      expect((await ledger.alerts.look(LIMITS)).silent).toMatchObject({ rows: [{ usualMs: 28 * HOUR_MS }], count: 1 });
    });

    test("a wrong clock is named, the worst first, as many as are asked for, and all are counted", async () => {
      await using subject = await open();
      const { ledger } = subject;
      const skews = { t1: 400_000, t2: -900_000, t3: 1_000 };
      for (const [name, skewMs] of Object.entries(skews)) {
        await enrolled(ledger, name);
        const { at } = await ledger.alerts.look(LIMITS);
        await ledger.terminals.seen([
          { terminal: terminalId(name), at: later(at, 0), skewMs, version: null, deliveredThrough: null },
        ]);
      }
      expect((await ledger.alerts.look({ ...LIMITS, most: 1 })).skewed).toEqual({
        rows: [{ terminal: "t2", skewMs: -900_000 }],
        count: 2,
      });
    });

    test("numbers that are lost count for a day", async () => {
      await using subject = await open();
      const till = new Till("t1").write(9);
      await send(subject.ledger, till.request({ seq: 5, part: 0 }, { seq: 9, part: 0 }, 6));
      expect((await subject.ledger.alerts.look(LIMITS)).restores).toMatchObject({ missing: 5 });
      await subject.advance(25 * HOUR_MS);
      expect((await subject.ledger.alerts.look(LIMITS)).restores).toMatchObject({ missing: 0 });
    });
  });
}
