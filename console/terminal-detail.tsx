import type { ReactNode } from "react";
import { path, query, type ExceptionRow, type TerminalPage } from "./api.ts";
import { ExceptionLine } from "./dead-letters.tsx";
import { ago, count, duration, updatesBehind, when } from "./format.ts";
import { useAnswer, useBeat, useLive } from "./live.tsx";
import { to } from "./place.ts";
import { Badge, Card, Empty, Failure, Figure, Page, Waiting } from "./ui.tsx";
import { Ask } from "./messages.tsx";

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
              <li key={refusal.id} className="row event-grid">
                <span className="n">{refusal.id}</span>
                <Badge tone="bad">{refusal.code}</Badge>
                <span>{refusal.detail}</span>
                <time>{when(refusal.at)}</time>
              </li>
            ))}
          </ul>
        </Card>
      )}
    </Page>
  );
}

const Tags = ({ tags }: { readonly tags: Readonly<Record<string, string>> }): ReactNode => (
  <>
    {Object.entries(tags).map(([name, value]) => (
      <span key={name} className="tag">
        {name} <b>{value}</b>
      </span>
    ))}
  </>
);

function Facts({ page: { terminal, lanes } }: { readonly page: TerminalPage }): ReactNode {
  const { picture } = useLive();
  const now = picture?.at ?? 0;
  const current = lanes.find((lane) => lane.current);
  const behind = updatesBehind(picture?.overview.updatesHead ?? 0, terminal.appliedThrough);
  return (
    <div className="figures">
      <Figure
        label="Received through"
        value={current === undefined ? "–" : count(current.receivedThrough)}
        note={current === undefined || current.receivedAt === null ? "nothing yet" : ago(current.receivedAt, now)}
      />
      <Figure
        label="Loaded through"
        value={current === undefined ? "–" : count(current.loadedThrough)}
        note={current === undefined || current.loadedAt === null ? "nothing yet" : ago(current.loadedAt, now)}
      />
      <Figure
        label="Updates behind"
        value={behind === null ? "–" : count(behind)}
        note={behind === 0 ? "has every update" : "going down to it"}
      />
      <Figure
        label="Last seen"
        value={terminal.lastSeenAt === null ? "never" : ago(terminal.lastSeenAt, now)}
        note={[terminal.version === null ? null : `version ${terminal.version}`, skewText(terminal.skewMs)]
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
