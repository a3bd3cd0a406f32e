import { useEffect, useState, type ReactNode, type SubmitEvent } from "react";
import { signIn, type Session } from "./api.ts";
import { Failure } from "./ui.tsx";

/** By an operator's token, or by the secret of a link that signs in once. */
export function SignIn({ onSignedIn }: { readonly onSignedIn: (session: Session) => void }): ReactNode {
  const [error, setError] = useState<Error | null>(null);
  const [busy, setBusy] = useState(false);
  const [token, setToken] = useState("");

  const enter = (by: { token: string } | { invitation: string }): void => {
    setBusy(true);
    setError(null);
    signIn(by)
      .then(
        (session) => {
          if (location.pathname === "/signin") history.replaceState(null, "", "/");
          onSignedIn(session);
        },
        (thrown: Error) => setError(thrown),
      )
      .finally(() => setBusy(false));
  };
  useEffect(() => {
    document.title = "Sign in · Waybill";
    const invitation = location.pathname === "/signin" ? location.hash.slice(1) : "";
    if (invitation === "") return;
    // A secret does not stay in the address bar, nor is it used twice.
    history.replaceState(null, "", "/signin");
    enter({ invitation });
  }, []);
  const submit = (event: SubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    if (token.trim() !== "") enter({ token: token.trim() });
  };
  return (
    <main className="sign-in">
      <form className="card" onSubmit={submit}>
        <h1>Waybill</h1>
        <p className="lead">Every change you carried: where it is, what happened to it, and why.</p>
        <label htmlFor="token">Operator token</label>
        <input
          id="token"
          type="password"
          autoComplete="current-password"
          spellCheck={false}
          value={token}
          onChange={(event) => setToken(event.target.value)}
          autoFocus
        />
        {error !== null && <Failure error={error} />}
        <button type="submit" className="primary" disabled={busy || token.trim() === ""}>
          {busy ? "Signing in…" : "Sign in"}
        </button>
        <p className="fine">
          The hub keeps its own token beside its ledger, in a file that ends in <code>.operator-token</code>; on that
          machine <code>waybill demo</code> and <code>waybill hub</code> also print a link that signs in once.
        </p>
      </form>
    </main>
  );
}
