/**
 * The text with `from` replaced by `to`: where it stands for the nth time (from 0), or, without `nth`, where it stands at all.
 * Null: it does not stand there, or stands several times and nothing says which is meant.
 */
export function patchedText(text: string, from: string, to: string, nth?: number): string | null {
  const pieces = text.split(from);
  const at = nth ?? 0;
  if (pieces.length < at + 2 || (nth === undefined && pieces.length !== 2)) return null;
  return `${pieces.slice(0, at + 1).join(from)}${to}${pieces.slice(at + 1).join(from)}`;
}
