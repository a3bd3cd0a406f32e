import type { ReactNode } from "react";
import { EVENTS } from "../src/ledger/events.ts";
import { may, query as queryText } from "./api.ts";
import { Log } from "./log.tsx";
import { go, to } from "./place.ts";
import { Filter, Page } from "./ui.tsx";

const FILTERS = ["terminal", "actor", "kind"] as const;

/** Everything that happened and who did it, by terminal, actor and kind; an operator can take it along as a file. */
export function Audit({ query }: { readonly query: URLSearchParams }): ReactNode {
  const filter = Object.fromEntries(FILTERS.map((name) => [name, query.get(name)]));
  const change = (changed: Readonly<Record<string, string | null>>): void =>
    go(`${to("audit")}${queryText({ ...filter, ...changed })}`);
  return (
    <Page
      title="Audit"
      lead="Everything that happened, newest first, and who did it."
      aside={
        may("operator") && (
          <a href={`/api/audit${queryText({ ...filter, format: "csv" })}`} download="waybill-audit.csv">
            Download as CSV
          </a>
        )
      }
    >
      <div className="filters">
        <Filter label="Terminal" value={filter["terminal"]} change={(terminal) => change({ terminal })} />
        <Filter label="Who, such as operator:anna" value={filter["actor"]} change={(actor) => change({ actor })} />
        <label>
          <span className="unseen">Kind</span>
          <select value={filter["kind"] ?? ""} onChange={({ target }) => change({ kind: target.value })}>
            <option value="">Every kind</option>
            {Object.keys(EVENTS).map((kind) => (
              <option key={kind}>{kind}</option>
            ))}
          </select>
        </label>
      </div>
      <Log filter={filter} empty="Nothing fits." />
    </Page>
  );
}
