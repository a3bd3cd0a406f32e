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
  type NoticeKind,
  type OpenAlerts,
  type Trouble,
} from "../alerts.ts";
import { lookForTrouble } from "./alert-sight.ts";
import { note } from "./events.ts";
import { isHeld } from "./seats.ts";
import type { Store } from "./store.ts";
import { json, type Tx } from "./tx.ts";

export const alertsOn = (store: Store): Alerts => ({
  look: (limits) => store.read((tx) => lookForTrouble(tx, limits)),
  report: async (process, troubles) => {
    await store.write(async (tx) => {
      if (troubles.length === 0) await tx.run("delete from alert_report where process = $1", process);
      else
        await tx.run(
          `insert into alert_report (process, troubles, at) values ($1, $2, $3)
           on conflict (process) do update set troubles = $2, at = $3`,
          process,
          json(troubles),
          tx.now(),
        );
    });
  },
  observe: (looked, found, policy, seat) =>
    store.write(async (tx) => {
      if (seat && !(await isHeld(tx, seat))) return false;
      await watched(tx, policy.lostMs);
      await observe(tx, new Set(looked), found, policy);
      await forgetOld(tx);
      return true;
    }),
  due: async (channels) => {
    await giveUpStrange(store, channels);
    const rows = await store.read((tx) => tx.all<NoticeRow>(DUE, channels, tx.now()));
    return rows.map(noticeOf);
  },
  delivered: async (notice) => {
    await store.write((tx) =>
      tx.run(
        "update alert_notice set state = 'delivered', ended_at = $1, fault = null where id = $2 and state = 'waiting'",
        tx.now(),
        notice,
      ),
    );
  },
  failed: (notice, why, retryInMs) => store.write((tx) => failed(tx, notice, why, retryInMs)),
  list: ({ state, rule }, limit, before) =>
    store.read(async (tx) => {
      const rows = await tx.all<AlertRow>(
        `select ${ALERT_COLUMNS} from alert
         where (cleared_at is null) = $1::boolean and ($2::text is null or rule = $2) and ($3::text is null or id < $3)
         order by id desc limit $4`,
        state === "open",
        rule ?? null,
        before,
        limit,
      );
      return rows.map(alertOf);
    }),
  get: (id) => store.read((tx) => one(tx, id)),
  open: () =>
    store.read(
      async (tx) =>
        (await tx.get<OpenAlerts>(
          "select count(*) as open, count(*) - count(seen_at) as unseen from alert where cleared_at is null",
        )) ?? { open: 0, unseen: 0 },
    ),
  channels: () =>
    store.read((tx) =>
      tx.all<ChannelState>(
        `select channel, count(*) filter (where state = 'waiting') as waiting,
                max(ended_at) filter (where state = 'delivered') as "deliveredAt",
                (select f.fault from alert_notice f where f.channel = n.channel and (f.attempts > 0 or f.state <> 'waiting')
                 order by f.id desc limit 1) as fault,
                count(*) filter (where state = 'given up') as "givenUp"
         from alert_notice n group by channel order by channel`,
      ),
    ),
  see: (id, by, words) =>
    store.write(async (tx) => {
      const alert = await one(tx, id);
      if (!alert) throw new WaybillError("NOT_FOUND", `there is no alert ${id}`);
      const seen = { by: actorOf(by), at: tx.now(), note: words };
      const open = await tx.run(
        "update alert set seen_by = $1, seen_at = $2, seen_note = $3 where id = $4 and cleared_at is null",
        seen.by,
        seen.at,
        seen.note,
        id,
      );
      if (open === 0) throw new WaybillError("STATE_CONFLICT", `alert ${id} is over`);
      note(tx, "alert seen", by, `${eventText(alert)} ${words}`);
      return { ...alert, seen };
    }),
});

async function one(tx: Tx, id: string): Promise<Alert | null> {
  const row = await tx.get<AlertRow>(`select ${ALERT_COLUMNS} from alert where id = $1`, id);
  return row ? alertOf(row) : null;
}

/** Remembers that somebody looked, and since when without a pause. Whoever looks waits here for one who looks already. */
async function watched(tx: Tx, lostMs: number): Promise<void> {
  await tx.run(
    `update alert_watch set since = case when $1::bigint - looked_at > $2::bigint then $1 else since end, looked_at = $1`,
    tx.now(),
    lostMs,
  );
}

async function observe(
  tx: Tx,
  looked: ReadonlySet<string>,
  found: readonly Trouble[],
  policy: AlertPolicy,
): Promise<void> {
  const now = tx.now();
  await tx.run("delete from alert_report where at < $1", now - REPORT_MS);
  const reported = troublesOf(await tx.all<{ troubles: string }>("select troubles from alert_report order by process"));
  const open = await tx.all<OpenRow>(`select ${OPEN_COLUMNS} from alert where cleared_at is null order by id`);
  const moves = judgeAlerts(open.map(openOf), looked, [...found, ...reported], policy, now);
  const rows = new Map(open.map((row) => [row.id, row]));
  for (const move of moves) await apply(tx, move, rows, policy.channels);
}

