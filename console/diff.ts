export type DiffLine = { readonly kind: "same" | "removed" | "added"; readonly text: string };

const MOST_CELLS = 4_000_000;

/** What changed between two texts, line by line, by their longest common run of lines. */
export function diffLines(before: string, after: string): readonly DiffLine[] {
  const [a, b] = [before.split("\n"), after.split("\n")];
  if (a.length * b.length > MOST_CELLS) return [...marked(a, "removed"), ...marked(b, "added")];
  const common = commonLengths(a, b);
  const lines: DiffLine[] = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      lines.push({ kind: "same", text: a[i] ?? "" });
      i++;
      j++;
    } else if ((common[i + 1]?.[j] ?? 0) >= (common[i]?.[j + 1] ?? 0)) {
      lines.push({ kind: "removed", text: a[i] ?? "" });
      i++;
    } else {
      lines.push({ kind: "added", text: b[j] ?? "" });
      j++;
    }
  }
  return [...lines, ...marked(a.slice(i), "removed"), ...marked(b.slice(j), "added")];
}

const marked = (lines: readonly string[], kind: DiffLine["kind"]): readonly DiffLine[] =>
  lines.map((text) => ({ kind, text }));

/** `[i][j]`: how many lines a[i…] and b[j…] have in common, in order. */
function commonLengths(a: readonly string[], b: readonly string[]): readonly Uint32Array[] {
  const table = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    const [row, below] = [table[i] ?? new Uint32Array(0), table[i + 1] ?? new Uint32Array(0)];
    for (let j = b.length - 1; j >= 0; j--)
      row[j] = a[i] === b[j] ? (below[j + 1] ?? 0) + 1 : Math.max(below[j] ?? 0, row[j + 1] ?? 0);
  }
  return table;
}
