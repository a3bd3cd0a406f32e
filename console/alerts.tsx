import { useState, type ReactNode } from "react";
import type { ShownAlertRules, ShownAlerts } from "../src/hub/api/operator/alerts.ts";
import { may, path, post, query } from "./api.ts";
import { ago, counted, duration, when, who } from "./format.ts";
import { useAnswer, useBeat, useLive } from "./live.tsx";
import { usePages } from "./pages.ts";
import { to } from "./place.ts";
import { Prose } from "./prose.tsx";
import { Act, Badge, Card, Chips, Empty, Failure, Page, ReasonField, useAct, Waiting } from "./ui.tsx";

type Alert = ShownAlerts["alerts"][number];

/** What people were told of without asking: what is open, what is over, by which rules and over which channels. */
export function Alerts({ query: given }: { readonly query: URLSearchParams }): ReactNode {
  const state = given.get("state") === "past" ? "past" : "open";
  const pages = usePages<ShownAlerts, Alert, string>(
    query({ state, limit: 100 }),
    useBeat(3),
    (address, before) => `/api/alerts${address}${before === null ? "" : `&before=${encodeURIComponent(before)}`}`,
    ({ alerts, next }) => ({ rows: alerts, next }),
  );
  const rules = useAnswer<ShownAlertRules>("/api/alerts/rules", useBeat(10));
  const titles = new Map(rules.value?.rules.map(({ name, title }) => [name, title]));
  return (
    <Page title="Alerts" lead="What you are told of without asking: once when it begins, once more when it is over.">
      <div className="filters">
        <Chips
          label="State"
          chosen={state}
          options={[
            { value: "open", label: "open", href: to("alerts") },
            { value: "past", label: "over", href: `${to("alerts")}?state=past` },
          ]}
        />
      </div>
      {pages.error !== null && <Failure error={pages.error} again={pages.again} />}
      <Card flush>
        {pages.loading ? (
          <Waiting />
        ) : pages.rows.length === 0 ? (
          <Empty title={state === "open" ? "Nothing is wrong." : "No alert is over yet."}>
            {state === "open"
              ? "You will be told here, and over the channels below."
              : "One that ends is kept here for 90 days."}
          </Empty>
        ) : (
          <ul className="rows" aria-label="Alerts">
            {pages.rows.map((alert) => (
              <AlertLine
                key={alert.id}
                alert={alert}
                title={titles.get(alert.rule) ?? alert.rule}
                again={pages.again}
              />
            ))}
          </ul>
        )}
      </Card>
      {pages.more && (
        <p className="buttons">
          <button type="button" onClick={pages.loadMore}>
            Older ones
          </button>
        </p>
      )}
      {rules.error !== null && <Failure error={rules.error} again={rules.again} />}
      {rules.value !== null && <Channels channels={rules.value.channels} again={rules.again} />}
      {rules.value !== null && <Rules rules={rules.value.rules} />}
    </Page>
  );
}

function AlertLine({
  alert,
  title,
  again,
}: {
  readonly alert: Alert;
  readonly title: string;
  readonly again: () => void;
}): ReactNode {
  const { picture } = useLive();
  const { clearedAt, raisedAt, seen, what, count } = alert;
  const now = picture?.at ?? raisedAt;
  return (
    <li className="row alert-grid">
      <span>
        <Badge tone={clearedAt !== null ? "calm" : seen === null ? "bad" : "warn"}>
          {clearedAt !== null ? "over" : seen === null ? "open" : "seen"}
        </Badge>
      </span>
      <span>
        <span>
          <Prose text={what} />
        </span>
        <small>
          {title}
          {count === null ? "" : ` · ${count} now`}
          {seen === null ? "" : ` · seen by ${who(seen.by)}: ${seen.note}`}
        </small>
      </span>
      <span className="n">
        <time>{when(raisedAt)}</time>
        <small>
          {clearedAt === null
            ? `for ${ago(raisedAt, now).replace(/ ago$/, "")}`
            : `over after ${duration(clearedAt - raisedAt)}`}
        </small>
      </span>
      <span>{clearedAt === null && seen === null && <See id={alert.id} done={again} />}</span>
    </li>
  );
}

/** It stays open until the trouble is over; nobody is told again meanwhile. */
function See({ id, done }: { readonly id: string; readonly done: () => void }): ReactNode {
  const [note, setNote] = useState<string | null>(null);
  const { busy, error, run } = useAct();
  if (!may("operator")) return null;
  if (note === null)
    return (
      <button type="button" className="quiet" onClick={() => setNote("")}>
        I have seen it
      </button>
    );
  return (
    <form
      className="asking"
      onSubmit={(event) => {
        event.preventDefault();
        run(async () => {
          await post(path("api", "alerts", id, "see"), { note: note.trim() });
          setNote(null);
          done();
        });
      }}
    >
      {error !== null && <span className="fault">{error.message}</span>}
      <ReasonField value={note} change={setNote} />
      <button type="submit" disabled={busy || note.trim() === ""}>
        Keep it
      </button>
      <button type="button" className="quiet" onClick={() => setNote(null)}>
        Not now
      </button>
    </form>
  );
}

function Channels({
  channels,
  again,
}: {
  readonly channels: ShownAlertRules["channels"];
  readonly again: () => void;
}): ReactNode {
  return (
    <Card title="Channels" flush>
      {channels.length === 0 && <Empty title="Nobody is told.">A channel is set in the config, under alerts.</Empty>}
      <ul className="rows" aria-label="Channels">
        {channels.map(({ name, kind, target, waiting, givenUp, deliveredAt, fault }) => (
          <li key={name} className="row letter-grid">
            <span>
              <strong>{name}</strong>
              <small>{kind}</small>
            </span>
            <span>
              <Badge tone={fault === null ? "good" : "bad"}>{fault === null ? "well" : "failing"}</Badge>
            </span>
            <span className="clip">
              <span>{target}</span>
              <small title={fault ?? ""}>
                {fault ?? (deliveredAt === null ? "nothing delivered yet" : `last delivered ${when(deliveredAt)}`)}
                {waiting > 0 ? ` · ${waiting} waiting` : ""}
                {givenUp > 0 ? ` · ${givenUp} given up` : ""}
              </small>
            </span>
            <Act
              label="Try it"
              question="Send a trial now?"
              act={() => post("/api/alerts/test", { channel: name })}
              done={again}
            />
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Rules({ rules }: { readonly rules: ShownAlertRules["rules"] }): ReactNode {
  return (
    <Card title={`${counted(rules.filter(({ limits }) => limits !== null).length, "rule")} in effect`}>
      <dl className="facts long">
        {rules.map(({ name, title, meaning, todo, limits }) => (
          <div key={name}>
            <dt>
              {title} {limits === null && <Badge tone="calm">off</Badge>}
            </dt>
            <dd>
              {meaning}{" "}
              <span className="faint">
                <Prose text={todo} />
              </span>
            </dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}
