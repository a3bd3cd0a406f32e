import { useState, type ReactNode } from "react";
import type { Waiting } from "../src/ledger/exceptions.ts";
import type { Rehearsal } from "../src/load/port.ts";
import { LIFE } from "../src/message/lifecycle.ts";
import { exceptionPath, post, type ExceptionRow, type TracedMessage } from "./api.ts";
import { Impact } from "./bulk.tsx";
import { when, who } from "./format.ts";
import { faultOfJson, indented } from "./json-text.ts";
import { useAnswer, useBeat } from "./live.tsx";
import { CentreRows, Diff } from "./payload.tsx";
import { titleOf } from "./prose.ts";
import { Badge, Card, Failure, ReasonField, useAct } from "./ui.tsx";

/** An edit as the API tells it. */
type Edit = {
  readonly n: number;
  readonly by: string;
  readonly at: number;
  readonly reason: string;
  readonly line: string;
};
type Folder = {
  readonly exception: ExceptionRow;
  readonly payload: { readonly lines: readonly string[]; readonly truncated: boolean };
  readonly waiting: Waiting;
  readonly revisions: readonly Edit[];
};

/** What an operator may do with a message in trouble, and what it would mean. Every act needs a reason; it is kept. */
export function Desk({ message, again }: { readonly message: TracedMessage; readonly again: () => void }): ReactNode {
  const { value, error } = useAnswer<Folder>(exceptionPath(message.lane, message.seq), useBeat(3));
  if (error !== null) return <Failure error={error} />;
  if (value === null) return null;
  // The list is numbered from 1, and an edit made meanwhile must not change what is being typed on.
  return (
    <Card title="What now?">
      <Impact waiting={value.waiting} none="Nothing waits behind it." many="go on when it is loaded or discarded" />
      <Acts message={message} folder={value} again={again} />
    </Card>
  );
}

function Acts({
  message,
  folder,
  again,
}: {
  readonly message: TracedMessage;
  readonly folder: Folder;
  readonly again: () => void;
}): ReactNode {
  const { exception, payload, revisions } = folder;
  const edit = revisions.find(({ n }) => n === exception.revision) ?? null;
  const [reason, setReason] = useState("");
  /** What is typed, and what it began from: a newer edit by somebody else is then refused rather than overwritten. */
  const [draft, setDraft] = useState<{ text: string; from: string; basedOn: number | null } | null>(null);
  const [tried, setTried] = useState<{ rehearsal: Rehearsal; of: string | null } | null>(null);
  const { busy, error, run } = useAct();
  const address = exceptionPath(message.lane, message.seq);
  const mayRequeue = LIFE[message.state].requeue !== null;
  const mayEdit = mayRequeue && payload.lines.length === 1 && !payload.truncated;
  const fault = draft === null ? null : faultOfJson(draft.text);
  const isEdited = draft !== null && draft.text !== draft.from;
  const isExplained = reason.trim() !== "";
  const lineNow = edit?.line ?? payload.lines[0] ?? "";

  const begin = (): void => {
    const from = indented(lineNow);
    setDraft({ text: from, from, basedOn: edit?.n ?? null });
  };
  const rehearse = (): void =>
    run(async () => {
      const text = draft?.text ?? null;
      setTried(null);
      setTried({ rehearsal: await post<Rehearsal>(`${address}/dry-run`, isEdited ? { payload: text } : {}), of: text });
    });
  const order = (verb: "requeue" | "discard"): void =>
    run(async () => {
      const edited = verb === "requeue" && draft !== null ? { payload: draft.text, basedOn: draft.basedOn } : {};
      await post(`${address}/${verb}`, { reason: reason.trim(), ...edited });
      setDraft(null);
      setTried(null);
      setReason("");
      again();
    });
  return (
    <>
      {edit !== null && (
        <p className="fine">
          Edited by {who(edit.by)} <time>{when(edit.at)}</time>: {edit.reason}
        </p>
      )}
      {draft !== null && (
        <div className="editor">
          <div>
            <label htmlFor="payload">Payload</label>
            <textarea
              id="payload"
              value={draft.text}
              spellCheck={false}
              rows={Math.min(26, draft.text.split("\n").length + 1)}
              onChange={(event) => setDraft({ ...draft, text: event.target.value })}
              aria-describedby="payload-fault"
            />
          </div>
          <div id="payload-fault">
            <p className="label">What the edit changes</p>
            {fault === null ? <Diff before={draft.from} after={draft.text} /> : <p className="notice bad">{fault}</p>}
          </div>
        </div>
      )}
      {tried !== null && tried.of === (draft?.text ?? null) && <Tried rehearsal={tried.rehearsal} />}
      {error !== null && <Failure error={error} />}
      <ReasonField value={reason} change={setReason} />
      <div className="buttons">
        {mayRequeue && draft === null && (
          <button type="button" className="primary" disabled={busy || !isExplained} onClick={() => order("requeue")}>
            {edit === null ? "Requeue as it is" : "Requeue as edited"}
          </button>
        )}
        {draft !== null && (
          <button
            type="button"
            className="primary"
            disabled={busy || !isExplained || fault !== null || !isEdited}
            onClick={() => order("requeue")}
          >
            Requeue with the edit
          </button>
        )}
        <button type="button" disabled={busy || fault !== null} onClick={rehearse}>
          Dry run
        </button>
        {mayEdit && (
          <button type="button" onClick={() => (draft === null ? begin() : setDraft(null))}>
            {draft === null ? "Edit the payload" : "Leave it as it was"}
          </button>
        )}
        {draft === null && (
          <button type="button" className="danger" disabled={busy || !isExplained} onClick={() => order("discard")}>
            Discard for good
          </button>
        )}
      </div>
      <p className="fine">
        {isExplained
          ? "A requeued message is loaded at once when the centre takes it."
          : "A dry run changes nothing. To act, give a reason first."}
      </p>
    </>
  );
}

/** What would become of it, and of the centre's rows. */
function Tried({ rehearsal: { fault, notes, rows } }: { readonly rehearsal: Rehearsal }): ReactNode {
  return (
    <section className={`tried ${fault === null ? "good" : "bad"}`} role="status" aria-label="Dry run">
      <p>
        <Badge tone={fault === null ? "good" : "bad"}>{fault === null ? "would be loaded" : titleOf(fault.code)}</Badge>{" "}
        {fault === null ? "The centre takes it; nothing of this try stayed." : fault.detail}
      </p>
      {notes.map(({ kind, detail }) => (
        <p key={`${kind} ${detail}`} className="fine">
          {kind}: {detail}
        </p>
      ))}
      {fault === null && <CentreRows rows={rows} />}
    </section>
  );
}
