import { later } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { actor, type TerminalId, actorOf } from "../../base/ids.ts";
import { GAP_FLOOR_MS, GAP_PERIOD_MS } from "../alerts.ts";
import { admitted, type EnrolmentToken } from "../enrolment.ts";
import type { Terminal, Terminals } from "../port.ts";
import { note } from "./events.ts";
import type { Store } from "./store.ts";

export const terminalsOn = (store: Store): Terminals => ({
  createToken: async (hash, { terminal, tags, validMs, by }) =>
    store.write(() => {
      store.run(
        "insert into token (hash, terminal, tags, expires_at, made_by) values (?, ?, ?, ?, ?)",
        hash,
        terminal,
        JSON.stringify(tags),
        later(store.now(), validMs),
        actorOf(by),
      );
      note(store, "token made", by, `for ${terminal ?? "a new terminal"}`);
    }),
  enroll: async (tokenHash, terminal, tags, keyHash) =>
    store.write(() => enroll(store, tokenHash, terminal, tags, keyHash)),
  byKey: async (keyHash) => one(store, "key_hash = ?", keyHash),
  get: async (terminal) => one(store, "id = ?", terminal),
  list: async (limit, after) =>
    store.all<TerminalRow>(`${SELECT} where id > ? order by id limit ?`, after ?? "", limit).map(shown),
  seen: async (sightings) =>
    store.write(() => {
      for (const { terminal, at, skewMs, version, deliveredThrough } of sightings) {
        store.run(SEEN, at, skewMs, version, terminal, GAP_PERIOD_MS, GAP_FLOOR_MS, deliveredThrough);
      }
    }),
  revoke: async (terminal, by) =>
    store.write(() => {
      if (!one(store, "id = ?", terminal)) throw new WaybillError("NOT_FOUND", `there is no terminal ${terminal}`);
      const changed = store.run("update terminal set state = 'revoked' where id = ? and state = 'enrolled'", terminal);
      if (changed > 0) note(store, "revoked", by, `terminal ${terminal}`);
    }),
});

/** Silence is counted while a hub was there to hear; see `AlertLimits.silent`. */
const SEEN = `
  update terminal set
    last_seen_at = max(coalesce(last_seen_at, 0), ?1), skew_ms = coalesce(?2, skew_ms), version = coalesce(?3, version),
    delivered_through = coalesce(?7, delivered_through),
    gap_from = case when ends then ?1 else gap_from end,
    gap_before_ms = case when ends and gap_from is not null then max(gap_ms, gap) else gap_before_ms end,
    gap_ms = case when ends then 0 else max(gap_ms, gap) end
  from (
    select id as it, gap_from is null or ?1 - gap_from >= ?5 as ends,
           min(max(0, ?1 - max(coalesce(last_seen_at, ?1), (select since from alert_watch))),
               case when gap_before_ms is null then 9e15 else 2 * max(gap_ms, gap_before_ms, ?6) end) as gap
    from terminal where id = ?4)
  where id = it`;

type TerminalRow = Omit<Terminal, "tags"> & { readonly tags: string };

const SELECT = `
  select id, tags, state, enrolled_at as enrolledAt, last_seen_at as lastSeenAt, skew_ms as skewMs, version,
         applied_through as appliedThrough, delivered_through as deliveredThrough, rows_owed as rowsOwed
  from terminal`;

const shown = (row: TerminalRow): Terminal => ({ ...row, tags: JSON.parse(row.tags) as Terminal["tags"] });

function one(store: Store, where: "id = ?" | "key_hash = ?", value: string | Uint8Array): Terminal | null {
  const row = store.get<TerminalRow>(`${SELECT} where ${where}`, value);
  return row ? shown(row) : null;
}

function enroll(
  store: Store,
  tokenHash: Uint8Array,
  terminal: TerminalId,
  tags: Readonly<Record<string, string>>,
  keyHash: Uint8Array,
): Terminal {
  const now = store.now();
  const token = store.get<EnrolmentToken>(
    "select terminal, tags, expires_at as expiresAt, made_by as madeBy, used_by as usedBy from token where hash = ?",
    tokenHash,
  );
  const known = one(store, "id = ?", terminal);
  if (token?.usedBy === terminal && known && one(store, "key_hash = ?", keyHash)?.id === terminal) {
    return known; // the answer to the same call was lost
  }
  const { tags: given, madeBy } = admitted(token, terminal, tags, known, now);
  store.run(
    `insert into terminal (id, tags, state, key_hash, token_hash, enrolled_at, began_after)
     values (?1, ?2, 'enrolled', ?3, ?4, ?5, (select id from update_head))
     on conflict (id) do update set tags = ?2, state = 'enrolled', key_hash = ?3, token_hash = ?4, enrolled_at = ?5,
       began_after = excluded.began_after, rows_owed = null`,
    terminal,
    JSON.stringify(given),
    keyHash,
    tokenHash,
    now,
  );
  store.run("update token set used_at = ?, used_by = ? where hash = ?", now, terminal, tokenHash);
  note(store, "enrolled", actor(`terminal:${terminal}`), `by a token of ${madeBy}`);
  const enrolled = one(store, "id = ?", terminal);
  if (!enrolled) throw new WaybillError("INTERNAL", `terminal ${terminal} was not stored`);
  return enrolled;
}
