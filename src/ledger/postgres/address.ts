import { WaybillError } from "../../base/errors.ts";

/** Where a ledger is, read from its URL. */
export type LedgerAddress = {
  /** For the driver: the URL without what is ours. Holds the password; never shown. */
  readonly connection: string;
  readonly schema: string;
  /** False behind a transaction pooler: no LISTEN and no prepared statements, whose sessions are not ours to keep. */
  readonly listens: boolean;
};

const SCHEMA = "waybill_ledger";

/**
 * `postgres://user:password@host/database?schema=waybill_ledger&listen=off`
 * @throws CONFIG_INVALID
 */
export function ledgerAddress(url: string): LedgerAddress {
  if (!URL.canParse(url)) throw new WaybillError("CONFIG_INVALID", "ledger: the PostgreSQL URL cannot be read");
  const connection = new URL(url);
  const schema = connection.searchParams.get("schema") ?? SCHEMA;
  const listen = connection.searchParams.get("listen") ?? "on";
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) {
    throw new WaybillError("CONFIG_INVALID", "ledger: ?schema= must be a lower-case name of letters, digits and _");
  }
  if (listen !== "on" && listen !== "off") throw new WaybillError("CONFIG_INVALID", "ledger: ?listen= is on or off");
  connection.searchParams.delete("schema");
  connection.searchParams.delete("listen");
  return { connection: connection.href, schema, listens: listen === "on" };
}
