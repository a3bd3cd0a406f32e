import { later, type Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { type Actor, type By, actorOf } from "../../base/ids.ts";
import { SEEN_EVERY_MS, type Access, type ApiToken, type NewSession, type Operator, type Role } from "../access.ts";
import { note } from "./events.ts";
import type { Store } from "./store.ts";

export const accessOn = (store: Store): Access => ({
  operators: async () =>
    store.all<Operator>("select name, role, made_at as madeAt, signed_in_at as signedInAt from operator order by name"),
  addOperator: async (name, role, password, by) => store.write(() => addOperator(store, name, role, password, by)),
  addFirstOperator: async (name, password, by) =>
    store.write(() => {
      if (store.get("select 1 from operator")) throw new WaybillError("NAME_TAKEN", "there is an operator already");
      addOperator(store, name, "admin", password, by);
    }),
  changeOperator: async (name, change, by) => store.write(() => changeOperator(store, name, change, by)),
  removeOperator: async (name, by) =>
    store.write(() => {
      const before = roleOf(store, name);
      store.run("delete from operator where name = ?", name);
      if (before === "admin") keepAnAdmin(store, name);
      note(store, "operator removed", by, name);
    }),
  passwordOf: async (name) =>
    store.get<{ password: string; role: Role }>("select password, role from operator where name = ?", name) ?? null,

  tokens: async () =>
    store.all<ApiToken>(
      "select name, role, made_by as madeBy, made_at as madeAt, expires_at as expiresAt from api_token order by name",
    ),
  addToken: async ({ hash, name, role, validMs }, by) =>
    store.write(() => {
      const now = store.now();
      if (store.get("select 1 from api_token where name = ?", name))
        throw new WaybillError("NAME_TAKEN", `there is an API token ${name} already`);
      store.run(
        "insert into api_token (name, hash, role, made_by, made_at, expires_at) values (?, ?, ?, ?, ?, ?)",
        name,
        hash,
        role,
        actorOf(by),
        now,
        validMs === null ? null : later(now, validMs),
      );
      note(store, "api token made", by, `${name}, role ${role}`);
    }),
  tokenBy: async (hash) =>
    store.get<{ name: string; role: Role }>(
      "select name, role from api_token where hash = ? and (expires_at is null or expires_at > ?)",
      hash,
      store.now(),
    ) ?? null,
  revokeToken: async (name, by) =>
    store.write(() => {
      if (store.run("delete from api_token where name = ?", name) === 0)
        throw new WaybillError("NOT_FOUND", `there is no API token ${name}`);
      note(store, "api token revoked", by, name);
    }),

  openSession: async (session) => store.write(() => openSession(store, session)),
  session: async (hash, idleMs) => {
    const now = store.now();
    const row = store.get<{ actor: Actor; role: Role; proof: string; seenAt: Instant }>(
      `select s.actor, coalesce(o.role, s.role) as role, s.proof, s.seen_at as seenAt
       from session s left join operator o on o.name = s.operator
       where s.hash = ? and s.ends_at > ? and s.seen_at > ?`,
      hash,
      now,
      now - idleMs,
    );
    if (!row) return null;
    if (now - row.seenAt >= SEEN_EVERY_MS)
      store.write(() => store.run("update session set seen_at = ? where hash = ?", now, hash));
    return { actor: row.actor, role: row.role, proof: row.proof };
  },
  closeSession: async (hash) => {
    store.write(() => store.run("delete from session where hash = ?", hash));
  },

  invite: async (hash, validMs) => {
    store.write(() => {
      store.run("delete from invitation where expires_at <= ?", store.now());
      store.run("insert into invitation (hash, expires_at) values (?, ?)", hash, later(store.now(), validMs));
    });
  },
  isInvited: async (hash) =>
    store.get("select 1 from invitation where hash = ? and expires_at > ?", hash, store.now()) !== undefined,
  useInvitation: async (hash) =>
    store.write(() => store.run("delete from invitation where hash = ? and expires_at > ?", hash, store.now()) === 1),
});

function addOperator(store: Store, name: string, role: Role, password: string, by: By): void {
  if (store.get("select 1 from operator where name = ?", name))
    throw new WaybillError("NAME_TAKEN", `there is an operator ${name} already`);
  store.run(
    "insert into operator (name, role, password, made_at) values (?, ?, ?, ?)",
    name,
    role,
    password,
    store.now(),
  );
  note(store, "operator added", by, `${name}, role ${role}`);
}

function changeOperator(
  store: Store,
  name: string,
  change: { readonly role?: Role; readonly password?: string },
  by: By,
): void {
  const before = roleOf(store, name);
  store.run(
    "update operator set role = coalesce(?, role), password = coalesce(?, password) where name = ?",
    change.role ?? null,
    change.password ?? null,
    name,
  );
  if (before === "admin") keepAnAdmin(store, name);
  store.run("delete from session where operator = ?", name);
  const what = [
    change.role === undefined || change.role === before ? null : `role ${before} → ${change.role}`,
    change.password === undefined ? null : "a new password",
  ].filter((each) => each !== null);
  note(store, "operator changed", by, `${name}: ${what.join(", ")}`);
}

function roleOf(store: Store, name: string): Role {
  const found = store.get<{ role: Role }>("select role from operator where name = ?", name);
  if (!found) throw new WaybillError("NOT_FOUND", `there is no operator ${name}`);
  return found.role;
}

/** Without one nobody could ever be let in again; without any operator the hub offers the set-up anew. */
function keepAnAdmin(store: Store, name: string): void {
  if (store.get("select 1 from operator where role = 'admin'")) return;
  if (!store.get("select 1 from operator")) return;
  throw new WaybillError("LAST_ADMIN", `${name} is the only admin`);
}

function openSession(store: Store, { hash, operator, actor, role, proof, validMs }: NewSession): void {
  const now = store.now();
  store.run("delete from session where ends_at <= ?", now);
  store.run(
    "insert into session (hash, operator, actor, role, proof, seen_at, ends_at) values (?, ?, ?, ?, ?, ?, ?)",
    hash,
    operator,
    actor,
    role,
    proof,
    now,
    later(now, validMs),
  );
  if (operator !== null) store.run("update operator set signed_in_at = ? where name = ?", now, operator);
  else store.run("update session set role = ? where operator is null and actor = ?", role, actor);
  note(store, "signed in", actor, `role ${role}`);
}
