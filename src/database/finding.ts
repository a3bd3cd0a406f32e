/** Something about a database that costs exactness, keeps a table from being synchronised, or slows its application. */
export type Finding = {
  /** `harm`: values or rows are affected now. `risk`: they can be. `advice`: it works, and could work better. */
  readonly weight: "harm" | "risk" | "advice";
  readonly table: string | null;
  readonly column: string | null;
  readonly what: string;
  /** What a person can do about it. */
  readonly remedy: string;
};