async function apply(
  tx: Tx,
  move: AlertMove,
  open: ReadonlyMap<string, OpenRow>,
  channels: readonly string[],
): Promise<void> {
  const now = tx.now();
  if (move.do === "raise") {
    const { rule, subject, what, count, facts } = move.trouble;
    const newest = await tx.get<{ id: string }>("select id from alert order by id desc limit 1");
    const id = newUlid(now, tx.random, newest?.id); // lists show the newest first by it
    await tx.run(
      `insert into alert (id, rule, subject, what, count, facts, raised_at, told_count, told_at)
       values ($1, $2, $3, $4, $5, $6, $7, $5, $7)`,
      id,
      rule,
      subject,
      what,
      count,
      json(facts),
      now,
    );
    return tell(tx, { ...move.trouble, id, raisedAt: now, clearedAt: null, seen: null }, 1, "raised", channels);
  }
  const row = open.get(move.id);
  if (!row) return;
  if (move.do === "clear") {
    await tx.run("update alert set cleared_at = $1, notices = notices + 1 where id = $2", now, move.id);
    return tell(tx, { ...alertOf(row), clearedAt: now }, row.notices + 1, "cleared", channels);
  }
  const { what, count, facts } = move.trouble;
  await tx.run(
    `update alert set what = $1, count = $2, facts = $3, absent_since = $4, told_count = $5,
       told_at = case when $6::boolean then $7 else told_at end, notices = notices + $6::boolean::int where id = $8`,
    what,
    count,
    json(facts),
    move.absentSince,
    move.toldCount,
    move.tell !== null,
    now,
    move.id,
  );
  if (move.tell) await tell(tx, { ...alertOf(row), ...move.trouble }, row.notices + 1, move.tell, channels);
}

const EVENT_OF = { raised: "alert raised", grown: "alert grown", cleared: "alert cleared" } as const;

async function tell(tx: Tx, alert: Alert, n: number, kind: NoticeKind, channels: readonly string[]): Promise<void> {
  const now = tx.now();
  note(tx, EVENT_OF[kind], SYSTEM, eventText(alert));
  for (const channel of channels) {
    await tx.run(
      `insert into alert_notice (alert, channel, key, kind, alert_then, made_at, due_at) values ($1, $2, $3, $4, $5, $6, $6)`,
      alert.id,
      channel,
      noticeKey(alert.id, n),
      kind,
      json(alert),
      now,
    );
    await tx.run(
      `update alert_notice set state = 'given up', ended_at = $1, fault = 'too many notices waited for this channel'
       where state = 'waiting' and channel = $2 and id <= (
         select id from alert_notice where state = 'waiting' and channel = $2 order by id desc limit 1 offset $3)`,
      now,
      channel,
      WAITING_NOTICES,
    );
  }
}

const DUE = `
  select n.id, n.channel, n.key, n.kind, n.made_at as at, n.attempts, n.alert_then as alert
  from unnest($1::text[]) c (name) join alert_notice n
    on n.id = (select min(id) from alert_notice w where w.channel = c.name and w.state = 'waiting')
  where n.due_at <= $2`;
const STRANGE = "state = 'waiting' and channel <> all ($1::text[])";

async function giveUpStrange(store: Store, channels: readonly string[]): Promise<void> {
  if (!(await store.read((tx) => tx.get(`select from alert_notice where ${STRANGE} limit 1`, channels)))) return;
  await store.write((tx) =>
    tx.run(
      `update alert_notice set state = 'given up', ended_at = $2, fault = 'the channel is no longer configured'
       where ${STRANGE}`,
      channels,
      tx.now(),
    ),
  );
}

async function failed(tx: Tx, notice: number, why: string, retryInMs: number): Promise<"waits" | "given up"> {
  const row = await tx.get<{ state: string }>(
    `update alert_notice set attempts = attempts + 1, fault = $2, due_at = $3::bigint + $4,
       state = case when $3 - made_at >= $5 then 'given up' else state end,
       ended_at = case when $3 - made_at >= $5 then $3 end
     where id = $1 and state = 'waiting' returning state`,
    notice,
    why,
    tx.now(),
    Math.round(retryInMs),
    GIVE_UP_MS,
  );
  return row?.state === "waiting" ? "waits" : "given up";
}

async function forgetOld(tx: Tx): Promise<void> {
  await tx.run(
    "delete from alert where id in (select id from alert where cleared_at < $1 order by cleared_at limit 100)",
    tx.now() - ALERTS_KEPT_MS,
  );
}
