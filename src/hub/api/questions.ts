import type { TerminalId } from "../../base/ids.ts";
import type { Ledger } from "../../ledger/port.ts";
import { answerCall, askedAnswer, heardAnswer, question } from "../../wire/questions.ts";
import { json } from "./http.ts";
import { jsonRoute, route, type Route } from "./route.ts";

/**
 * Questions that wait for terminals, as this process knows them: one small query answers for all who wait at the log. Whoever
 * asks rings the terminal's audience; a question asked elsewhere is found at the next look.
 */
export class Questions {
  readonly #ledger: Pick<Ledger, "reconciles">;
  #waiting: ReadonlyMap<TerminalId, string> = new Map();
  #looking: Promise<void> | null = null;

  constructor(ledger: Pick<Ledger, "reconciles">) {
    this.#ledger = ledger;
  }

  waitingFor(terminal: TerminalId): string | undefined {
    return this.#waiting.get(terminal);
  }

  /** @returns terminals with a question that was not known here */
  async look(): Promise<readonly TerminalId[]> {
    const before = this.#waiting;
    await (this.#looking ??= this.#read().finally(() => (this.#looking = null)));
    return [...this.#waiting].flatMap(([terminal, id]) => (before.get(terminal) === id ? [] : [terminal]));
  }

  async #read(): Promise<void> {
    const asked = await this.#ledger.reconciles.asked();
    this.#waiting = new Map(asked.map(({ terminal, id }) => [terminal, id]));
  }

  routes(): readonly Route[] {
    const { reconciles } = this.#ledger;
    return [
      route(
        "terminal",
        {
          method: "GET",
          path: "/v1/question",
          summary: "What the hub wants to know of this terminal's tables, as the header of GET /v1/updates tells",
          answer: { status: 200, schema: askedAnswer },
          faults: [],
        },
        async ({ caller: { terminal } }) => {
          const asked = await reconciles.question(terminal.id);
          if (asked === null) return json(200, { id: null, question: null });
          return json(200, { id: asked.id, question: question.parse(JSON.parse(asked.question)) });
        },
      ),
      jsonRoute(
        "terminal",
        {
          method: "POST",
          path: "/v1/questions/{id}",
          summary: "The answer to a question, or why there is none",
          answer: { status: 200, schema: heardAnswer },
          faults: [],
        },
        answerCall,
        async ({ caller: { terminal }, params, text }) =>
          json(200, { heard: await reconciles.answer(terminal.id, params["id"] ?? "", text) }),
      ),
    ];
  }
}
