import { useEffect, useRef, useState, type ReactNode } from "react";
import { currentSession, signOut, whenSignedOut, type Session } from "./api.ts";
import { Audit } from "./audit.tsx";
import { DeadLetters } from "./dead-letters.tsx";
import { count } from "./format.ts";
import { LiveProvider, useLive } from "./live.tsx";
import { MessageDetail } from "./message-detail.tsx";
import { Messages } from "./messages.tsx";
import { Overview } from "./overview.tsx";
import { to, usePlace } from "./place.ts";
import { SignIn } from "./sign-in.tsx";
import { TerminalDetail } from "./terminal-detail.tsx";
import { Terminals } from "./terminals.tsx";
import { applyTheme, storedTheme, THEMES, type Theme } from "./theme.ts";
import { Empty, Page } from "./ui.tsx";

export function App(): ReactNode {
  const [session, setSession] = useState<Session | null | "unknown">("unknown");
  useEffect(() => {
    whenSignedOut(() => setSession(null));
    currentSession().then(setSession, () => setSession(null));
  }, []);
  if (session === "unknown") return null;
  if (session === null || location.pathname === "/signin") return <SignIn onSignedIn={setSession} />;
  return (
    <LiveProvider>
      <a className="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <div className="frame">
        <Sidebar actor={session.actor} />
        <Screen />
      </div>
    </LiveProvider>
  );
}

/** The address after # belongs to the screens. */
function skip(event: { preventDefault: () => void }): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Screen(): ReactNode {
  const { parts, query } = usePlace();
  const [screen = "", first, second, third] = parts;
  const address = parts.join("/");
  const shown = useRef(address);
  useEffect(() => {
    if (shown.current === address) return;
    shown.current = address;
    scrollTo(0, 0);
    // Whoever goes by the keyboard goes on within the new screen, and a reader begins to tell it.
    document.getElementById("main")?.focus({ preventScroll: true });
  }, [address]);
  if (screen === "") return <Overview />;
  if (screen === "terminals")
    return first === undefined ? <Terminals health={query.get("health")} /> : <TerminalDetail id={first} />;
  if (screen === "messages") return <Messages terminal={first ?? null} what={second ?? null} />;
  if (screen === "message" && first && second && third)
    return <MessageDetail terminal={first} epoch={second} seq={third} />;
  if (screen === "dead") return <DeadLetters query={query} />;
  if (screen === "audit") return <Audit />;
  return (
    <Page title="Not found">
      <Empty title="There is no such screen.">
        <a href={to()}>Go to the overview</a>
      </Empty>
    </Page>
  );
}

function Sidebar({ actor }: { readonly actor: string }): ReactNode {
  const { parts } = usePlace();
  const { picture } = useLive();
  const screen = parts[0] === "message" ? "messages" : (parts[0] ?? "");
  const dead = picture?.overview.dead ?? 0;
  const links = [
    ["", "Overview", null],
    ["terminals", "Terminals", null],
    ["messages", "Messages", null],
    ["dead", "Dead letters", dead > 0 ? count(dead) : null],
    ["audit", "Audit", null],
  ] as const;
  return (
    <div className="side">
      <a className="brand" href={to()}>
        <Mark />
        Waybill
      </a>
      <nav aria-label="Screens">
        {links.map(([name, label, note]) => (
          <a
            key={name}
            href={name === "" ? to() : to(name)}
            {...(screen === name ? { "aria-current": "page" as const } : {})}
          >
            {label}
            {note !== null && <span className="pill">{note}</span>}
          </a>
        ))}
      </nav>
      <div className="side-foot">
        <Connection />
        <ThemeSwitch />
        <div className="who">
          <span title={actor}>{actor.replace(/^operator:/, "")}</span>
          <button type="button" className="quiet" onClick={() => void signOut()}>
            Sign out
          </button>
        </div>
      </div>
    </div>
  );
}

const Mark = (): ReactNode => (
  <svg viewBox="0 0 24 24" width="26" height="26" aria-hidden="true">
    <rect width="24" height="24" rx="6" className="mark" />
    <path
      d="M5 8l3 9 4-8 4 8 3-9"
      fill="none"
      stroke="#fff"
      strokeWidth="2.1"
      strokeLinecap="round"
      strokeLinejoin="round"
    />
  </svg>
);

const TOLD = {
  connecting: "Connecting…",
  live: "Live",
  lost: "No connection, trying again",
  blind: "The ledger does not answer",
} as const;

function Connection(): ReactNode {
  const { liveness } = useLive();
  return (
    <p className={`connection ${liveness}`} role="status">
      <span className="dot" />
      {TOLD[liveness]}
    </p>
  );
}

function ThemeSwitch(): ReactNode {
  const [theme, setTheme] = useState(storedTheme);
  const choose = (next: Theme): void => {
    applyTheme(next);
    setTheme(next);
  };
  return (
    <fieldset className="segments">
      <legend className="unseen">Colours</legend>
      {THEMES.map((each) => (
        <label key={each}>
          <input type="radio" name="theme" value={each} checked={theme === each} onChange={() => choose(each)} />
          <span>{each}</span>
        </label>
      ))}
    </fieldset>
  );
}
