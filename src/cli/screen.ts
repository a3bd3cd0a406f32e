/** What a picture may cover. */
export type Size = { readonly columns: number; readonly rows: number };

const ESCAPE = /\u001b\[[0-9;]*m/y;

/** At most `columns` characters wide, with what colours it kept and ended; "…" says that something was cut off. */
export function cut(text: string, columns: number): string {
  let [shown, width, coloured] = ["", 0, false];
  for (let at = 0; at < text.length;) {
    ESCAPE.lastIndex = at;
    const [escape] = ESCAPE.exec(text) ?? [];
    if (escape !== undefined) {
      shown += escape;
      coloured = true;
      at += escape.length;
      continue;
    }
    const letter = String.fromCodePoint(text.codePointAt(at) ?? 0);
    if (width === columns) return `${withoutLast(shown)}…${coloured ? "\u001b[0m" : ""}`;
    shown += letter;
    width++;
    at += letter.length;
  }
  return shown;
}

/** Without its last visible character; escapes behind it stay. */
const withoutLast = (text: string): string => text.replace(/[^\u001b]((?:\u001b\[[0-9;]*m)*)$/u, "$1");

/** A row of bars as high as the values, the newest at the right; empty without any. */
export function sparkline(values: readonly number[], width: number): string {
  const shown = values.slice(-width);
  const most = Math.max(...shown, 0);
  const bars = "▁▂▃▄▅▆▇█";
  return shown
    .map(
      (value) => bars[most === 0 ? 0 : Math.min(bars.length - 1, Math.floor((value / most) * (bars.length - 0.001)))],
    )
    .join("");
}

/**
 * A picture that is redrawn in place, on the terminal's other page, so that what was on the screen before is there again
 * afterwards. Each line is written over the old one: nothing flickers. Leaving it shows the cursor again, whatever happened.
 */
export class Screen implements Disposable {
  readonly #write: (text: string) => void;
  #last: readonly string[] = [];

  constructor(write: (text: string) => void) {
    this.#write = write;
    write("\u001b[?1049h\u001b[?25l\u001b[2J");
  }

  draw(lines: readonly string[], { columns, rows }: Size): void {
    this.#last = lines;
    const fitting = lines.slice(0, rows).map((line) => `${cut(line, columns)}\u001b[K`);
    this.#write(`\u001b[H${fitting.join("\r\n")}\u001b[J`);
  }

  /** Leaves the page, and the last picture behind on the one below. */
  [Symbol.dispose](): void {
    this.#write("\u001b[?25h\u001b[?1049l");
    if (this.#last.length > 0) this.#write(`${this.#last.join("\n")}\n`);
  }
}
