import { useId, useState, type ReactNode, type SubmitEvent } from "react";
import { ROLES, type ApiToken, type Operator, type Role } from "../src/ledger/access.ts";
import { path, post } from "./api.ts";
import { when } from "./format.ts";
import { useAnswer } from "./live.tsx";
import { Act, Badge, Card, Empty, Failure, Field, Page, useAct, Waiting, type Tone } from "./ui.tsx";

const ROLE_TONES: Readonly<Record<Role, Tone>> = { viewer: "calm", operator: "info", admin: "good" };
const ROLE_MEANS: Readonly<Record<Role, string>> = {
  viewer: "looks, and personal fields are hidden",
  operator: "acts on messages and terminals",
  admin: "says who may do what",
};

/** Who may use this hub: people who sign in, and programs with a token. For admins. */
export function People(): ReactNode {
  const operators = useAnswer<{ operators: readonly Operator[] }>("/api/operators");
  const tokens = useAnswer<{ tokens: readonly ApiToken[] }>("/api/tokens");
  return (
    <Page title="People" lead={`A ${ROLES.map((role) => `${role} ${ROLE_MEANS[role]}`).join("; an ")}.`}>
      <Card title="Operators" flush>
        {operators.error !== null && <Failure error={operators.error} again={operators.again} />}
        {operators.loading && <Waiting />}
        {operators.value?.operators.length === 0 && <Empty title="Nobody can sign in by name yet." />}
        <ul className="rows" aria-label="Operators">
          {operators.value?.operators.map((each) => (
            <li key={each.name} className="row people-grid">
              <strong>{each.name}</strong>
              <Badge tone={ROLE_TONES[each.role]}>{each.role}</Badge>
              <span className="faint">
                {each.signedInAt === null ? "has not signed in yet" : `signed in ${when(each.signedInAt)}`}
              </span>
              <Act
                label="Remove"
                question={`Remove ${each.name}? Their sessions end at once.`}
                act={() => post(path("api", "operators", each.name, "remove"), {})}
                done={operators.again}
              />
            </li>
          ))}
        </ul>
        <NewPerson done={operators.again} />
      </Card>
      <Card title="API tokens" flush>
        {tokens.error !== null && <Failure error={tokens.error} again={tokens.again} />}
        {tokens.loading && <Waiting />}
        {tokens.value?.tokens.length === 0 && <Empty title="No program has a token." />}
        <ul className="rows" aria-label="API tokens">
          {tokens.value?.tokens.map((each) => (
            <li key={each.name} className="row people-grid">
              <strong>{each.name}</strong>
              <Badge tone={ROLE_TONES[each.role]}>{each.role}</Badge>
              <span className="faint">
                {each.expiresAt === null ? "until it is revoked" : `until ${when(each.expiresAt)}`}
              </span>
              <Act
                label="Revoke"
                question={`Revoke ${each.name}? The program that uses it is refused at once.`}
                act={() => post(path("api", "tokens", each.name, "revoke"), {})}
                done={tokens.again}
              />
            </li>
          ))}
        </ul>
        <NewToken done={tokens.again} />
      </Card>
    </Page>
  );
}

function NewPerson({ done }: { readonly done: () => void }): ReactNode {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const { busy, error, run } = useAct();
  const submit = (event: SubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    run(async () => {
      await post("/api/operators", { name, role, password });
      setName("");
      setPassword("");
      done();
    });
  };
  return (
    <form className="inline-form" onSubmit={submit} aria-label="Add an operator">
      <Field label="Name" value={name} change={setName} autoComplete="off" />
      <Field label="Password" value={password} change={setPassword} type="password" autoComplete="new-password" />
      <RoleChoice role={role} choose={setRole} />
      <button type="submit" disabled={busy || name === "" || password === ""}>
        Add
      </button>
      {error !== null && <Failure error={error} />}
    </form>
  );
}

function NewToken({ done }: { readonly done: () => void }): ReactNode {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [made, setMade] = useState<string | null>(null);
  const { busy, error, run } = useAct();
  const submit = (event: SubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    run(async () => {
      const { token } = await post<{ token: string }>("/api/tokens", { name, role });
      setMade(token);
      setName("");
      done();
    });
  };
  return (
    <form className="inline-form" onSubmit={submit} aria-label="Make a token">
      <Field label="Used by" value={name} change={setName} autoComplete="off" />
      <RoleChoice role={role} choose={setRole} />
      <button type="submit" disabled={busy || name === ""}>
        Make a token for 90 days
      </button>
      {error !== null && <Failure error={error} />}
      {made !== null && (
        <p className="notice good" role="status">
          <span>
            Shown once, so copy it now: <code>{made}</code>
          </span>
        </p>
      )}
    </form>
  );
}

function RoleChoice({ role, choose }: { readonly role: Role; readonly choose: (role: Role) => void }): ReactNode {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>Role</label>
      <select
        id={id}
        value={role}
        onChange={(event) => choose(ROLES.find((each) => each === event.target.value) ?? role)}
      >
        {ROLES.map((each) => (
          <option key={each}>{each}</option>
        ))}
      </select>
    </div>
  );
}
