import { useEffect, useId, useState, type ReactNode } from "react";
import type { StateKind } from "../src/message/lifecycle.ts";
import { may, Refusal, type Role } from "./api.ts";

export function Page({
  title,
  lead,
  aside,
  children,
}: {
  readonly title: ReactNode;
  readonly lead?: ReactNode;
  readonly aside?: ReactNode;
  readonly children: ReactNode;
}): ReactNode {
  useEffect(() => {
    document.title = typeof title === "string" ? `${title} · Waybill` : "Waybill";
  }, [title]);
  return (
    <main id="main" tabIndex={-1}>
      <header className="page-head">
        <div>
          <h1>{title}</h1>
          {lead !== undefined && <p className="lead">{lead}</p>}
        </div>
        {aside !== undefined && <div className="page-aside">{aside}</div>}
      </header>
      {children}
    </main>
  );
}

export function Card({
  title,
  aside,
  children,
  flush = false,
}: {
  readonly title?: string;
  readonly aside?: ReactNode;
  readonly children: ReactNode;
  /** The content brings its own margins. */
  readonly flush?: boolean;
}): ReactNode {
  return (
    <section className={flush ? "card flush" : "card"}>
      {title !== undefined && (
        <header className="card-head">
          <h2>{title}</h2>
          {aside}
        </header>
      )}
      {children}
    </section>
  );
}

export type Tone = "good" | "warn" | "bad" | "calm" | "info";
export const TONES: Readonly<Record<StateKind, Tone>> = {
  received: "info",
  processing: "info",
  retrying: "warn",
  held: "warn",
  dead: "bad",
  loaded: "good",
  discarded: "calm",
};
export const Badge = ({ tone, children }: { readonly tone: Tone; readonly children: ReactNode }): ReactNode => (
  <span className={`badge ${tone}`}>{children}</span>
);
export const StateBadge = ({ state }: { readonly state: StateKind }): ReactNode => (
  <Badge tone={TONES[state]}>{state}</Badge>
);

export function Figure({
  label,
  value,
  unit,
  note,
  tone,
  href,
}: {
  readonly label: string;
  readonly value: string;
  readonly unit?: string;
  readonly note?: string;
  readonly tone?: Tone;
  readonly href?: string;
}): ReactNode {
  const inner = (
    <>
      <span className="figure-label">{label}</span>
      <span className={tone === undefined ? "figure-value" : `figure-value ${tone}`}>
        {value}
        {unit !== undefined && <small>{unit}</small>}
      </span>
      <span className="figure-note">{note ?? "\u00a0"}</span>
    </>
  );
  return href === undefined ? (
    <div className="figure">{inner}</div>
  ) : (
    <a className="figure" href={href}>
      {inner}
    </a>
  );
}

export const Empty = ({ title, children }: { readonly title: string; readonly children?: ReactNode }): ReactNode => (
  <div className="empty">
    <p className="empty-title">{title}</p>
    {children !== undefined && <p>{children}</p>}
  </div>
);

