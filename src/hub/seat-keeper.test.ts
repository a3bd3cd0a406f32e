import { describe, expect, test } from "vitest";
import { until } from "../../test/kit/until.ts";
import { workerId } from "../base/ids.ts";
import { systemRuntime } from "../base/runtime.ts";
import type { Seat, Seats } from "../ledger/seats.ts";
import { createLog } from "../observe/log.ts";
import { SeatKeeper } from "./seat-keeper.ts";

/** One seat, as a ledger keeps it, without a clock: it changes hands when `holder` is set. */
class OneSeat implements Seats {
  holder: string | null = null;
  fence = 0;
  answers = true;
  async take(name: string, worker: string): Promise<Seat | null> {
    if (!this.answers) throw new Error("no answer");
    if (this.holder !== null && this.holder !== worker) return null;
    if (this.holder === null) this.fence++;
    this.holder = worker;
    return { name, fence: this.fence };
  }
  async leave({ fence }: Seat): Promise<void> {
    if (fence === this.fence) this.holder = null;
  }
}

describe("the keeper of a seat", () => {
  const made = (seats: OneSeat) => {
    const log = createLog({ level: "error", form: "json" });
    const keeper = new SeatKeeper({
      seats,
      name: "s",
      worker: workerId("me"),
      leaseMs: 30,
      runtime: systemRuntime,
      log,
    });
    const stop = new AbortController();
    let working = 0;
    const running = keeper.run(stop.signal, async (signal) => {
      working++;
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      working--;
    });
    return { keeper, stop, running, working: () => working };
  };

  test("works while it has the seat, stands by while another has it, and leaves it at the end", async () => {
    const seats = new OneSeat();
    seats.holder = "another";
    const { keeper, stop, running, working } = made(seats);
    expect(working()).toBe(0);
    seats.holder = null;
    await until(() => working() === 1 && keeper.seat?.fence === 1);
    seats.holder = "another"; // as after a pause longer than the lease
    await until(() => working() === 0 && keeper.seat === null);
    seats.holder = null;
    await until(() => keeper.seat?.fence === 2);
    stop.abort();
    await running;
    expect(seats.holder).toBeNull();
  });

  test("gives up when the ledger has not answered for as long as the seat lasts", async () => {
    const seats = new OneSeat();
    const { stop, running, working } = made(seats);
    await until(() => working() === 1);
    seats.answers = false;
    await until(() => working() === 0);
    seats.answers = true;
    await until(() => working() === 1);
    stop.abort();
    await running;
  });
});
