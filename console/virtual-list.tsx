import { useEffect, useRef, useState, type ReactNode } from "react";

const BEYOND = 8;

export type VirtualListProps<T> = {
  readonly label: string;
  readonly rows: readonly T[];
  readonly rowHeight: number;
  readonly keyOf: (row: T) => string;
  readonly render: (row: T) => ReactNode;
  readonly onEnd?: (() => void) | undefined;
};

/**
 * A list of any length of which only what can be seen is in the page. All rows are equally high; `onEnd` is called when its
 * end comes near.
 */
export function VirtualList<T>({ label, rows, rowHeight, keyOf, render, onEnd }: VirtualListProps<T>): ReactNode {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 800 });
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const look = (): void => setView({ top: element.scrollTop, height: element.clientHeight });
    const resized = new ResizeObserver(look);
    resized.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      resized.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, []);
  const first = Math.max(0, Math.floor(view.top / rowHeight) - BEYOND);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / rowHeight) + BEYOND);
  const nearEnd = last >= rows.length - BEYOND;
  useEffect(() => {
    if (nearEnd) onEnd?.();
  }, [nearEnd, rows.length, onEnd]);
  return (
    <div className="virtual" ref={box}>
      <ul aria-label={label} style={{ paddingTop: first * rowHeight, paddingBottom: (rows.length - last) * rowHeight }}>
        {rows.slice(first, last).map((row) => (
          <li key={keyOf(row)} style={{ height: rowHeight }}>
            {render(row)}
          </li>
        ))}
      </ul>
    </div>
  );
}
