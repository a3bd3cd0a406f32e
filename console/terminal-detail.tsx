import { useState, type ReactNode } from "react";
import type { Reconcile } from "../src/ledger/reconciles.ts";
import { may, path, post, query, type ExceptionRow, type TerminalPage } from "./api.ts";
import { OLD_MS } from "./attention.ts";
import { CompareForm } from "./compare-form.tsx";
import { ComparisonLine } from "./comparisons.tsx";
import { ExceptionLine } from "./dead-letters.tsx";
import { NewKey } from "./enrol.tsx";
import { ago, count, duration, updatesBehind, when } from "./format.ts";
import { useAnswer, useBeat, useLive } from "./live.tsx";
import { Log } from "./log.tsx";
import { Ask } from "./messages.tsx";
import { PauseButton, Pauses, usePauses } from "./pauses.tsx";
import { to } from "./place.ts";
import { titleOf } from "./prose.ts";
import { TerminalDay } from "./terminal-day.tsx";
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
      aside={
        <>
          <a href={`${to("messages")}${query({ of: id })}`}>Its messages</a>
          <a href={to("terminals")}>All terminals</a>
        </>
      }
    >
      {error !== null && <Failure error={error} again={again} />}
      {loading && <Waiting />}
      {value?.restored !== undefined && value.restored !== null && (
        <div className="notice warn" role="status">
          <span>
            It was set back to an older copy {when(value.restored.at)}: {value.restored.reason}. Its rows are compared
            with the centre; nobody has said yet that both are equal. What came of it stands below.
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
      <TerminalDay id={id} />
      {value !== null && <Acts page={value} again={again} />}
      <Compared id={id} />
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
    </Page>
  );
}

export const Tags = ({ tags }: { readonly tags: Readonly<Record<string, string>> }): ReactNode => (
  <>
    {Object.entries(tags).map(([name, value]) => (
      <a key={name} className="tag" href={`${to("terminals")}${query({ tag: `${name}:${value}` })}`}>
        {name} <b>{value}</b>
      </a>
    ))}
  </>
);

/** What may be done with the terminal as a whole. */
function Acts({ page: { terminal }, again }: { readonly page: TerminalPage; readonly again: () => void }): ReactNode {
  const pauses = usePauses();
  const [ordering, setOrdering] = useState<"compare" | "resync" | null>(null);
  const isPaused = pauses.value?.pauses.some(({ kind, name }) => kind === "terminal" && name === terminal.id) ?? false;
  const isEnrolled = terminal.state === "enrolled";
  if (!may("operator")) return null;
  if (ordering !== null)
    return <CompareForm terminal={terminal.id} mends={ordering === "resync"} done={() => setOrdering(null)} />;
  return (
    <Card title="This terminal">
      <p className="fine">
        Enrolled {when(terminal.enrolledAt)}; its key is {isEnrolled ? "valid" : "revoked"}. While it is paused it goes
        on sending, and nothing of it is loaded.
      </p>
      <div className="buttons">
        <PauseButton scope={{ kind: "terminal", name: terminal.id }} isPaused={isPaused} done={pauses.again} />
        {isEnrolled && (
          <>
            <button type="button" onClick={() => setOrdering("compare")}>
              Compare…
            </button>
            <button type="button" onClick={() => setOrdering("resync")}>
              Resync…
            </button>
          </>
        )}
        <NewKey terminal={terminal.id} tags={terminal.tags} />
        {isEnrolled && (
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

/** How it compared with the centre of late; nothing when nobody has looked. */
function Compared({ id }: { readonly id: string }): ReactNode {
  const { value } = useAnswer<{ reconciles: readonly Reconcile[] }>(
    `/api/reconciles${query({ terminal: id, limit: 5 })}`,
    useBeat(3),
  );
  if (value === null || value.reconciles.length === 0) return null;
  return (
    <Card title="Compared with the centre" aside={<a href={to("comparisons")}>All comparisons</a>} flush>
      <ul className="rows" aria-label="Comparisons of this terminal">
        {value.reconciles.map((one) => (
          <li key={one.id}>
            <ComparisonLine one={one} />
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** Both ways, and how it is itself. */
function Facts({ page: { terminal, line, lanes } }: { readonly page: TerminalPage }): ReactNode {
  const { picture } = useLive();
  const now = picture?.at ?? 0;
  const current = lanes.find((lane) => lane.current);
  const head = picture?.overview.updatesHead ?? 0;
  const behind = updatesBehind(head, terminal.appliedThrough);
  const waiting = line?.waiting ?? 0;
  return (
    <div className="figures five">
      <Figure
        label="On the way up"
        value={count(waiting)}
        note={current === undefined ? "nothing came yet" : `${count(current.receivedThrough)} came in all`}
        {...(waiting > 0 && now - (current?.receivedAt ?? now) > OLD_MS ? { tone: "warn" as const } : {})}
      />
      <Figure
        label="Till to centre"
        value={line === null || line.lagMs === null ? "–" : duration(line.lagMs)}
        note={line === null || line.lagMs === null ? "nothing was loaded yet" : "its newest message"}
      />
      <Figure label="Updates behind" value={behind === null ? "–" : count(behind)} note={downNote(terminal, behind)} />
      <Figure
        label="Last seen"
        value={terminal.lastSeenAt === null ? "never" : ago(terminal.lastSeenAt, now)}
        note={
          terminal.state === "revoked"
            ? "its key is revoked"
            : terminal.version === null
              ? "no version told"
              : `version ${terminal.version}`
        }
        {...(terminal.state === "revoked" ? { tone: "bad" as const } : {})}
      />
      <Figure label="Its clock" {...clockOf(terminal.skewMs)} />
    </div>
  );
}

function downNote({ appliedThrough, deliveredThrough }: TerminalPage["terminal"], behind: number | null): string {
  if (behind === null) return "has taken none yet";
  if (behind === 0) return "has every update";
  const delivered = deliveredThrough - appliedThrough;
  return delivered > 0 && delivered <= behind ? `${count(delivered)} handed over` : "has not asked for them yet";
}

/** Below this a clock is right: the network's own delay is in the measure. */
const RIGHT_MS = 2_000;
function clockOf(skewMs: number | null): { value: string; note: string; tone?: "warn" } {
  if (skewMs === null) return { value: "–", note: "not told" };
  const off = Math.abs(skewMs);
  if (off < RIGHT_MS) return { value: "right", note: "to two seconds" };
  return { value: duration(off), note: skewMs < 0 ? "behind the hub's" : "ahead of the hub's", tone: "warn" };
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
