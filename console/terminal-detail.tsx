import type { ReactNode } from "react";
import { path, post, query, type ExceptionRow, type TerminalPage } from "./api.ts";
import { ExceptionLine, titleOf } from "./dead-letters.tsx";
import { NewKey } from "./enrol.tsx";
import { ago, count, counted, duration, updatesBehind, when } from "./format.ts";
import { useAnswer, useBeat, useLive } from "./live.tsx";
import { Log } from "./log.tsx";
import { Ask } from "./messages.tsx";
import { PauseButton, Pauses, usePauses } from "./pauses.tsx";
import { to } from "./place.ts";
import { Act, Badge, Card, Empty, Failure, Figure, Page, Waiting } from "./ui.tsx";

export function TerminalDetail({ id }: { readonly id: string }): ReactNode {
  const beat = useBeat(2);
  const { value, error, loading, again } = useAnswer<TerminalPage>(path("api", "terminals", id), beat);
  const open = useAnswer<{ rows: readonly ExceptionRow[] }>(
    `/api/exceptions${query({ terminal: id, states: "received,retrying,held,dead", limit: 50 })}`,
    beat,
  );
  return (
    <Page
      title={id}
      lead={value === null ? undefined : <Tags tags={value.terminal.tags} />}
      aside={<a href={to("terminals")}>All terminals</a>}
    >
      {error !== null && <Failure error={error} again={again} />}
      {loading && <Waiting />}
      {value?.restored !== undefined && value.restored !== null && (
        <div className="notice warn" role="status">
          <span>
            It was set back to an older copy {when(value.restored.at)}: {value.restored.reason}. Its rows are compared
            with the centre; nobody has said yet that both are equal.
          </span>
        </div>
      )}
      <Pauses only={({ kind, name }) => kind !== "route" && (kind === "everything" || name.split("/")[0] === id)} />
      {value !== null && <Facts page={value} />}
      <Ask what="" at={id} />
      <Card title="Off the happy path" flush>
        {open.value === null || open.value.rows.length === 0 ? (
          <Empty title="Every message of this terminal is on its way or loaded." />
        ) : (
          <ul className="rows" aria-label="Messages off the happy path">
            {open.value.rows.map((row) => (
              <li key={`${row.lane}/${row.seq}`}>
                <ExceptionLine row={row} />
              </li>
            ))}
          </ul>
        )}
      </Card>
      {value !== null && <Lanes page={value} />}
      {value !== null && value.refusedUpdates.length > 0 && (
        <Card title="Updates this terminal refused" flush>
          <ul className="rows" aria-label="Refused updates">
            {value.refusedUpdates.map((refusal) => (
              <li key={`${refusal.id} ${refusal.code} ${refusal.detail}`} className="row event-grid">
                <time className="n">{when(refusal.at)}</time>
                <a href={to("updates", String(refusal.id))}>Update {refusal.id}</a>
                <span className="clip">
                  <span>{titleOf(refusal.code)}</span>
                  <small title={refusal.detail}>{refusal.detail}</small>
                </span>
              </li>
            ))}
          </ul>
        </Card>
      )}
      <Log title="What happened here" filter={{ terminal: id }} empty="Nothing of late." />
      {value !== null && <Keys page={value} again={again} />}
    </Page>
  );
}

export const Tags = ({ tags }: { readonly tags: Readonly<Record<string, string>> }): ReactNode => (
  <>
    {Object.entries(tags).map(([name, value]) => (
      <span key={name} className="tag">
        {name} <b>{value}</b>
      </span>
    ))}
  </>
);

