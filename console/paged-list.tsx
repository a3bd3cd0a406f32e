import type { ReactNode } from "react";
import type { Pages } from "./pages.ts";
import { Waiting } from "./ui.tsx";
import { VirtualList, type VirtualListProps } from "./virtual-list.tsx";

/** What a card of a long answer holds: that it is waited for, that there is nothing, or its rows, of which more come as one goes down. */
export function PagedList<T>({
  pages,
  empty,
  head,
  least = 0,
  ...list
}: Omit<VirtualListProps<T>, "rows" | "onEnd"> & {
  readonly pages: Pages<T>;
  /** Shown where there is no row. */
  readonly empty: ReactNode;
  /** Above the rows. */
  readonly head?: ReactNode;
  /** With fewer rows than this one goes on only by `furtherBack`: a look of which much fits nothing is not made unasked. */
  readonly least?: number;
}): ReactNode {
  if (pages.loading) return <Waiting />;
  if (pages.rows.length === 0) return empty;
  return (
    <>
      {head}
      <VirtualList {...list} rows={pages.rows} onEnd={pages.rows.length < least ? undefined : pages.loadMore} />
    </>
  );
}

/** The button to go on, while there is more. */
export const furtherBack = ({ more, loadMore }: Pages<unknown>): ReactNode =>
  more && (
    <button type="button" onClick={loadMore}>
      Look further back
    </button>
  );
