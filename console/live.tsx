import { createContext, useContext, useEffect, useState, type ReactNode } from "react";
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
  useEffect(() => {
    if (path === null) return undefined;
    const gone = new AbortController();
    get<T>(path, gone.signal).then(
      (value) => setAnswer({ path, value, error: null }),
      (error: Error) => {
        if (!gone.signal.aborted)
          setAnswer((before) => ({ path, value: before.path === path ? before.value : null, error }));
      },
    );
    return () => gone.abort();
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
