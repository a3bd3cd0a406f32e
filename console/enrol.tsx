import { useState, type ReactNode, type SubmitEvent } from "react";
import { may, post } from "./api.ts";
import { when } from "./format.ts";
import { Card, Failure, Field, useAct } from "./ui.tsx";

type Made = { readonly token: string; readonly expiresAt: number };

/** `store:014, region:north` as the API takes it; null when something of it is no `name:value`. */
export function tagsOf(text: string): Readonly<Record<string, string>> | null {
  const pairs = text
    .split(/[,\s]+/)
    .filter(Boolean)
    .map((pair) => /^([^:]+):(.+)$/.exec(pair));
  if (pairs.includes(null)) return null;
  return Object.fromEntries(pairs.map((pair) => [pair?.[1] ?? "", pair?.[2] ?? ""]));
}

/** A token enrols one terminal once: a new one, or one that gets a new key in place of its old. */
export function EnrolForm({ done }: { readonly done: () => void }): ReactNode {
  const [terminal, setTerminal] = useState("");
  const [text, setText] = useState("");
  const [made, setMade] = useState<Made | null>(null);
  const { busy, error, run } = useAct();
  const tags = tagsOf(text);
  const submit = (event: SubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    run(async () => {
      const named = terminal.trim() === "" ? {} : { terminal: terminal.trim() };
      setMade(await post<Made>("/api/enroll-tokens", { ...named, tags: tags ?? {} }));
    });
  };
  return (
    <Card
      title="Enrol a terminal"
      flush
      aside={
        <button type="button" className="quiet" onClick={done}>
          Close
        </button>
      }
    >
      <form className="inline-form" onSubmit={submit} aria-label="Enrol a terminal">
        <Field label="Name (any when left out)" value={terminal} change={setTerminal} autoComplete="off" />
        <Field label="Tags, such as store:014" value={text} change={setText} autoComplete="off" />
        <button type="submit" className="primary" disabled={busy || tags === null}>
          Make a token
        </button>
        {error !== null && <Failure error={error} />}
        {made !== null && <Token made={made} terminal={terminal.trim()} />}
      </form>
    </Card>
  );
}

/** A new key for a terminal that is known: it goes on in the same lane, and the old key ends when the new one is taken. */
export function NewKey({
  terminal,
  tags,
}: {
  readonly terminal: string;
  readonly tags: Readonly<Record<string, string>>;
}): ReactNode {
  const [made, setMade] = useState<Made | null>(null);
  const { busy, error, run } = useAct();
  if (!may("operator")) return null;
  if (made !== null) return <Token made={made} terminal={terminal} />;
  return (
    <>
      {error !== null && <Failure error={error} />}
      <button
        type="button"
        disabled={busy}
        onClick={() => run(async () => setMade(await post<Made>("/api/enroll-tokens", { terminal, tags })))}
      >
        New key
      </button>
    </>
  );
}

const Token = ({ made, terminal }: { readonly made: Made; readonly terminal: string }): ReactNode => (
  <div className="notice good" role="status">
    <div>
      <p>
        Shown once, good until {when(made.expiresAt)}: <code>{made.token}</code>
      </p>
      <p>
        Put it as <code>token</code> into the config of {terminal === "" ? "the new terminal" : terminal} and start its
        agent{terminal === "" ? "" : "; a key that it had ends then"}.
      </p>
    </div>
  </div>
);
