import { useCallback, useEffect, useRef, useState } from "react";
import { get } from "./api.ts";
import { useQuestion } from "./live.tsx";

type Page<T, Next> = { readonly rows: readonly T[]; readonly next: Next | null };
export type Pages<T> = {
  readonly rows: readonly T[];
  readonly more: boolean;
  readonly loading: boolean;
  readonly error: Error | null;
  readonly loadMore: () => void;
  readonly again: () => void;
};

/**
 * A long answer, page after page by its key. On each new `beat` the first page is asked again while nobody has gone on to
 * further ones: what a person reads far down does not move beneath them.
 * @param pageAt the address of the page after `next`; another one begins afresh
 */
export function usePages<Answer, T, Next extends string | number>(
  address: string,
  beat: number | string,
  pageAt: (address: string, after: Next | null) => string,
  read: (answer: Answer) => Page<T, Next>,
): Pages<T> {
  const [state, setState] = useState<Page<T, Next> & { address: string; pages: number; error: Error | null }>({
    address: "",
    rows: [],
    next: null,
    pages: 0,
    error: null,
  });
  const [asked, setAsked] = useState(0);
  const busy = useRef(false);
  const mine = state.address === address;
  const deep = mine && state.pages > 1;
  const question = useQuestion([address, deep, asked]);
  useEffect(() => {
    if (deep) return;
    question((signal) =>
      get<Answer>(pageAt(address, null), signal).then(
        (answer) => {
          // Somebody went on meanwhile: what they read does not move.
          if (!signal.aborted) setState({ address, ...read(answer), pages: 1, error: null });
        },
        (error: Error) => {
          if (!signal.aborted)
            setState((before) =>
              before.address === address ? { ...before, error } : { address, rows: [], next: null, pages: 0, error },
            );
        },
      ),
    );
    // The two functions describe the same endpoint at every call.
  }, [address, deep ? "deep" : beat, asked]);
  const { next } = state;
  const loadMore = useCallback(() => {
    if (!mine || next === null || busy.current) return;
    busy.current = true;
    get<Answer>(pageAt(address, next))
      .then(
        (answer) => {
          const page = read(answer);
          setState((before) =>
            before.address === address && before.next === next
              ? { ...before, rows: [...before.rows, ...page.rows], next: page.next, pages: before.pages + 1 }
              : before,
          );
        },
        (error: Error) => setState((before) => (before.address === address ? { ...before, error } : before)),
      )
      .finally(() => {
        busy.current = false;
      });
  }, [address, mine, next]);
  return {
    rows: mine ? state.rows : [],
    more: mine && next !== null,
    loading: !mine,
    error: mine ? state.error : null,
    loadMore,
    again: () => setAsked((n) => n + 1),
  };
}
