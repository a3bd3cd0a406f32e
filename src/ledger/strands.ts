import type { UpdateId } from "../base/ids.ts";

/** The names under which ids around a place of the update log were given. */
export type StrandPlace = {
  /** The id itself; null: from before there were names. */
  readonly at: string | null;
  /** The id that follows. */
  readonly onward: string | null;
  /** Where the next begins; null: nowhere. */
  readonly until: UpdateId | null;
  /** This log lost the id, which was given under the name that was asked for. */
  readonly lost: boolean;
};

/** Whether an id with this name is of the log's own history. The name may be that of the next id: nothing lies between. */
export const isOf = ({ at, onward, lost }: StrandPlace, name: string): boolean =>
  name === at || name === onward || lost;
