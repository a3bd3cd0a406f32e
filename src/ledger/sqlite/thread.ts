import { systemRuntime } from "../../base/runtime.ts";
import { serve } from "../../base/thread.ts";
import { openSqliteLedger } from "./ledger.ts";

/** What crosses from the opener to the ledger's thread. */
export type LedgerThreadData = { readonly path: string };

/** A ledger that can be told by a call that its opener has come to know that it is open, and closed by a call. */
export type HostedLedger = Awaited<ReturnType<typeof host>>;

async function host({ path }: LedgerThreadData) {
  const ledger = await openSqliteLedger(path, systemRuntime);
  return { ...ledger, opened: async () => {}, close: async () => ledger[Symbol.asyncDispose]() };
}

await serve(host);
