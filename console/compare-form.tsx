import { useId, useState, type ReactNode, type SubmitEvent } from "react";
import type { Reconcile } from "../src/ledger/reconciles.ts";
import { path, post, query, type FleetPage } from "./api.ts";
import { useAnswer } from "./live.tsx";
import { go, to } from "./place.ts";
import { Card, Failure, ReasonField, useAct, useSettled } from "./ui.tsx";

/** What it will do, in full, before it is ordered. */
const SAYS = {
  compare:
    "Every row of its tables is compared with the centre's, on both sides, while it goes on selling. Nothing is changed. What differs is listed, with both values.",
  resync:
    "Every row of its tables is compared with the centre's, while it goes on selling. Rows that differ are sent again: the terminal's own go up, the centre's come down. No row is taken away, and rows that are equal are not sent.",
} as const;

/** Orders a comparison, or one that sends again at once what differs. */
export function CompareForm({
  terminal,
  mends = false,
  done,
}: {
  /** Without it the form asks for one. */
  readonly terminal?: string;
  readonly mends?: boolean;
  readonly done: () => void;
}): ReactNode {
  const [name, setName] = useState(terminal ?? "");
  const [mend, setMend] = useState(mends);
  const [reason, setReason] = useState("");
  const list = useId();
  const settled = useSettled(name);
  const { value } = useAnswer<FleetPage>(
    terminal === undefined ? `/api/terminals${query({ limit: 20, text: settled })}` : null,
  );
  const { busy, error, run } = useAct();
  const submit = (event: SubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    run(async () => {
      const address = path("api", "terminals", name.trim(), "reconcile");
      const { id } = await post<Reconcile>(address, { mend, reason: reason.trim() });
      done();
      go(to("comparisons", id));
    });
  };
  return (
    <Card
      title={
        terminal === undefined
          ? "Compare a terminal with the centre"
          : mends
            ? `Resync ${terminal}`
            : `Compare ${terminal} with the centre`
      }
      aside={
        <button type="button" className="quiet" onClick={done}>
          Close
        </button>
      }
    >
      <form onSubmit={submit} aria-label={mends ? "Resync" : "Compare with the centre"}>
        {terminal === undefined && (
          <div className="field">
            <label htmlFor={`${list}-name`}>Terminal</label>
            <input
              id={`${list}-name`}
              list={list}
              value={name}
              required
              autoComplete="off"
              spellCheck={false}
              onChange={(event) => setName(event.target.value)}
            />
            <datalist id={list}>
              {value?.terminals.map((line) => (
                <option key={line.terminal} value={line.terminal} label={Object.values(line.tags).join(" · ")} />
              ))}
            </datalist>
          </div>
        )}
        <label className="check">
          <input type="checkbox" checked={mend} onChange={(event) => setMend(event.target.checked)} />
          Send again at once what differs
        </label>
        <p className="says">{mend ? SAYS.resync : SAYS.compare}</p>
        <ReasonField value={reason} change={setReason} />
        {error !== null && <Failure error={error} />}
        <div className="buttons">
          <button type="submit" className="primary" disabled={busy || name.trim() === "" || reason.trim() === ""}>
            {mend ? "Compare and send again" : "Compare"}
          </button>
        </div>
      </form>
    </Card>
  );
}
