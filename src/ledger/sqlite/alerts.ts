import { WaybillError } from "../../base/errors.ts";
import { SYSTEM, actorOf } from "../../base/ids.ts";
import { newUlid } from "../../base/runtime.ts";
import { judgeAlerts, type AlertMove } from "../alert-judge.ts";
import {
  ALERT_COLUMNS,
  alertOf,
  eventText,
  noticeKey,
  noticeOf,
  OPEN_COLUMNS,
  openOf,
  troublesOf,
  type AlertRow,
  type NoticeRow,
  type OpenRow,
} from "../alert-rows.ts";
import {
  ALERTS_KEPT_MS,
  GIVE_UP_MS,
  REPORT_MS,
  WAITING_NOTICES,
  type Alert,
  type AlertPolicy,
  type Alerts,
  type ChannelState,
  type Notice,
  type NoticeKind,
  type OpenAlerts,
  type Trouble,
} from "../alerts.ts";
import { lookForTrouble } from "./alert-sight.ts";
import { note } from "./events.ts";
import type { Store } from "./store.ts";

export const alertsOn = (store: Store): Alerts => ({
  look: async (limits) => lookForTrouble(store, limits),
  report: async (process, troubles) => {
    store.write(() => {
      if (troubles.length === 0) store.run("delete from alert_report where process = ?", process);
      else
        store.run(
          `insert into alert_report (process, troubles, at) values (?1, ?2, ?3)
           on conflict (process) do update set troubles = ?2, at = ?3`,
          process,
          JSON.stringify(troubles),
          store.now(),
        );
    });
  },
  // Only one process holds this ledger: there is no seat to lose.
  observe: async (looked, found, policy) =>
    store.write(() => {
      watched(store, policy.lostMs);
      observe(store, new Set(looked), found, policy);
      forgetOld(store);
      return true;
    }),
  due: async (channels) => due(store, channels),
  delivered: async (notice) => {
    store.write(() =>
      store.run(
        "update alert_notice set state = 'delivered', ended_at = ?, fault = null where id = ? and state = 'waiting'",
        store.now(),
        notice,
      ),
    );
  },
  failed: async (notice, why, retryInMs) => store.write(() => failed(store, notice, why, retryInMs)),
  list: async ({ state, rule }, limit, before) =>
    store
      .all<AlertRow>(
        `select ${ALERT_COLUMNS} from alert
         where (cleared_at is null) = ?1 and (?2 is null or rule = ?2) and (?3 is null or id < ?3)
         order by id desc limit ?4`,
        state === "open" ? 1 : 0,
        rule ?? null,
        before,
        limit,
      )
      .map(alertOf),
  get: async (id) => one(store, id),
  open: async () =>
    store.get<OpenAlerts>(
      "select count(*) as open, count(*) - count(seen_at) as unseen from alert where cleared_at is null",
    ) ?? { open: 0, unseen: 0 },
  channels: async () =>
    store.all<ChannelState>(
      `select channel, sum(state = 'waiting') as waiting, max(case when state = 'delivered' then ended_at end) as deliveredAt,
              (select f.fault from alert_notice f where f.channel = n.channel and (f.attempts > 0 or f.state <> 'waiting')
               order by f.id desc limit 1) as fault,
              sum(state = 'given up') as givenUp
       from alert_notice n group by channel order by channel`,
    ),
  see: async (id, by, words) =>
    store.write(() => {
      const alert = one(store, id);
      if (!alert) throw new WaybillError("NOT_FOUND", `there is no alert ${id}`);
      if (alert.clearedAt !== null) throw new WaybillError("STATE_CONFLICT", `alert ${id} is over`);
      store.run(
        "update alert set seen_by = ?, seen_at = ?, seen_note = ? where id = ?",
        actorOf(by),
        store.now(),
        words,
        id,
      );
      note(store, "alert seen", by, `${eventText(alert)} ${words}`);
      return { ...alert, seen: { by: actorOf(by), at: store.now(), note: words } };
    }),
});

function one(store: Store, id: string): Alert | null {
  const row = store.get<AlertRow>(`select ${ALERT_COLUMNS} from alert where id = ?`, id);
  return row ? alertOf(row) : null;
}

/** Remembers that somebody looked, and since when without a pause. */
function watched(store: Store, lostMs: number): void {
  store.run(
    "update alert_watch set since = case when ?1 - looked_at > ?2 then ?1 else since end, looked_at = ?1",
    store.now(),
    lostMs,
  );
}

function observe(store: Store, looked: ReadonlySet<string>, found: readonly Trouble[], policy: AlertPolicy): void {
  const now = store.now();
  store.run("delete from alert_report where at < ?", now - REPORT_MS);
  const reported = troublesOf(store.all<{ troubles: string }>("select troubles from alert_report order by process"));
  const open = store.all<OpenRow>(`select ${OPEN_COLUMNS} from alert where cleared_at is null order by id`);
  const moves = judgeAlerts(open.map(openOf), looked, [...found, ...reported], policy, now);
  const rows = new Map(open.map((row) => [row.id, row]));
  for (const move of moves) apply(store, move, rows, policy.channels);
}

