import { useEffect, useRef, useState, type ReactNode } from "react";
import { currentSession, may, signOut, whenSignedOut, type Picture, type Role, type Session } from "./api.ts";
import { Alerts } from "./alerts.tsx";
import { Audit } from "./audit.tsx";
import { BulkDetail, Bulks } from "./bulk.tsx";
import { ComparisonDetail, Comparisons } from "./comparisons.tsx";
import { DeadLetters } from "./dead-letters.tsx";
import { count } from "./format.ts";
import { LiveProvider, useLive } from "./live.tsx";
import { MessageDetail } from "./message-detail.tsx";
import { Messages } from "./messages.tsx";
import { Overview } from "./overview.tsx";
import { People } from "./people.tsx";
import { to, usePlace } from "./place.ts";
import { Settings } from "./settings.tsx";
import { SignIn } from "./sign-in.tsx";
import { TerminalDetail } from "./terminal-detail.tsx";
import { Terminals } from "./terminals.tsx";
import { applyTheme, storedTheme, THEMES, type Theme } from "./theme.ts";
import { UpdateDetail, Updates } from "./updates.tsx";
import { Empty, Page } from "./ui.tsx";

/** Where a link with a secret leads: who follows one enters anew, whoever they were. */
const DOORS: ReadonlySet<string> = new Set(["/signin", "/setup"]);

type Screen = {
  /** First parts of the addresses it stands at; the first one is where its link leads. */
  readonly names: readonly [string, ...string[]];
  readonly label: string;
  /** Least role; viewers see the others. */
  readonly needs?: Role;
  /** Something to be counted beside its link. */
  readonly note?: (picture: Picture) => number;
  readonly show: (rest: readonly string[], query: URLSearchParams) => ReactNode;
};

/** Every screen, in the order of its link: a new one is a file and a line here. */
const SCREENS: readonly Screen[] = [
  { names: [""], label: "Overview", show: () => <Overview /> },
  {
    names: ["terminals"],
    label: "Terminals",
    show: ([id], query) => (id === undefined ? <Terminals query={query} /> : <TerminalDetail key={id} id={id} />),
  },
  {
    names: ["messages", "message"],
    label: "Messages",
    show: ([terminal, epoch, seq], query) =>
      terminal !== undefined && epoch !== undefined && seq !== undefined ? (
        <MessageDetail terminal={terminal} epoch={epoch} seq={seq} />
      ) : (
        <Messages query={query} />
      ),
  },
  {
    names: ["dead"],
    label: "Dead letters",
    note: ({ overview }) => overview.dead,
    show: ([part, id], query) => {
      if (part !== "bulk" || !may("operator")) return <DeadLetters query={query} />;
      return id === undefined ? <Bulks /> : <BulkDetail key={id} id={id} />;
    },
  },
  {
    names: ["updates"],
    label: "Updates",
    show: ([id], query) => (id === undefined ? <Updates query={query} /> : <UpdateDetail key={id} id={id} />),
  },
  {
    names: ["comparisons"],
    label: "Comparisons",
    show: ([id]) => (id === undefined ? <Comparisons /> : <ComparisonDetail key={id} id={id} />),
  },
  {
    names: ["alerts"],
    label: "Alerts",
    note: ({ alerts }) => alerts.open,
    show: (_, query) => <Alerts query={query} />,
  },
  { names: ["audit"], label: "Audit", show: (_, query) => <Audit query={query} /> },
  { names: ["people"], label: "People", needs: "admin", show: () => <People /> },
  { names: ["settings"], label: "Settings", needs: "operator", show: () => <Settings /> },
];

export function App(): ReactNode {
  const [session, setSession] = useState<Session | null | "unknown">("unknown");
  useEffect(() => {
    whenSignedOut(() => setSession(null));
    currentSession().then(setSession, () => setSession(null));
  }, []);
  if (session === "unknown") return null;
  if (session === null || DOORS.has(location.pathname)) return <SignIn onSignedIn={setSession} />;
  return (
    <LiveProvider>
      <a className="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <div className="frame">
        <Sidebar actor={session.actor} role={session.role} />
        <Shown />
      </div>
    </LiveProvider>
  );
}

/** The address after # belongs to the screens. */
function skip(event: { preventDefault: () => void }): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Shown(): ReactNode {
  const { parts, query } = usePlace();
  const [screen = "", ...rest] = parts;
  const address = parts.join("/");
  const shown = useRef(address);
  useEffect(() => {
    if (shown.current === address) return;
    shown.current = address;
    scrollTo(0, 0);
    // Whoever goes by the keyboard goes on within the new screen, and a reader begins to tell it.
    document.getElementById("main")?.focus({ preventScroll: true });
  }, [address]);
  const found = SCREENS.find(({ names, needs }) => names.includes(screen) && may(needs ?? "viewer"));
  if (found) return found.show(rest, query);
  return (
    <Page title="Not found">
      <Empty title="There is no such screen.">
        <a href={to()}>Go to the overview</a>
      </Empty>
    </Page>
  );
}

function Sidebar({ actor, role }: { readonly actor: string; readonly role: Role }): ReactNode {
  const { parts } = usePlace();
  const { picture } = useLive();
  const screen = parts[0] ?? "";
  return (
    <div className="side">
      <a className="brand" href={to()}>
        <Mark />
        Waybill
      </a>
      <nav aria-label="Screens">
        {SCREENS.filter(({ needs }) => may(needs ?? "viewer")).map(({ names, label, note }) => {
          const told = (picture && note?.(picture)) ?? 0;
          return (
            <a
              key={label}
              href={names[0] === "" ? to() : to(names[0])}
              {...(names.includes(screen) ? { "aria-current": "page" as const } : {})}
            >
              {label}
              {told > 0 && <span className="pill">{count(told)}</span>}
            </a>
          );
        })}
      </nav>
      <div className="side-foot">
        <Connection />
        <ThemeSwitch />
        <div className="who">
          <span title={`${actor}, role ${role}`}>
            {actor.replace(/^(operator|oidc):/, "")} <small>{role}</small>
          </span>
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
