import { later } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { actor, type TerminalId, actorOf } from "../../base/ids.ts";
import { GAP_FLOOR_MS, GAP_PERIOD_MS } from "../alerts.ts";
import { admitted, type EnrolmentToken } from "../enrolment.ts";
import type { Terminal, Terminals } from "../port.ts";
import { note } from "./events.ts";
import type { Store } from "./store.ts";
import { json, type Tx } from "./tx.ts";

export const terminalsOn = (store: Store): Terminals => ({
  createToken: (hash, { terminal, tags, validMs, by }) =>
    store.write(async (tx) => {
      await tx.run(
        "insert into token (hash, terminal, tags, expires_at, made_by) values ($1, $2, $3, $4, $5)",
        hash,
        terminal,
        json(tags),
        later(tx.now(), validMs),
        actorOf(by),
      );
      note(tx, "token made", by, `for ${terminal ?? "a new terminal"}`);
    }),
  enroll: (tokenHash, terminal, tags, keyHash) => store.write((tx) => enroll(tx, tokenHash, terminal, tags, keyHash)),
  byKey: (keyHash) => store.read((tx) => one(tx, BY_KEY, keyHash)),
  get: (terminal) => store.read((tx) => one(tx, BY_ID, terminal)),
  list: (limit, after) => store.read(async (tx) => (await tx.all<TerminalRow>(PAGE, after ?? "", limit)).map(shown)),
  seen: async (sightings) => {
    if (sightings.length > 0) await store.write((tx) => seen(tx, sightings));
  },
  revoke: (terminal, by) =>
    store.write(async (tx) => {
      if (!(await one(tx, BY_ID, terminal))) throw new WaybillError("NOT_FOUND", `there is no terminal ${terminal}`);
      const changed = await tx.run(
        "update terminal set state = 'revoked' where id = $1 and state = 'enrolled'",
        terminal,
      );
      if (changed > 0) note(tx, "revoked", by, `terminal ${terminal}`);
    }),
});

/** In one order in every process, so that two that saw the same terminals do not wait for each other in a ring. */
async function seen(tx: Tx, sightings: Parameters<Terminals["seen"]>[0]): Promise<void> {
  const ids = sightings.map(({ terminal }) => terminal);
  await Promise.all([
    tx.run("select from terminal where id = any ($1::text[]) order by id for no key update", ids),
    tx.run(
      `update terminal t
       set last_seen_at = greatest(t.last_seen_at, s.at), skew_ms = coalesce(s.skew, t.skew_ms),
           version = coalesce(s.version, t.version), delivered_through = coalesce(s.delivered, t.delivered_through),
           -- Silence is counted while a hub was there to hear; see AlertLimits.silent.
           gap_from = case when s.ends then s.at else t.gap_from end,
           gap_before_ms = case when s.ends and t.gap_from is not null then greatest(t.gap_ms, s.gap) else t.gap_before_ms end,
           gap_ms = case when s.ends then 0 else greatest(t.gap_ms, s.gap) end
       from (
         select g.*, k.gap_from is null or g.at - k.gap_from >= $5::bigint as ends,
                least(greatest(0, g.at - greatest(coalesce(k.last_seen_at, g.at), (select since from alert_watch))),
                      case when k.gap_before_ms is not null then 2 * greatest(k.gap_ms, k.gap_before_ms, $6::bigint) end) as gap
         from (
         -- A terminal may have been seen more than once; the last sighting that says something stands.
         select id, max(at) as at, (array_agg(skew order by place desc) filter (where skew is not null))[1] as skew,
                (array_agg(version order by place desc) filter (where version is not null))[1] as version,
                (array_agg(delivered order by place desc) filter (where delivered is not null))[1] as delivered
         from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $7::bigint[])
           with ordinality as n (id, at, skew, version, delivered, place)
         group by id) g join terminal k on k.id = g.id) s
       where t.id = s.id`,
      ids,
      sightings.map(({ at }) => at),
      sightings.map(({ skewMs }) => (skewMs === null ? null : Math.round(skewMs))),
      sightings.map(({ version }) => version),
      GAP_PERIOD_MS,
      GAP_FLOOR_MS,
      sightings.map(({ deliveredThrough }) => deliveredThrough),
    ),
  ]);
}

type TerminalRow = Omit<Terminal, "tags"> & { readonly tags: string };

const SELECT = `
  select id, tags, state, enrolled_at as "enrolledAt", last_seen_at as "lastSeenAt", skew_ms as "skewMs", version,
         applied_through as "appliedThrough", delivered_through as "deliveredThrough", rows_owed as "rowsOwed"
  from terminal`;

const shown = (row: TerminalRow): Terminal => ({ ...row, tags: JSON.parse(row.tags) as Terminal["tags"] });

const BY_ID = `${SELECT} where id = $1`;
const BY_KEY = `${SELECT} where key_hash = $1`;
const PAGE = `${SELECT} where id > $1 order by id limit $2`;

async function one(tx: Tx, sql: typeof BY_ID | typeof BY_KEY, value: string | Uint8Array): Promise<Terminal | null> {
  const row = await tx.get<TerminalRow>(sql, value);
  return row ? shown(row) : null;
}

async function enroll(
  tx: Tx,
  tokenHash: Uint8Array,
  terminal: TerminalId,
  tags: Readonly<Record<string, string>>,
  keyHash: Uint8Array,
): Promise<Terminal> {
  const now = tx.now();
  const token = await tx.get<EnrolmentToken>(
    `select terminal, tags, expires_at as "expiresAt", made_by as "madeBy", used_by as "usedBy"
     from token where hash = $1 for update`,
    tokenHash,
  );
  const known = await one(tx, BY_ID, terminal);
  if (token?.usedBy === terminal && known && (await one(tx, BY_KEY, keyHash))?.id === terminal) {
    return known; // the answer to the same call was lost
  }
  const { tags: given, madeBy } = admitted(token, terminal, tags, known, now);
  await tx.run(
    `insert into terminal (id, tags, state, key_hash, token_hash, enrolled_at, began_after)
     values ($1, $2, 'enrolled', $3, $4, $5, (select id from update_head))
     on conflict (id) do update set tags = $2, state = 'enrolled', key_hash = $3, token_hash = $4, enrolled_at = $5,
       began_after = excluded.began_after, rows_owed = null`,
    terminal,
    json(given),
    keyHash,
    tokenHash,
    now,
  );
  await tx.run("update token set used_at = $1, used_by = $2 where hash = $3", now, terminal, tokenHash);
  note(tx, "enrolled", actor(`terminal:${terminal}`), `by a token of ${madeBy}`);
  const enrolled = await one(tx, BY_ID, terminal);
  if (!enrolled) throw new WaybillError("INTERNAL", `terminal ${terminal} was not stored`);
  return enrolled;
}
