import { readFileSync, readdirSync } from "node:fs";
import { WaybillError } from "../../base/errors.ts";
import { SYSTEM } from "../../base/ids.ts";
import type { Store } from "./store.ts";

/** Marks the file as a Waybill ledger in its header ("WBLG"), so that another program's database is never migrated. */
const APPLICATION_ID = 0x57_42_4c_47;
const FOLDER = new URL("./migrations/", import.meta.url);

type Migration = { readonly version: number; readonly name: string };

/** Files `0001-name.sql`, numbered without gaps. */
export function migrations(): readonly Migration[] {
  const found = readdirSync(FOLDER)
    .filter((name) => name.endsWith(".sql"))
    .toSorted()
    .map((name) => ({ version: Number(name.slice(0, 4)), name }));
  found.forEach(({ version, name }, at) => {
    if (version !== at + 1) throw new WaybillError("INTERNAL", `migration ${name} should be number ${at + 1}`);
  });
  return found;
}

/**
 * Brings the file to the newest form, one transaction a step; a crash between steps goes on at the next open.
 * @throws SCHEMA_NEWER when a newer Waybill was here; CONFIG_INVALID when the file is another program's database.
 */
export function migrate(store: Store): void {
  const known = migrations();
  const present = version(store);
  if (present === 0) refuseForeign(store);
  if (present > known.length) {
    throw new WaybillError("SCHEMA_NEWER", `the ledger is at form ${present}, this Waybill knows ${known.length}`, {
      facts: { found: present, known: known.length },
    });
  }
  for (const step of known.slice(present)) {
    const sql = readFileSync(new URL(step.name, FOLDER), "utf8");
    store.write(() => {
      store.script(sql);
      store.script(`pragma user_version = ${step.version}; pragma application_id = ${APPLICATION_ID}`);
      // In the columns that the first form has: later ones are not there yet.
      store.run(
        `insert into event (at, lane, from_seq, through_seq, span, kind, actor, detail)
         values (?, null, 0, 0, 0, 'ledger migrated', ?, ?)`,
        store.now(),
        SYSTEM,
        step.name,
      );
    });
  }
}

const version = (store: Store): number => store.get<{ user_version: number }>("pragma user_version")?.user_version ?? 0;

function refuseForeign(store: Store): void {
  const tables = store.get<{ n: number }>("select count(*) as n from sqlite_schema");
  if ((tables?.n ?? 0) > 0) {
    throw new WaybillError("CONFIG_INVALID", "the file named as the ledger is another program's database");
  }
}

/** A reader does not migrate: it says so when the file is not (yet, or any more) one it can read. */
export function requireForm(store: Store): void {
  const present = version(store);
  const known = migrations().length;
  if (present > known)
    throw new WaybillError("SCHEMA_NEWER", `the ledger is at form ${present}, this Waybill knows ${known}`);
  if (present < known)
    throw new WaybillError("DATABASE_UNAVAILABLE", "the ledger has not been opened by this version yet");
}
