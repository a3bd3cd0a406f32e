import { backoffMs, type BackoffPolicy } from "../base/backoff.ts";
import { asWaybillError } from "../base/errors.ts";
import type { LaneName } from "../base/ids.ts";
import type { Runtime } from "../base/runtime.ts";
import { Wake } from "../base/wake.ts";
import type { Work } from "../ledger/port.ts";
import type { Log } from "../observe/log.ts";
import type { Central } from "./central.ts";

/** How often both stores are compared without a reason. */
const EVERY_MS = 60_000;
/** After a look that failed: a store that is away is not asked all the time, and one that hiccuped is not left unseen for a minute. */
const RETRY: BackoffPolicy = { firstMs: 500, factor: 2, capMs: EVERY_MS };
/** Lanes compared at once. */
const PAGE = 500;

export type VersionWatchParts = {
  readonly work: Pick<Work, "marks" | "doubt">;
  readonly central: Pick<Central, "marks">;
  readonly runtime: Pick<Runtime, "timers" | "random">;
  readonly log: Log;
  /** Called when lanes became due. */
  readonly doubted: () => void;
  /** True while the centre is to be left alone; without it never. */
  readonly paused?: () => boolean;
};

/**
 * Finds out that ledger or centre was restored though nothing comes in: every central act on a lane moves the version of its
 * central row, so a version that differs from the ledger's, on a lane that nobody has claimed, is a restore or a crash between
 * load and settlement. The lane is only made due; its next loader decides, under the lease, what that means.
 */
export class VersionWatch {
  readonly #parts: VersionWatchParts;
  readonly #wake: Wake;

  constructor(parts: VersionWatchParts) {
    this.#parts = parts;
    this.#wake = new Wake(parts.runtime.timers);
  }

  /** The centre answers again after it was away: it may be another one. */
  reconnected(): void {
    this.#wake.ring();
  }

  /** At once, then every minute and after each reconnect, sooner after a failure, until `stop` is raised. Never rejects. */
  async run(stop: AbortSignal): Promise<void> {
    const { log, runtime } = this.#parts;
    for (let failures = 0; !stop.aborted;) {
      try {
        if (!this.#parts.paused?.()) await this.look(stop);
        failures = 0;
      } catch (thrown) {
        failures++;
        log.debug({ error: asWaybillError(thrown) }, "versions.unknown"); // the loop that loads says it louder
      }
      await this.#wake.wait(failures === 0 ? EVERY_MS : backoffMs(failures, RETRY, runtime.random), stop);
    }
  }

  /** Compares all lanes once. */
  async look(stop?: AbortSignal): Promise<void> {
    const { work, central, log, doubted } = this.#parts;
    for (let after: number | null = null; ;) {
      const page: Awaited<ReturnType<Work["marks"]>> = await work.marks(PAGE, after);
      const shown = await central.marks(page.marks.map(({ lane }) => lane));
      const versions = new Map(shown.map(({ lane, version }) => [lane, version]));
      const differ: LaneName[] = page.marks
        .filter(({ lane, version }) => (versions.get(lane) ?? 0) !== version)
        .map(({ lane }) => lane);
      if (differ.length > 0) {
        log.warn({ lanes: differ.slice(0, 20), count: differ.length }, "versions.differ");
        await work.doubt(differ);
        doubted();
      }
      if (page.next === null || stop?.aborted) return;
      after = page.next;
    }
  }
}