/** What may be done with the terminal as a whole. */
function Keys({ page: { terminal }, again }: { readonly page: TerminalPage; readonly again: () => void }): ReactNode {
  const pauses = usePauses();
  const isPaused = pauses.value?.pauses.some(({ kind, name }) => kind === "terminal" && name === terminal.id) ?? false;
  if (pauses.value === null) return null; // a viewer
  return (
    <Card title="This terminal">
      <p className="fine">
        Enrolled {when(terminal.enrolledAt)}; its key is {terminal.state === "revoked" ? "revoked" : "valid"}. While it
        is paused it goes on sending, and nothing of it is loaded.
      </p>
      <div className="buttons">
        <PauseButton scope={{ kind: "terminal", name: terminal.id }} isPaused={isPaused} done={pauses.again} />
        <NewKey terminal={terminal.id} tags={terminal.tags} />
        {terminal.state === "enrolled" && (
          <Act
            label="Revoke the key"
            question={`Nothing more is taken from ${terminal.id} until it is enrolled anew. Revoke its key?`}
            act={() => post(path("api", "terminals", terminal.id, "revoke"), {})}
            done={again}
          />
        )}
      </div>
    </Card>
  );
}

function Facts({ page: { terminal, lanes } }: { readonly page: TerminalPage }): ReactNode {
  const { picture } = useLive();
  const now = picture?.at ?? 0;
  const current = lanes.find((lane) => lane.current);
  const behind = updatesBehind(picture?.overview.updatesHead ?? 0, terminal.appliedThrough);
  const way =
    current === undefined || current.receivedThrough === current.loadedThrough
      ? "all of it is loaded"
      : `${counted(current.receivedThrough - current.loadedThrough, "message")} on the way`;
  return (
    <div className="figures">
      <Figure
        label="Received through"
        value={current === undefined ? "–" : count(current.receivedThrough)}
        note={current === undefined || current.receivedAt === null ? "nothing yet" : ago(current.receivedAt, now)}
      />
      <Figure label="Loaded through" value={current === undefined ? "–" : count(current.loadedThrough)} note={way} />
      <Figure
        label="Updates behind"
        value={behind === null ? "–" : count(behind)}
        note={behind === null ? "has taken none yet" : behind === 0 ? "has every update" : "going down to it"}
      />
      <Figure
        label="Last seen"
        value={terminal.lastSeenAt === null ? "never" : ago(terminal.lastSeenAt, now)}
        note={[
          terminal.state === "revoked" ? "key revoked" : null,
          terminal.version === null ? null : `version ${terminal.version}`,
          skewText(terminal.skewMs),
        ]
          .filter((note) => note !== null)
          .join(" · ")}
        {...(terminal.state === "revoked" ? { tone: "bad" as const } : {})}
      />
    </div>
  );
}
/** Below this a clock is right: the network's own delay is in the measure. */
const RIGHT_MS = 2_000;
function skewText(skewMs: number | null): string | null {
  if (skewMs === null) return null;
  if (Math.abs(skewMs) < RIGHT_MS) return "clock right";
  return `clock ${skewMs < 0 ? "slow" : "fast"} by ${duration(Math.abs(skewMs))}`;
}

function Lanes({ page: { lanes } }: { readonly page: TerminalPage }): ReactNode {
  if (lanes.length === 0) return null;
  return (
    <Card title="Lanes" flush>
      <div className="scroll" tabIndex={0} role="region" aria-label="Lanes">
        <table>
          <thead>
            <tr>
              <th>Epoch</th>
              <th className="n">Received through</th>
              <th className="n">Claimed through</th>
              <th className="n">Loaded through</th>
              <th className="n">Dead</th>
              <th className="n">Held</th>
              <th className="n">Retrying</th>
            </tr>
          </thead>
          <tbody>
            {lanes.map((lane) => (
              <tr key={lane.lane}>
                <td>
                  <code>{lane.epoch}</code>{" "}
                  {lane.current ? <Badge tone="info">current</Badge> : <Badge tone="calm">ended</Badge>}
                </td>
                <td className="n">{count(lane.receivedThrough)}</td>
                <td className="n">{count(lane.claimedThrough)}</td>
                <td className="n">{count(lane.loadedThrough)}</td>
                <td className="n">{count(lane.open.dead)}</td>
                <td className="n">{count(lane.open.held)}</td>
                <td className="n">{count(lane.open.retrying)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
