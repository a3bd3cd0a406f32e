import { createContext, useContext, useEffect, useRef, useState, type ReactNode } from "react";
import { changed, type Change } from "../src/console/changes.ts";
import { currentSession, get, type Picture } from "./api.ts";

/** Whether what is shown is of now. */
export type Liveness = "connecting" | "live" | "lost" | "blind";
export type Live = { readonly picture: Picture | null; readonly liveness: Liveness };

/** The browser itself waits about as long between its own attempts. */
const AGAIN_MS = 3_000;

const LiveContext = createContext<Live>({ picture: null, liveness: "connecting" });
export const useLive = (): Live => useContext(LiveContext);

/** One stream for the whole page; the browser reconnects by itself, and a session that ended meanwhile is noticed. */
export function LiveProvider({ children }: { readonly children: ReactNode }): ReactNode {
  const [live, setLive] = useState<Live>({ picture: null, liveness: "connecting" });
  useEffect(() => watchHub(setLive), []);
  return <LiveContext value={live}>{children}</LiveContext>;
}

type Told = (change: (before: Live) => Live) => void;

/** Listens until the function it gives is called. */
function watchHub(tell: Told): () => void {
  let source: EventSource | null = null;
  let again: ReturnType<typeof setTimeout> | undefined;
  const connect = (): void => {
    const opened = new EventSource("/api/stream");
    source = opened;
    opened.addEventListener("picture", (event: MessageEvent<string>) =>
      tell(() => ({ picture: JSON.parse(event.data) as Picture, liveness: "live" })),
    );
    opened.addEventListener("changes", (event: MessageEvent<string>) =>
      tell(({ picture }) => ({
        picture: picture && changed(picture, JSON.parse(event.data) as readonly Change[]),
        liveness: "live",
      })),
    );
    opened.addEventListener("blind", () => tell(({ picture }) => ({ picture, liveness: "blind" })));
    opened.addEventListener("error", () => {
      tell(({ picture }) => ({ picture, liveness: "lost" }));
      if (opened.readyState === EventSource.CLOSED) again = setTimeout(() => void goOn(), AGAIN_MS);
    });
  };
  /** The browser gives up a stream that the hub refuses: because it shuts down, or no longer knows who asks. */
  const goOn = async (): Promise<void> => {
    const session = await currentSession().catch(() => "away" as const);
    if (session === null) location.reload();
    else connect();
  };
  connect();
  return () => {
    source?.close();
    clearTimeout(again);
  };
}

/**
 * One question at a time: while an answer is on its way another is not asked, so that a hub that needs longer than a beat
 * still gets to answer. What is asked is given up when one of `of` changes, or nobody waits any more.
 */
export function useQuestion(of: readonly unknown[]): (ask: (signal: AbortSignal) => Promise<void>) => void {
  const going = useRef<AbortController | null>(null);
  useEffect(
    () => () => {
      going.current?.abort();
      going.current = null;
    },
    of,
  );
  return (ask) => {
    if (going.current !== null) return;
    const mine = new AbortController();
    going.current = mine;
    void ask(mine.signal).finally(() => {
      if (going.current === mine) going.current = null;
    });
  };
}

export type Loaded<T> = {
  readonly value: T | null;
  readonly error: Error | null;
  /** True until the first answer for this address. */
  readonly loading: boolean;
  readonly again: () => void;
};

/** What the hub answers at `path`; asked again whenever `beat` changes, showing the old answer meanwhile. */
export function useAnswer<T>(path: string | null, beat: number | string = 0): Loaded<T> {
  const [answer, setAnswer] = useState<{ path: string | null; value: T | null; error: Error | null }>({
    path: null,
    value: null,
    error: null,
  });
  const [asked, setAsked] = useState(0);
  const question = useQuestion([path, asked]);
  useEffect(() => {
    if (path === null) return;
    question((signal) =>
      get<T>(path, signal).then(
        (value) => setAnswer({ path, value, error: null }),
        (error: Error) => {
          if (!signal.aborted)
            setAnswer((before) => ({ path, value: before.path === path ? before.value : null, error }));
        },
      ),
    );
  }, [path, beat, asked]);
  const mine = answer.path === path;
  return {
    value: mine ? answer.value : null,
    error: mine ? answer.error : null,
    loading: path !== null && !mine,
    again: () => setAsked((n) => n + 1),
  };
}

/** A number that changes every `seconds` while the page is live: something to ask again by. */
export function useBeat(seconds: number): number {
  const { picture } = useLive();
  return picture === null ? 0 : Math.floor(picture.at / 1_000 / seconds);
}
