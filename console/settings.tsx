import type { ReactNode } from "react";
import type { ShownSettings } from "../src/hub/api/operator/settings.ts";
import { useAnswer } from "./live.tsx";
import { Badge, Card, Failure, Page, Waiting } from "./ui.tsx";

const SECTIONS = ["general", "processor", "publisher", "retry", "limits"] as const;

/** The config in effect, to read: it is changed in its file, and secrets never come here. */
export function Settings(): ReactNode {
  const { value, error, loading, again } = useAnswer<ShownSettings>("/api/settings");
  return (
    <Page title="Settings" lead="The config in effect. It is changed in its file; `waybill config` explains each word.">
      {error !== null && <Failure error={error} again={again} />}
      {loading && <Waiting />}
      {value !== null && (
        <>
          <Tables tables={value.tables} />
          <div className="settings">
            {SECTIONS.map((section) => (
              <Card key={section} title={section}>
                <dl className="facts">
                  {Object.entries(value[section]).map(([name, given]) => (
                    <div key={name}>
                      <dt>{name}</dt>
                      <dd>{Array.isArray(given) ? given.join(", ") : String(given)}</dd>
                    </div>
                  ))}
                </dl>
              </Card>
            ))}
          </div>
        </>
      )}
    </Page>
  );
}

function Tables({ tables }: { readonly tables: ShownSettings["tables"] }): ReactNode {
  return (
    <Card title="Tables" flush>
      <div className="scroll" tabIndex={0} role="region" aria-label="Tables">
        <table>
          <thead>
            <tr>
              <th>At the terminals</th>
              <th>At the centre</th>
              <th>Direction</th>
              <th>Conflict</th>
              <th>Searchable</th>
              <th>Personal</th>
            </tr>
          </thead>
          <tbody>
            {tables.map((table) => (
              <tr key={table.name}>
                <td>
                  <strong>{table.name}</strong>
                </td>
                <td>{table.target}</td>
                <td>
                  <Badge tone="calm">{table.direction}</Badge>
                </td>
                <td>{table.conflict?.policy ?? "–"}</td>
                <td>{table.search.join(", ") || "–"}</td>
                <td>{table.personal.join(", ") || "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
