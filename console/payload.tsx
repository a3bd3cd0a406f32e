import { useState, type ReactNode } from "react";
import type { Change, Row } from "../src/message/change.ts";
import type { Rehearsal } from "../src/load/port.ts";
import { diffLines } from "./diff.ts";
import { changesOf } from "./payload-line.ts";

/** As many as are looked at by a person; a page of a table's first load carries hundreds. */
const SHOWN = 30;
type Line = {
  readonly op: string;
  readonly tone: Change["op"];
  readonly table: string;
  readonly key: Row;
  readonly before: Row | undefined;
  readonly row: Row | undefined;
};

/** Each change of a message: before and after where both are known, and what differs marked. */
export const Changes = ({ lines }: { readonly lines: readonly string[] }): ReactNode => (
  <Rows
    label="What it carries"
    words={["Before", "After"]}
    rows={changesOf(lines).map(({ op, table, key, before, row }) => ({ op, tone: op, table, key, before, row }))}
  />
);

/** Rows of the centre as they are and as they would be. */
export const CentreRows = ({ rows }: { readonly rows: Rehearsal["rows"] }): ReactNode => (
  <Rows
    label="Rows of the centre"
    words={["At the centre now", "Would be"]}
    rows={rows.map(({ table, key, now, after }) => {
      const [op, tone] =
        now === null
          ? (["new", "insert"] as const)
          : after === null
            ? (["gone", "delete"] as const)
            : (["changed", "update"] as const);
      return { op, tone, table, key, before: now ?? undefined, row: after ?? undefined };
    })}
  />
);

/** One place to scroll for all of them: a stop of the keyboard each would be hundreds. */
function Rows({
  label,
  words,
  rows,
}: {
  readonly label: string;
  readonly words: readonly [string, string];
  readonly rows: readonly Line[];
}): ReactNode {
  const [isWhole, setWhole] = useState(false);
  const shownRows = isWhole ? rows : rows.slice(0, SHOWN);
  return (
    <>
      <div className="scroll" tabIndex={0} role="region" aria-label={label}>
        <ol className="changes">
          {shownRows.map(({ op, tone, table, key, before, row }, index) => (
            <li key={index}>
              <h3>
                <span className={`op ${tone}`}>{op}</span> {table} <span className="faint">{keyText(key)}</span>
              </h3>
              <Columns before={before} row={row} words={words} />
            </li>
          ))}
        </ol>
      </div>
      {shownRows.length < rows.length && (
        <button type="button" onClick={() => setWhole(true)}>
          Show all {rows.length} changes
        </button>
      )}
    </>
  );
}

const keyText = (key: Row): string =>
  Object.entries(key)
    .map(([name, value]) => `${name} ${shown(value)}`)
    .join(", ");

/** The columns of one row, once or before and after. */
function Columns({
  before,
  row,
  words,
}: {
  readonly before: Row | undefined;
  readonly row: Row | undefined;
  readonly words: readonly [string, string];
}): ReactNode {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(row ?? {})])];
  if (names.length === 0) return <p className="fine">Only the key was captured.</p>;
  const isPair = before !== undefined && row !== undefined;
  return (
    <table className="columns">
      {isPair && (
        <thead>
          <tr>
            <th>Column</th>
            <th>{words[0]}</th>
            <th>{words[1]}</th>
          </tr>
        </thead>
      )}
      <tbody>
        {names.map((name) => {
          const [old, now] = [cell(before, name), cell(row, name)];
          const differs = isPair && old !== now;
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
