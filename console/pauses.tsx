import { useState, type ReactNode } from "react";
import type { Pause as LedgerPause, PauseScope } from "../src/ledger/pauses.ts";
import { may, post } from "./api.ts";
import { counted, when, who } from "./format.ts";
import { useAnswer, useBeat } from "./live.tsx";
import { ReasonField, useAct } from "./ui.tsx";

/** `waiting`: messages that wait for the route. */
type Pause = LedgerPause & { readonly waiting: number };
type Answer = { readonly pauses: readonly Pause[]; readonly lanesInWork: number };
export const usePauses = (): ReturnType<typeof useAnswer<Answer>> => useAnswer<Answer>("/api/pauses", useBeat(2));

export const pauseText = ({ kind, name, fault, waiting }: Pause): string => {
  const what =
    kind === "everything"
      ? "Loading"
      : kind === "route"
        ? `The route of table ${name}`
        : `${kind === "terminal" ? "Terminal" : "Lane"} ${name}`;
  const whose = fault === null ? "" : `, since ${fault} met many lanes; it goes on by itself when that is mended`;
  return `${what} is paused${whose}${waiting > 0 ? `; ${counted(waiting, "message waits", "messages wait")}` : ""}`;
};

/** What stands still, each with who said so and why, and the way to let it go on. Nothing when all goes. */
export function Pauses({ only }: { readonly only?: (pause: Pause) => boolean }): ReactNode {
  const { value, again } = usePauses();
  const pauses = (value?.pauses ?? []).filter((pause) => only?.(pause) ?? true);
  if (pauses.length === 0) return null;
  return (
    <ul className="attention" aria-label="What is paused">
      {pauses.map((pause) => (
        <li key={`${pause.kind} ${pause.name}`} className="warn">
          <span className="dot" />
          <span>
            {pauseText(pause)}.{" "}
            <span className="faint">
              {who(pause.by)}, <time>{when(pause.since)}</time>: {pause.reason}
            </span>
          </span>
          <PauseButton scope={pause} isPaused done={again} />
        </li>
      ))}
    </ul>
  );
}

/** Pauses what goes, resumes what stands still; with a reason, as every act. */
export function PauseButton({
  scope,
  isPaused,
  done,
}: {
  readonly scope: PauseScope;
  readonly isPaused: boolean;
  readonly done: () => void;
}): ReactNode {
  const [reason, setReason] = useState<string | null>(null);
  const { busy, error, run } = useAct();
  if (!may("operator")) return null;
  const label = isPaused ? "Resume" : scope.kind === "everything" ? "Pause loading" : "Pause";
  if (reason === null)
    return (
      <button type="button" onClick={() => setReason("")}>
        {label}
      </button>
    );
  return (
    <form
      className="asking"
      aria-label={label}
      onSubmit={(event) => {
        event.preventDefault();
        run(async () => {
          const { kind, name } = scope;
          await post(isPaused ? "/api/pauses/resume" : "/api/pauses", { kind, name, reason: reason.trim() });
          setReason(null);
          done();
        });
      }}
    >
      {error !== null && <span className="fault">{error.message}</span>}
      <ReasonField value={reason} change={setReason} />
      <button type="submit" className="primary" disabled={busy || reason.trim() === ""}>
        {label}
      </button>
      <button type="button" className="quiet" onClick={() => setReason(null)}>
        Leave it
      </button>
    </form>
  );
}
