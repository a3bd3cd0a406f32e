import { later, type Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { type Actor, type By, actorOf } from "../../base/ids.ts";
import { SEEN_EVERY_MS, type Access, type ApiToken, type NewSession, type Operator, type Role } from "../access.ts";
import { note } from "./events.ts";
import type { Store } from "./store.ts";
import type { Tx } from "./tx.ts";

export const accessOn = (store: Store): Access => ({
  operators: () =>
    store.read((tx) =>
      tx.all<Operator>(
        `select name, role, made_at as "madeAt", signed_in_at as "signedInAt" from operator order by name collate "C"`,
      ),
    ),
  addOperator: (name, role, password, by) =>
    store.write(async (tx) => {
      await alone(tx);
      await addOperator(tx, name, role, password, by);
    }),
  addFirstOperator: (name, password, by) =>
    store.write(async (tx) => {
      await alone(tx);
      if (await tx.get("select from operator")) throw new WaybillError("NAME_TAKEN", "there is an operator already");
      await addOperator(tx, name, "admin", password, by);
    }),
  changeOperator: (name, change, by) => store.write((tx) => changeOperator(tx, name, change, by)),
  removeOperator: (name, by) =>
    store.write(async (tx) => {
      await alone(tx);
      const before = await roleOf(tx, name);
      await tx.run("delete from operator where name = $1", name);
      if (before === "admin") await keepAnAdmin(tx, name);
      note(tx, "operator removed", by, name);
    }),
  passwordOf: (name) =>
    store.read(
      async (tx) =>
        (await tx.get<{ password: string; role: Role }>("select password, role from operator where name = $1", name)) ??
        null,
    ),

  tokens: () =>
    store.read((tx) =>
      tx.all<ApiToken>(
        `select name, role, made_by as "madeBy", made_at as "madeAt", expires_at as "expiresAt"
         from api_token order by name collate "C"`,
      ),
    ),
  addToken: ({ hash, name, role, validMs }, by) =>
    store.write(async (tx) => {
      const added = await tx.run(
        `insert into api_token (name, hash, role, made_by, made_at, expires_at) values ($1, $2, $3, $4, $5, $6)
         on conflict (name) do nothing`,
        name,
        hash,
        role,
        actorOf(by),
        tx.now(),
        validMs === null ? null : later(tx.now(), validMs),
      );
      if (added === 0) throw new WaybillError("NAME_TAKEN", `there is an API token ${name} already`);
      note(tx, "api token made", by, `${name}, role ${role}`);
    }),
  tokenBy: (hash) =>
    store.read(
      async (tx) =>
        (await tx.get<{ name: string; role: Role }>(
          "select name, role from api_token where hash = $1 and (expires_at is null or expires_at > $2)",
          hash,
          tx.now(),
        )) ?? null,
    ),
  revokeToken: (name, by) =>
    store.write(async (tx) => {
      if ((await tx.run("delete from api_token where name = $1", name)) === 0)
        throw new WaybillError("NOT_FOUND", `there is no API token ${name}`);
      note(tx, "api token revoked", by, name);
    }),

  openSession: (session) => store.write((tx) => openSession(tx, session)),
  session: async (hash, idleMs) => {
    const found = await store.read(async (tx) => {
      const row = await tx.get<{ actor: Actor; role: Role; proof: string; seenAt: Instant }>(
        `select s.actor, coalesce(o.role, s.role) as role, s.proof, s.seen_at as "seenAt"
         from session s left join operator o on o.name = s.operator
         where s.hash = $1 and s.ends_at > $2 and s.seen_at > $3`,
        hash,
        tx.now(),
        tx.now() - idleMs,
      );
      return row ? { ...row, unsaid: tx.now() - row.seenAt } : null;
    });
    if (!found) return null;
    const { actor, role, proof, unsaid } = found;
    if (unsaid >= SEEN_EVERY_MS)
      await store.write((tx) => tx.run("update session set seen_at = $1 where hash = $2", tx.now(), hash));
    return { actor, role, proof };
  },
  closeSession: async (hash) => {
    await store.write((tx) => tx.run("delete from session where hash = $1", hash));
  },

  invite: (hash, validMs) =>
    store.write(async (tx) => {
      await tx.run("delete from invitation where expires_at <= $1", tx.now());
      await tx.run("insert into invitation (hash, expires_at) values ($1, $2)", hash, later(tx.now(), validMs));
    }),
  isInvited: (hash) =>
    store.read(
      async (tx) =>
        (await tx.get("select 1 as one from invitation where hash = $1 and expires_at > $2", hash, tx.now())) !==
        undefined,
    ),
  useInvitation: (hash) =>
    store.write(
      async (tx) => (await tx.run("delete from invitation where hash = $1 and expires_at > $2", hash, tx.now())) === 1,
    ),
});

/** Changes of who may do what come one at a time: each must see whether an admin is left. Reading goes on. */
async function alone(tx: Tx): Promise<void> {
  await tx.run("lock table operator in share row exclusive mode");
}

async function addOperator(tx: Tx, name: string, role: Role, password: string, by: By): Promise<void> {
  if (await tx.get("select from operator where name = $1", name))
    throw new WaybillError("NAME_TAKEN", `there is an operator ${name} already`);
  await tx.run(
    "insert into operator (name, role, password, made_at) values ($1, $2, $3, $4)",
    name,
    role,
    password,
    tx.now(),
  );
  note(tx, "operator added", by, `${name}, role ${role}`);
}

async function changeOperator(
  tx: Tx,
  name: string,
  change: { readonly role?: Role; readonly password?: string },
  by: By,
): Promise<void> {
  await alone(tx);
  const before = await roleOf(tx, name);
  await tx.run(
    "update operator set role = coalesce($1, role), password = coalesce($2, password) where name = $3",
    change.role ?? null,
    change.password ?? null,
    name,
  );
  if (before === "admin") await keepAnAdmin(tx, name);
  await tx.run("delete from session where operator = $1", name);
  const what = [
    change.role === undefined || change.role === before ? null : `role ${before} → ${change.role}`,
    change.password === undefined ? null : "a new password",
  ].filter((each) => each !== null);
  note(tx, "operator changed", by, `${name}: ${what.join(", ")}`);
}

async function roleOf(tx: Tx, name: string): Promise<Role> {
  const found = await tx.get<{ role: Role }>("select role from operator where name = $1", name);
  if (!found) throw new WaybillError("NOT_FOUND", `there is no operator ${name}`);
  return found.role;
}

/** Without one nobody could ever be let in again; without any operator the hub offers the set-up anew. */
async function keepAnAdmin(tx: Tx, name: string): Promise<void> {
  if (await tx.get("select from operator where role = 'admin'")) return;
  if (!(await tx.get("select from operator"))) return;
  throw new WaybillError("LAST_ADMIN", `${name} is the only admin`);
}

async function openSession(tx: Tx, { hash, operator, actor, role, proof, validMs }: NewSession): Promise<void> {
  const now = tx.now();
  await tx.run("delete from session where ends_at <= $1", now);
  await tx.run(
    "insert into session (hash, operator, actor, role, proof, seen_at, ends_at) values ($1, $2, $3, $4, $5, $6, $7)",
    hash,
    operator,
    actor,
    role,
    proof,
    now,
    later(now, validMs),
  );
  if (operator !== null) await tx.run("update operator set signed_in_at = $1 where name = $2", now, operator);
  else await tx.run("update session set role = $1 where operator is null and actor = $2", role, actor);
  note(tx, "signed in", actor, `role ${role}`);
}
