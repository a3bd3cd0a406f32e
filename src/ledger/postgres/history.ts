import type { Instant } from "../../base/clock.ts";
import { minuteBefore, MINUTES_KEPT_MS, minutesOf, type FlowRow, type History, type MinuteTotals } from "../history.ts";
import type { Store } from "./store.ts";

export const historyOn = (store: Store): History => ({
  record: (process, totals, flow) =>
    store.write(async (tx) => {
      const now = tx.now();
      const at = minuteBefore(now);
      await tx.run(
        `insert into minute (at, received, loaded, backlog, oldest_ms, retrying, held, dead)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (at) do nothing`,
        at,
        totals.received,
        totals.loaded,
        totals.backlog,
        totals.oldestMs,
        totals.retrying,
        totals.held,
        totals.dead,
      );
      await tx.run(
        `insert into minute_flow (at, process, sent, lag) values ($1, $2, $3, $4)
         on conflict (at, process) do update set sent = $3, lag = $4`,
        at,
        process,
        flow.out,
        JSON.stringify(flow.lag),
      );
      await tx.run("delete from minute where at < $1 and at % 3600000 <> 0", now - MINUTES_KEPT_MS);
      await tx.run("delete from minute_flow where at < $1", now - MINUTES_KEPT_MS);
    }),
  since: (at) =>
    store.read(async (tx) =>
      minutesOf(
        await tx.all<MinuteTotals & { at: Instant }>(
          `select at, received, loaded, backlog, oldest_ms as "oldestMs", retrying, held, dead
           from minute where at >= $1 order by at`,
          at,
        ),
        await tx.all<FlowRow>("select at, sent as out, lag from minute_flow where at >= $1", at),
      ),
    ),
});
