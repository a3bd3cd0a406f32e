import { asWaybillError } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import { attention, counts, picture, terminalsText, type Rates, type Standing, type Watched } from "./overview.ts";
import type { Output } from "./print.ts";
import { Screen, type Size } from "./screen.ts";

/** Looks that the bars remember. */
const REMEMBERED = 120;

export type WatchParts = {
  readonly look: () => Promise<Standing>;
  readonly address: string;
  readonly everyMs: number;
  readonly runtime: Pick<Runtime, "clock" | "timers">;
  readonly output: Output;
  /** The terminal to draw on; null: a pipe or a file, which gets one plain block a look. */
  readonly terminal: (() => Size) | null;
  /** Raised when the person has seen enough, or the process shall end. */
  readonly stop: AbortSignal;
};

/**
 * The overview again and again until `stop` is raised. The first look must succeed; later ones may not: then the last figures stay and
 * it says since when they are old. @throws what the first look threw
 */
export async function watch(parts: WatchParts): Promise<void> {
  const { runtime, everyMs, stop, output, terminal } = parts;
  const seen = new Seen(await parts.look(), runtime.clock.elapsed());
  using screen = terminal === null ? null : new Screen(output.raw);
  let silent = null as Watched["silent"];
  for (;;) {
    const now = runtime.clock.now();
    const watched: Watched = { ...seen.standing, address: parts.address, rates: seen.rates, silent };
    if (screen && terminal) {
      const size = terminal();
      screen.draw(picture(watched, now, size), size);
    } else output.out(plain(watched, now));
    await runtime.timers.sleep(everyMs, stop);
    if (stop.aborted) return;
    try {
      seen.took(await parts.look(), runtime.clock.elapsed());
      silent = null;
    } catch (thrown) {
      silent = { since: silent?.since ?? now, why: asWaybillError(thrown).what };
    }
  }
}

function plain(watched: Watched, now: number): string {
  const lines = watched.silent
    ? [`The hub does not answer: ${watched.silent.why}`]
    : [...attention(watched), counts(watched.overview, now)];
  if (!watched.silent && watched.terminals.length > 0) lines.push(terminalsText(watched, now));
  return `${lines.join("\n")}\n`;
}

/** The last look, and how fast things went between the ones before it. */
class Seen {
  standing: Standing;
  rates: Rates = { received: [], loaded: [] };
  #at: number;

  constructor(standing: Standing, at: number) {
    this.standing = standing;
    this.#at = at;
  }

  took(next: Standing, at: number): void {
    const seconds = Math.max(0.001, (at - this.#at) / 1_000);
    const rate = (name: "received" | "loaded"): readonly number[] => {
      const grown = Math.max(0, next.overview[name] - this.standing.overview[name]);
      return [...this.rates[name], grown / seconds].slice(-REMEMBERED);
    };
    this.rates = { received: rate("received"), loaded: rate("loaded") };
    this.standing = next;
    this.#at = at;
  }
}
