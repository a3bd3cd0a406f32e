import type { ReadyPlan } from "./plan.ts";

/** A small table that goes up, compared by both sides, where the terminal wins. */
export const PLAN: ReadyPlan = {
  table: "sale",
  direction: "up",
  skipped: null,
  target: "sale",
  compared: { table: "sale", key: [{ name: "id", kind: "text" }], columns: [{ name: "total", kind: "decimal" }] },
  twoSided: true,
  leftOut: [],
  wins: "terminal",
};