function apply(store: Store, move: AlertMove, open: ReadonlyMap<string, OpenRow>, channels: readonly string[]): void {
  const now = store.now();
  if (move.do === "raise") {
    const { rule, subject, what, count, facts } = move.trouble;
    const newest = store.get<{ id: string }>("select id from alert order by id desc limit 1");
    const id = newUlid(now, store.random, newest?.id); // lists show the newest first by it
    store.run(
      `insert into alert (id, rule, subject, what, count, facts, raised_at, told_count, told_at)
       values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?5, ?7)`,
      id,
      rule,
      subject,
      what,
      count,
      JSON.stringify(facts),
      now,
    );
    return tell(store, { ...move.trouble, id, raisedAt: now, clearedAt: null, seen: null }, 1, "raised", channels);
  }
  const row = open.get(move.id);
  if (!row) return;
  if (move.do === "clear") {
    store.run("update alert set cleared_at = ?, notices = notices + 1 where id = ?", now, move.id);
    return tell(store, { ...alertOf(row), clearedAt: now }, row.notices + 1, "cleared", channels);
  }
  const { what, count, facts } = move.trouble;
  store.run(
    `update alert set what = ?, count = ?, facts = ?, absent_since = ?, told_count = ?,
       told_at = case when ?6 then ?7 else told_at end, notices = notices + ?6 where id = ?8`,
    what,
    count,
    JSON.stringify(facts),
    move.absentSince,
    move.toldCount,
    move.tell === null ? 0 : 1,
    now,
    move.id,
  );
  if (move.tell) tell(store, { ...alertOf(row), ...move.trouble }, row.notices + 1, move.tell, channels);
}

const EVENT_OF = { raised: "alert raised", grown: "alert grown", cleared: "alert cleared" } as const;

function tell(store: Store, alert: Alert, n: number, kind: NoticeKind, channels: readonly string[]): void {
  const now = store.now();
  note(store, EVENT_OF[kind], SYSTEM, eventText(alert));
  for (const channel of channels) {
    store.run(
      `insert into alert_notice (alert, channel, key, kind, alert_then, made_at, due_at) values (?1, ?2, ?3, ?4, ?5, ?6, ?6)`,
      alert.id,
      channel,
      noticeKey(alert.id, n),
      kind,
      JSON.stringify(alert),
      now,
    );
    store.run(
      `update alert_notice set state = 'given up', ended_at = ?1, fault = 'too many notices waited for this channel'
       where state = 'waiting' and channel = ?2 and id <= (
         select id from alert_notice where state = 'waiting' and channel = ?2 order by id desc limit 1 offset ?3)`,
      now,
      channel,
      WAITING_NOTICES,
    );
  }
}

function due(store: Store, channels: readonly string[]): readonly Notice[] {
  const named = JSON.stringify(channels);
  const strange = store.get(
    "select 1 from alert_notice where state = 'waiting' and channel not in (select value from json_each(?)) limit 1",
    named,
  );
  if (strange)
    store.write(() =>
      store.run(
        `update alert_notice set state = 'given up', ended_at = ?, fault = 'the channel is no longer configured'
         where state = 'waiting' and channel not in (select value from json_each(?))`,
        store.now(),
        named,
      ),
    );
  const rows = store.all<NoticeRow>(
    `select n.id, n.channel, n.key, n.kind, n.made_at as at, n.attempts, n.alert_then as alert
     from json_each(?) c join alert_notice n
       on n.id = (select min(id) from alert_notice w where w.channel = c.value and w.state = 'waiting')
     where n.due_at <= ?`,
    named,
    store.now(),
  );
  return rows.map(noticeOf);
}

function failed(store: Store, notice: number, why: string, retryInMs: number): "waits" | "given up" {
  const now = store.now();
  store.run(
    `update alert_notice set attempts = attempts + 1, fault = ?2, due_at = ?3,
       state = case when ?4 - made_at >= ?5 then 'given up' else state end,
       ended_at = case when ?4 - made_at >= ?5 then ?4 end
     where id = ?1 and state = 'waiting'`,
    notice,
    why,
    now + retryInMs,
    now,
    GIVE_UP_MS,
  );
  const row = store.get<{ state: string }>("select state from alert_notice where id = ?", notice);
  return row?.state === "waiting" ? "waits" : "given up";
}

function forgetOld(store: Store): void {
  store.run(
    `delete from alert where id in (select id from alert where cleared_at < ? order by cleared_at limit 100)`,
    store.now() - ALERTS_KEPT_MS,
  );
}
