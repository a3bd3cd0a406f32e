import { seq } from "../../base/ids.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { claimAll, loaded, passedOver, send, Till } from "../contract/till.ts";
import { openSqliteLedger } from "./ledger.ts";

/**
 * Run as a process of its own by kill.test.ts until it is killed: sends messages, claims and settles them, and prints a line
 * for each promise that was kept: `received t1 17`, `loaded t1 12`.
 */
const path = process.argv[2];
if (path === undefined) throw new Error("the ledger's path is missing");
const ledger = await openSqliteLedger(path, systemRuntime);
const tills = ["t1", "t2", "t3"].map((name) => new Till(name).write(5_000));
for (;;) {
  for (const till of tills) {
    const [lane] = await ledger.lanes.of(till.terminal);
    const from = (lane?.receivedThrough ?? 0) + 1;
    const { receivedThrough } = await send(ledger, till.messages(from, from + 6));
    process.stdout.write(`received ${till.terminal} ${receivedThrough}\n`);
  }
  const claims = await claimAll(ledger, { lanes: 2, messages: 40 });
  const outcomes = claims.map((claim) =>
    loaded(claim, { exceptions: claim.from <= claim.through ? [passedOver(seq(claim.through))] : [] }),
  );
  await ledger.work.settle(outcomes);
  for (const { lane, loadedThrough } of outcomes)
    process.stdout.write(`loaded ${lane.split("/")[0]} ${loadedThrough}\n`);
}
