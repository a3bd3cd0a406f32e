import type { ReactNode } from "react";
import type { Change, Row } from "../src/message/change.ts";
import { diffLines } from "./diff.ts";

/** The changes of a message's lines; of lines that cannot be read, none. For showing only: numbers go through JavaScript. */
export function changesOf(lines: readonly string[]): readonly Change[] {
  return lines.flatMap((line) => lineOf(line)?.changes ?? []);
}
export const capturedAt = (lines: readonly string[]): string | null => lineOf(lines[0] ?? "")?.at ?? null;
export const traceOf = (lines: readonly string[]): string | null => lineOf(lines[0] ?? "")?.trace ?? null;

type Line = { readonly at?: string; readonly trace?: string; readonly changes?: readonly Change[] };
function lineOf(text: string): Line | null {
  try {
    return JSON.parse(text) as Line;
  } catch {
    return null;
  }
}

/** Each change as a table of its columns: before and after where both are known, and what differs marked. */
export function Changes({ lines }: { readonly lines: readonly string[] }): ReactNode {
  const changes = changesOf(lines);
  return (
    <ol className="changes">
      {changes.map((change, index) => (
        <li key={index}>
          <h3>
            <span className={`op ${change.op}`}>{change.op}</span> {change.table}{" "}
            <span className="faint">
              {Object.entries(change.key)
                .map(([name, value]) => `${name} ${shown(value)}`)
                .join(", ")}
            </span>
          </h3>
          <Columns change={change} />
        </li>
      ))}
    </ol>
  );
}

function Columns({ change }: { readonly change: Change }): ReactNode {
  const { before, row, key } = change;
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(row ?? {})])];
  if (names.length === 0) return <p className="fine">Only the key was captured.</p>;
  return (
    <div
      className="scroll"
      tabIndex={0}
      role="region"
      aria-label={`Columns of ${change.table} ${Object.values(key).map(shown).join(" ")}`}
    >
      <table className="columns">
        <thead>
          <tr>
            <th>Column</th>
            {before !== undefined && <th>Before</th>}
            {row !== undefined && <th>{before === undefined ? "Value" : "After"}</th>}
          </tr>
        </thead>
        <tbody>
          {names.map((name) => {
            const [old, now] = [cell(before, name), cell(row, name)];
            const differs = before !== undefined && row !== undefined && old !== now;
            return (
              <tr key={name} {...(differs ? { className: "differs" } : {})}>
                <th scope="row">{name}</th>
                {before !== undefined && <td>{differs ? <del>{old}</del> : old}</td>}
                {row !== undefined && <td>{differs ? <ins>{now}</ins> : now}</td>}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

const cell = (row: Row | undefined, name: string): string =>
  row !== undefined && Object.hasOwn(row, name) ? shown(row[name]) : "";
/** Text as it is; an empty text and null look different. */
const shown = (value: unknown): string =>
  typeof value === "string" ? (value === "" ? "“”" : value) : value === null ? "null" : JSON.stringify(value);

/** What an edit changes, three lines around each place. */
export function Diff({ before, after }: { readonly before: string; readonly after: string }): ReactNode {
  const lines = diffLines(before, after);
  const near = lines.map((_, index) =>
    lines.slice(Math.max(0, index - 3), index + 4).some(({ kind }) => kind !== "same"),
  );
  if (!near.includes(true)) return <p className="fine">Nothing is changed yet.</p>;
  return (
    <pre className="diff" tabIndex={0} role="region" aria-label="What the edit changes">
      {lines.map(({ kind, text }, index) =>
        near[index] ? (
          <span key={index} className={kind}>
            {kind === "removed" ? "− " : kind === "added" ? "+ " : "  "}
            {text}
            {"\n"}
          </span>
        ) : null,
      )}
    </pre>
  );
}
