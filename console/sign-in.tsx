import { useEffect, useState, type ReactNode, type SubmitEvent } from "react";
import { setUp, signIn, waysIn, type Session, type WaysIn } from "./api.ts";
import { Failure } from "./ui.tsx";

const SHORTEST_PASSWORD = 12;

/** What the address says: a link that signs in once, one by which the first operator is made, or neither. */
type Door = { readonly kind: "link" | "setup" | "none"; readonly secret: string };

/** By name and password; by a link that signs in once; or, for the first of all, by the link that the hub printed. */
export function SignIn({ onSignedIn }: { readonly onSignedIn: (session: Session) => void }): ReactNode {
  const [door] = useState(takeDoor);
  const [error, setError] = useState<Error | null>(null);
  const [busy, setBusy] = useState(false);
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [oidc, setOidc] = useState<WaysIn["oidc"]>(null);
  const isSetUp = door.kind === "setup";

  const enter = (by: Promise<Session>): void => {
    setBusy(true);
    setError(null);
    by.then(
      (session) => {
        history.replaceState(null, "", "/");
        onSignedIn(session);
      },
      (thrown: Error) => setError(thrown),
    ).finally(() => setBusy(false));
  };
  useEffect(() => {
    document.title = isSetUp ? "Set up · Waybill" : "Sign in · Waybill";
    // A door that cannot be asked for is not shown; the password's stands by itself.
    void waysIn().then(
      (ways) => setOidc(ways.oidc),
      () => undefined,
    );
    if (door.kind === "link") enter(signIn({ invitation: door.secret }));
  }, []);
  const submit = (event: SubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    enter(isSetUp ? setUp({ invitation: door.secret, name, password }) : signIn({ name, password }));
  };
  const complete = name.trim() !== "" && password.length >= (isSetUp ? SHORTEST_PASSWORD : 1);
  return (
    <main className="sign-in">
      <form className="card" onSubmit={submit}>
        <h1>{isSetUp ? "Welcome" : "Waybill"}</h1>
        <p className="lead">
          {isSetUp
            ? "You are the first operator of this hub, and its admin. Others are let in by you."
            : "Every change you carried: where it is, what happened to it, and why."}
        </p>
        <label htmlFor="name">Name</label>
        <input
          id="name"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          value={name}
          onChange={(event) => setName(event.target.value)}
          autoFocus
        />
        <label htmlFor="password">Password</label>
        <input
          id="password"
          type="password"
          autoComplete={isSetUp ? "new-password" : "current-password"}
          value={password}
          onChange={(event) => setPassword(event.target.value)}
          {...(isSetUp ? { "aria-describedby": "password-note" } : {})}
        />
        {error !== null && <Failure error={error} />}
        <button type="submit" className="primary" disabled={busy || !complete}>
          {busy ? "One moment…" : isSetUp ? "Begin" : "Sign in"}
        </button>
        {oidc !== null && !isSetUp && (
          <a className="button" href={`${oidc.start}?to=${encodeURIComponent(wanted())}`}>
            {oidc.label}
          </a>
        )}
        <p className="fine" id="password-note">
          {isSetUp
            ? `At least ${SHORTEST_PASSWORD} characters: a few words that belong together only to you are best.`
            : "An admin lets people in: here under People, or with `waybill operator invite`."}
        </p>
      </form>
    </main>
  );
}

/** The screen that was asked for, to go on there; a very long one is not worth keeping. */
const wanted = (): string => (location.hash.length > 500 ? "" : location.hash.slice(1));

/** A secret does not stay in the address bar, nor is it used twice. */
function takeDoor(): Door {
  const kind = { "/signin": "link", "/setup": "setup" }[location.pathname] as Door["kind"] | undefined;
  const secret = location.hash.slice(1);
  if (kind === undefined || secret === "") return { kind: "none", secret: "" };
  history.replaceState(null, "", location.pathname);
  return { kind, secret };
}
