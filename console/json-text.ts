/** Strings, marks and everything between them: what JSON is made of, blanks left out. */
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/**
 * JSON with line breaks and indents, every token as it was: reading numbers into JavaScript and writing them again would
 * change some (`1.0`, integers beyond 2^53).
 */
export function indented(json: string): string {
  let text = "";
  let depth = 0;
  const newLine = (): string => `\n${"  ".repeat(depth)}`;
  for (const [token] of json.matchAll(TOKENS)) {
    if (token === "{" || token === "[") {
      depth++;
      text += token + newLine();
    } else if (token === "}" || token === "]") {
      depth--;
      // Nothing stood between the two.
      text = /[{[]\s*$/.test(text) ? text.trimEnd() + token : text + newLine() + token;
    } else if (token === ",") text += token + newLine();
    else if (token === ":") text += ": ";
    else text += token;
  }
  return text;
}

/** Why a text is no JSON, in the browser's words; null when it is. */
export function faultOfJson(text: string): string | null {
  try {
    JSON.parse(text);
    return null;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}
