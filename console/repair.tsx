import { useState, type ReactNode } from "react";
import type { RepairPreview } from "../src/hub/api/operator/reconciles.ts";
import type { Reconcile } from "../src/ledger/reconciles.ts";
import { may, path, post } from "./api.ts";
import { count, counted } from "./format.ts";
import { go, to } from "./place.ts";
import { Card, Failure, ReasonField, useAct } from "./ui.tsx";

/** Sends again what a comparison found to differ: first what that would do, then the order. */
export function Repair({ id, terminal }: { readonly id: string; readonly terminal: string }): ReactNode {
  const [preview, setPreview] = useState<RepairPreview | null>(null);
  const [removals, setRemovals] = useState(false);
  const [reason, setReason] = useState("");
  const { busy, error, run } = useAct();
  if (!may("operator")) return null;
  const address = path("api", "reconciles", id, "repair");
  const look = (): void =>
    run(async () =>
      setPreview(await post<RepairPreview>(address, { preview: true, removals: true, reason: "preview" })),
    );
  if (preview === null)
    return (
      <Card title="Send again what differs">
        <p className="fine">See first what would be sent, and by whom.</p>
        {error !== null && <Failure error={error} />}
        <div className="buttons">
          <button type="button" disabled={busy} onClick={look}>
            Preview
          </button>
        </div>
      </Card>
    );
  const rows = preview.up + preview.down + (removals ? preview.removal : 0);
  return (
    <Card title="Send again what differs">
      <p>{sentenceOf(preview, terminal)}</p>
      {preview.removal > 0 && (
        <label className="check">
          <input type="checkbox" checked={removals} onChange={(event) => setRemovals(event.target.checked)} />
          Also take {counted(preview.removal, "row")} away at the terminal that the centre does not give it
        </label>
      )}
      <ReasonField value={reason} change={setReason} />
      {error !== null && <Failure error={error} />}
      <div className="buttons">
        <button
          type="button"
          className="primary"
          disabled={busy || rows === 0 || reason.trim() === ""}
          onClick={() =>
            run(async () => {
              const ordered = await post<Reconcile>(address, { removals, reason: reason.trim() });
              go(to("comparisons", ordered.id));
            })
          }
        >
          Send {counted(rows, "row")} again
        </button>
        <button type="button" className="quiet" onClick={() => setPreview(null)}>
          Leave it
        </button>
      </div>
    </Card>
  );
}

function sentenceOf({ up, down, waits, nobody, healed }: RepairPreview, terminal: string): string {
  const left = [
    waits > 0 ? `${count(waits)} wait for a message that is in trouble` : null,
    nobody > 0 ? `${count(nobody)} need a person` : null,
    healed > 0 ? `${count(healed)} are equal by now` : null,
  ].filter((part) => part !== null);
  const rest = left.length === 0 ? "" : ` Left alone: ${left.join(", ")}.`;
  return `Nothing is done yet. ${terminal} would send ${counted(up, "row")} again, the centre ${count(down)}.${rest}`;
}
