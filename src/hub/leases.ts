import { asWaybillError } from "../base/errors.ts";
import type { LaneName } from "../base/ids.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Claim, Work } from "../ledger/port.ts";
import type { Log } from "../observe/log.ts";

type Held = { readonly lane: LaneName; readonly fence: number };

/** One batch's lanes while it is in work. */
export interface Lease extends Disposable {
  /** Lanes that another worker took over meanwhile, as far as is known: nothing of them may be settled. */
  readonly lost: ReadonlySet<LaneName>;
  /** This lane is renewed no more: its lease is to run out. */
  drop(lane: LaneName): void;
}

/**
 * The leases of this process, renewed on a beat by the thread that never loads: a batch may take minutes without being
 * taken over, and a process that hangs is taken over soon. Knowing of a lost lease early spares work; the fence decides.
 */
export class Leases {
  readonly #work: Work;
  readonly #timers: Runtime["timers"];
  readonly #log: Log;
  readonly #held = new Map<LaneName, { readonly fence: number; readonly lost: Set<LaneName> }>();

  constructor({
    work,
    runtime,
    log,
  }: {
    readonly work: Work;
    readonly runtime: Pick<Runtime, "timers">;
    readonly log: Log;
  }) {
    this.#work = work;
    this.#timers = runtime.timers;
    this.#log = log;
  }

  hold(claims: readonly Claim[]): Lease {
    const lost = new Set<LaneName>();
    for (const { lane, fence } of claims) this.#held.set(lane, { fence, lost });
    const drop = (lane: LaneName): void => {
      if (this.#held.get(lane)?.lost === lost) this.#held.delete(lane); // not when it is held anew by a later batch
    };
    return { lost, drop, [Symbol.dispose]: () => claims.forEach(({ lane }) => drop(lane)) };
  }

  holds(lane: LaneName): boolean {
    return this.#held.has(lane);
  }

  /** Renews all that is held three times within the length of a lease, until disposed. */
  renewing(leaseMs: number): Disposable {
    return this.#timers.every(
      leaseMs / 3,
      () => this.renew(leaseMs),
      (thrown) => this.#log.warn({ error: asWaybillError(thrown) }, "renewal.failed"),
    );
  }

  async renew(leaseMs: number): Promise<void> {
    const held = [...this.#held].map(([lane, { fence }]): Held => ({ lane, fence }));
    if (held.length === 0) return;
    const lost = new Set(await this.#work.renew(held, leaseMs));
    for (const { lane, fence } of held) {
      const mine = this.#held.get(lane);
      // Settled meanwhile, perhaps claimed anew: what was heard is about the lease that was.
      if (!lost.has(lane) || mine?.fence !== fence) continue;
      mine.lost.add(lane);
      this.#held.delete(lane);
    }
  }
}
