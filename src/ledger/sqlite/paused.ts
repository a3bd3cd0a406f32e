import type { LaneRow } from "./lane-row.ts";
import type { Store } from "./store.ts";

export const isPaused = (store: Store, { terminal, epoch }: Pick<LaneRow, "terminal" | "epoch">): boolean =>
  store.get(
    "select 1 from pause where kind = 'terminal' and name = ? or kind = 'lane' and name = ?",
    terminal,
    `${terminal}/${epoch}`,
  ) !== undefined;
export const isAllPaused = (store: Store): boolean =>
  store.get("select 1 from pause where kind = 'everything'") !== undefined;
export const pausedRoutes = (store: Store): string[] =>
  store.all<{ name: string }>("select name from pause where kind = 'route' order by name").map(({ name }) => name);
