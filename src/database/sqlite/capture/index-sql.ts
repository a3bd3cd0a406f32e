/**
 * Reads the text of a CREATE INDEX statement as far as SQLite's pragmas do not tell it: the expressions it is over, and
 * the condition of a partial index. The text comes from sqlite_schema, so it is valid SQL.
 */
export type IndexText = {
  /** What is indexed, in order, without ASC or DESC. */
  readonly terms: readonly string[];
  /** The condition of a partial index. */
  readonly where: string | null;
};

/** A quoted name or text, a comment, a word or number, or any one other character. */
const TOKEN =
  /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?\*\/|[\p{L}\p{N}_$]+|\s+|[\s\S]/gu;

/** Null when the text has no parenthesised list, so is no CREATE INDEX. */
export function readIndexText(sql: string): IndexText | null {
  const terms: string[] = [];
  let term = "";
  let depth = 0;
  let listed = false;
  let where: string | null = null;
  for (const [token] of sql.matchAll(TOKEN)) {
    if (token.startsWith("--") || token.startsWith("/*")) {
      term += " ";
    } else if (listed) {
      if (where !== null) where += token;
      else if (token.toLowerCase() === "where") where = "";
    } else if (token === "(" && depth++ === 0) {
      term = "";
    } else if (token === ")" && --depth === 0) {
      terms.push(direction(term));
      listed = true;
    } else if (token === "," && depth === 1) {
      terms.push(direction(term));
      term = "";
    } else {
      term += token;
    }
  }
  return listed ? { terms, where: where?.trim() ?? null } : null;
}

const direction = (term: string): string => term.trim().replace(/\s+(?:asc|desc)$/i, "");