export function Failure({ error, again }: { readonly error: Error; readonly again?: () => void }): ReactNode {
  return (
    <div className="notice bad" role="alert">
      <div>
        <strong>{error.message}</strong>
        {error instanceof Refusal && error.hint !== "" && <p>{error.hint}</p>}
      </div>
      {again !== undefined && (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Nothing for a moment, then quiet bars: what comes at once must not flicker. */
export function Waiting(): ReactNode {
  return (
    <div className="waiting" role="status" aria-label="Loading">
      <span />
      <span />
      <span />
    </div>
  );
}

export type Choice = {
  readonly value: string;
  readonly label: string;
  readonly href: string;
  /** Beside its label, such as a count. */
  readonly note?: string;
};
/** One of a few, each an address of its own. */
export const Chips = ({
  label,
  chosen,
  options,
}: {
  readonly label: string;
  readonly chosen: string;
  readonly options: readonly Choice[];
}): ReactNode => (
  <nav className="chips" aria-label={label}>
    {options.map(({ value, label: text, href, note }) => (
      <a key={value} href={href} {...(value === chosen ? { "aria-current": "true" as const } : {})}>
        {text}
        {note !== undefined && <span className="pill">{note}</span>}
      </a>
    ))}
  </nav>
);

/** A word to filter by, told on after a pause, and anew when the address brings another. */
export function Filter({
  label,
  value,
  change,
}: {
  readonly label: string;
  readonly value: string | null | undefined;
  readonly change: (value: string | null) => void;
}): ReactNode {
  const given = value ?? "";
  const [text, setText] = useState(given);
  const settled = useSettled(text);
  useEffect(() => setText(given), [given]);
  useEffect(() => {
    if (settled !== given && settled === text) change(settled.trim() || null);
    // Only what is typed asks; an address that changes is taken over above.
  }, [settled]);
  return (
    <label>
      <span className="unseen">{label}</span>
      <input
        type="search"
        placeholder={label}
        value={text}
        spellCheck={false}
        autoComplete="off"
        onChange={(event) => setText(event.target.value)}
      />
    </label>
  );
}

export function Field(given: {
  readonly label: string;
  readonly value: string;
  readonly change: (value: string) => void;
  readonly type?: string;
  readonly autoComplete: string;
}): ReactNode {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{given.label}</label>
      <input
        id={id}
        type={given.type ?? "text"}
        autoComplete={given.autoComplete}
        value={given.value}
        onChange={(event) => given.change(event.target.value)}
      />
    </div>
  );
}

export const Progress = ({
  label,
  done,
  of,
}: {
  readonly label: string;
  readonly done: number;
  readonly of: number;
}): ReactNode => <progress aria-label={label} value={done} max={Math.max(1, of)} />;

/** Every act is explained; the reason is kept with who did it. */
export function ReasonField({
  value,
  change,
}: {
  readonly value: string;
  readonly change: (value: string) => void;
}): ReactNode {
  const id = useId();
  return (
    <div className="field wide">
      <label htmlFor={id}>Reason</label>
      <input
        id={id}
        value={value}
        maxLength={1_000}
        placeholder="Kept in the audit trail with your name"
        autoComplete="off"
        onChange={(event) => change(event.target.value)}
      />
    </div>
  );
}

/** What somebody types, told on after a pause. */
export function useSettled(value: string, ms = 120): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}

/** One act at a time, with what went wrong. */
export function useAct(): {
  readonly busy: boolean;
  readonly error: Error | null;
  readonly run: (act: () => Promise<unknown>) => void;
} {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const run = (act: () => Promise<unknown>): void => {
    setBusy(true);
    setError(null);
    act()
      .catch((thrown: Error) => setError(thrown))
      .finally(() => setBusy(false));
  };
  return { busy, error, run };
}

/** A button whose act asks once more before it is done. Nothing for those who may not. */
export function Act({
  label,
  question,
  act,
  done,
  needs = "operator",
}: {
  readonly label: string;
  readonly question: string;
  readonly act: () => Promise<unknown>;
  readonly done: () => void;
  readonly needs?: Role;
}): ReactNode {
  const [asking, setAsking] = useState(false);
  const { busy, error, run } = useAct();
  if (!may(needs)) return null;
  if (!asking)
    return (
      <button type="button" className="quiet" onClick={() => setAsking(true)}>
        {label}
      </button>
    );
  return (
    <span className="asking" role="group" aria-label={question}>
      <span>{error === null ? question : error.message}</span>
      <button
        type="button"
        className="danger"
        disabled={busy}
        autoFocus
        onClick={() =>
          run(async () => {
            await act();
            setAsking(false);
            done();
          })
        }
      >
        {label}
      </button>
      <button type="button" onClick={() => setAsking(false)}>
        Keep
      </button>
    </span>
  );
}
