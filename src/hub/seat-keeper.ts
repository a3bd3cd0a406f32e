import { asWaybillError } from "../base/errors.ts";
import type { WorkerId } from "../base/ids.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Seat, Seats } from "../ledger/seats.ts";
import type { Log } from "../observe/log.ts";

export type SeatKeeperParts = {
  readonly seats: Seats;
  readonly name: string;
  readonly worker: WorkerId;
  /** How long the seat stays this process's when it says nothing, in milliseconds. */
  readonly leaseMs: number;
  readonly runtime: Pick<Runtime, "clock" | "timers">;
  readonly log: Log;
};

/**
 * Does a task while this process has its seat, and waits for the seat while another has it. A process that was paused hears
 * at its first beat that the seat is lost, and until then the seat's fence keeps what it writes out of the ledger.
 */
export class SeatKeeper {
  readonly #parts: SeatKeeperParts;
  #seat: Seat | null = null;

  constructor(parts: SeatKeeperParts) {
    this.#parts = parts;
  }

  /** What this process has; null while it stands by. */
  get seat(): Seat | null {
    return this.#seat;
  }

  /** Until `stop` is raised; `task` is given a signal that is raised with it or when the seat is lost. Never rejects unless `task` does. */
  async run(stop: AbortSignal, task: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { log, name, seats, leaseMs, runtime } = this.#parts;
    const beatMs = leaseMs / 3;
    while (!stop.aborted) {
      const seat = await this.#take();
      if (seat === null) {
        await runtime.timers.sleep(beatMs, stop);
        continue;
      }
      this.#seat = seat;
      log.info({ seat: name, fence: seat.fence }, "seat.taken");
      const lost = new AbortController();
      using _ = this.#keeping(seat, beatMs, lost);
      await task(AbortSignal.any([stop, lost.signal]));
      this.#seat = null;
      if (lost.signal.aborted) log.warn({ seat: name, fence: seat.fence }, "seat.lost");
      else await seats.leave(seat).catch((thrown: unknown) => this.#complain(thrown)); // then it runs out by itself
    }
  }

  /** Prolongs the seat on a beat; raises `lost` when it is another's, or nothing was heard for as long as it lasts. */
  #keeping(seat: Seat, beatMs: number, lost: AbortController): Disposable {
    const { seats, name, worker, leaseMs, runtime } = this.#parts;
    let heardAt = runtime.clock.elapsed();
    return runtime.timers.every(
      beatMs,
      async () => {
        const askedAt = runtime.clock.elapsed();
        const mine = await seats.take(name, worker, leaseMs);
        if (mine?.fence === seat.fence) heardAt = askedAt;
        else lost.abort();
      },
      (thrown) => {
        this.#complain(thrown);
        if (runtime.clock.elapsed() - heardAt > leaseMs) lost.abort();
      },
    );
  }

  /** Null when another has it, or the ledger does not answer. */
  async #take(): Promise<Seat | null> {
    const { seats, name, worker, leaseMs } = this.#parts;
    try {
      return await seats.take(name, worker, leaseMs);
    } catch (thrown) {
      this.#complain(thrown);
      return null;
    }
  }

  #complain(thrown: unknown): void {
    this.#parts.log.warn({ seat: this.#parts.name, error: asWaybillError(thrown) }, "seat.failed");
  }
}
