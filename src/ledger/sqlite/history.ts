import type { Instant } from "../../base/clock.ts";
import { minuteBefore, MINUTES_KEPT_MS, minutesOf, type FlowRow, type History, type MinuteTotals } from "../history.ts";
import type { Store } from "./store.ts";

export const historyOn = (store: Store): History => ({
  record: async (process, totals, flow) =>
    store.write(() => {
      const now = store.now();
      const at = minuteBefore(now);
      store.run(
        `insert into minute (at, received, loaded, backlog, oldest_ms, retrying, held, dead)
         values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (at) do nothing`,
        at,
        totals.received,
        totals.loaded,
        totals.backlog,
        totals.oldestMs,
        totals.retrying,
        totals.held,
        totals.dead,
      );
      store.run(
        `insert into minute_flow (at, process, sent, lag) values (?1, ?2, ?3, ?4)
         on conflict (at, process) do update set sent = ?3, lag = ?4`,
        at,
        process,
        flow.out,
        JSON.stringify(flow.lag),
      );
      store.run("delete from minute where at < ? and at % 3600000 <> 0", now - MINUTES_KEPT_MS);
      store.run("delete from minute_flow where at < ?", now - MINUTES_KEPT_MS);
    }),
  since: async (at) =>
    minutesOf(
      store.all<MinuteTotals & { at: Instant }>(
        `select at, received, loaded, backlog, oldest_ms as oldestMs, retrying, held, dead
         from minute where at >= ? order by at`,
        at,
      ),
      store.all<FlowRow>("select at, sent as out, lag from minute_flow where at >= ?", at),
    ),
});
