import { isFaultCode, WaybillError } from "../../base/errors.ts";
import type { TerminalId } from "../../base/ids.ts";
import { newUlid, type Runtime } from "../../base/runtime.ts";
import type { Reconciles } from "../../ledger/reconciles.ts";
import { answerCall, answers, type Answer, type Asking, type Question } from "../../wire/questions.ts";

/** How often the ledger is looked at for the answer: at first, and at most. */
const FIRST_LOOK_MS = 20;
const SLOWEST_LOOK_MS = 1_000;

export type LineParts = {
  readonly reconciles: Pick<Reconciles, "ask" | "answered" | "withdraw">;
  readonly runtime: Pick<Runtime, "clock" | "timers" | "random">;
  /** Wakes the terminal's long poll, wherever it waits. */
  readonly ring: (terminal: TerminalId) => void;
  /** Called while an answer is waited for; throws when nobody wants it any more. */
  readonly alive: () => Promise<void>;
  readonly patienceMs: number;
  readonly stop: AbortSignal;
};

/** A terminal that can be asked, though only it can call: each question waits in the ledger until the agent has answered. */
export class TerminalLine {
  readonly terminal: TerminalId;
  readonly #parts: LineParts;

  constructor(terminal: TerminalId, parts: LineParts) {
    this.terminal = terminal;
    this.#parts = parts;
  }

  /** @throws what the terminal says; UNAVAILABLE when it does not answer in time, or at a stop */
  async ask<Ask extends Question["ask"]>(question: Asking<Ask>): Promise<Answer<Ask>> {
    const { reconciles, runtime, ring, alive, patienceMs, stop } = this.#parts;
    const { clock, timers, random } = runtime;
    const id = newUlid(clock.now(), random);
    await reconciles.ask(this.terminal, id, JSON.stringify(question));
    ring(this.terminal);
    try {
      const until = clock.elapsed() + patienceMs;
      for (let waitMs = FIRST_LOOK_MS; ; waitMs = Math.min(waitMs * 1.5, SLOWEST_LOOK_MS)) {
        await timers.sleep(waitMs, stop);
        if (stop.aborted) throw new WaybillError("UNAVAILABLE", "the hub stops; another goes on");
        const text = await reconciles.answered(this.terminal, id);
        if (text !== null) return this.#read(question.ask, text);
        await alive();
        if (clock.elapsed() > until)
          throw new WaybillError(
            "UNAVAILABLE",
            `terminal ${this.terminal} did not answer within ${Math.round(patienceMs / 60_000)} min`,
          );
      }
    } finally {
      await reconciles.withdraw(this.terminal, id);
    }
  }

  #read<Ask extends Question["ask"]>(ask: Ask, text: string): Answer<Ask> {
    const { answer, fault } = answerCall.parse(JSON.parse(text));
    if (fault)
      throw new WaybillError(
        isFaultCode(fault.code) ? fault.code : "INTERNAL",
        `terminal ${this.terminal}: ${fault.what}`,
      );
    const read = answers[ask].safeParse(answer);
    if (read.success) return read.data as Answer<Ask>;
    throw new WaybillError("REQUEST_INVALID", `terminal ${this.terminal} answered in another shape`, {
      cause: read.error,
    });
  }
}
