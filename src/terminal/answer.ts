import { asWaybillError, WaybillError } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Wake } from "../base/wake.ts";
import type { Database } from "../database/port.ts";
import { keyOf, Survey } from "../database/survey.ts";
import { placed } from "../message/digest.ts";
import type { Row } from "../message/change.ts";
import type { Log } from "../observe/log.ts";
import type { Answer, Asking, Question } from "../wire/questions.ts";
import type { HubClient } from "./hub-client.ts";
import { restMs } from "./slice.ts";
import type { Station } from "./station.ts";

/** It is woken when a question comes. */
const IDLE_MS = 3_600_000;
/** Rows of an answer are cut here: whoever asks asks again for the rest. */
const ROWS_BYTES = 2 * 1024 * 1024;
/** Packing stops by itself when an application commits faster than it is packed; the mark is then that of the last look. */
const MOST_PACKS = 100;

export type AnswerParts = {
  readonly station: Station;
  readonly client: HubClient;
  readonly runtime: Runtime;
  readonly log: Log;
  /** Tables that this terminal tells of: those it captures or lets be written. */
  readonly tables: () => ReadonlySet<string>;
  /** Packs what is committed; true: there is more. */
  readonly pack: () => Promise<boolean>;
  /** Rows are in the outbox. */
  readonly captured: () => void;
  /** Updates through this one have taken effect, or brought nothing for us. */
  readonly attested: () => number;
  readonly asked: Wake;
};

type Work = { readonly id: string; readonly question: Question; readonly survey: Survey | null };

/**
 * Answers what the hub wants to know of this database: digests and rows, for comparing both sides, and the order to send given
 * rows again. It reads in short pages with rests between them, and writes only what an operator ordered, through the capture.
 * A stop or crash loses a half-made answer, and the next start makes it anew.
 */
export class Answerer {
  readonly #parts: AnswerParts;
  #told: string | null = null;
  #waits = false;
  #work: Work | null = null;

  constructor(parts: AnswerParts) {
    this.#parts = parts;
  }

  /** The last question this agent knows of: the hub need not tell it again. */
  get told(): string | null {
    return this.#told;
  }

  /** The hub says which question waits. */
  tell(id: string | null): void {
    if (id === null || id === this.#told) return;
    this.#told = id;
    this.#waits = true;
    this.#parts.asked.ring();
  }

  /** @returns milliseconds until the next step */
  async step(): Promise<number> {
    const { client, log } = this.#parts;
    if (this.#waits) await this.#fetch();
    const work = this.#work;
    if (work === null) return IDLE_MS;
    let answer: unknown;
    const began = this.#parts.runtime.clock.elapsed();
    try {
      answer = await this.#answer(work);
      if (answer === null) return restMs(this.#parts.runtime.clock.elapsed() - began);
    } catch (thrown) {
      const error = asWaybillError(thrown);
      if (error.blame === "target") throw thrown; // it passes by itself: the step is tried again
      await client.answer(work.id, { fault: { code: error.code, what: error.what } });
      this.#work = null;
      return 0;
    }
    await client.answer(work.id, { answer });
    log.debug({ question: work.id, ask: work.question.ask }, "terminal.answered");
    this.#work = null;
    return 0;
  }

  async #fetch(): Promise<void> {
    const { id, question } = await this.#parts.client.question();
    this.#waits = false;
    this.#work = null;
    if (id === null || question === null) return;
    this.#told = id;
    const survey =
      question.ask === "survey" ? new Survey(question, { table: question.table, row: (row) => row }) : null;
    this.#work = { id, question, survey };
  }

  /** Null: it is not complete yet. */
  async #answer({ question, survey }: Work): Promise<unknown> {
    const allowed = this.#parts.tables();
    if (question.ask !== "shapes" && !allowed.has(question.table))
      throw new WaybillError("TABLE_UNKNOWN", `table ${question.table} is not one that this terminal tells of`);
    switch (question.ask) {
      case "shapes":
        return this.#shapes(question.tables.filter((table) => allowed.has(table)));
      case "survey":
        return survey === null ? null : this.#survey(question, survey);
      case "page":
        return this.#page(question);
      case "rows":
        return this.#rows(question);
      case "resend": {
        const sent = await this.#parts.station.use((database) =>
          database.capture.resend(question.table, question.keys, null),
        );
        this.#parts.captured();
        return { sent } satisfies Answer<"resend">;
      }
    }
  }

  #shapes(tables: readonly string[]): Promise<Answer<"shapes">> {
    return this.#parts.station.use(async (database) => {
      const shapes = (await database.describe()).tables;
      const known = tables.flatMap((table) => shapes.get(table) ?? []);
      return {
        tables: Object.fromEntries(
          known.map(({ name, key, columns }) => [
            name,
            {
              key: [...key],
              columns: columns
                .filter(({ generated }) => !generated)
                .map(({ name: column, kind, collation }) => ({
                  name: column,
                  kind,
                  ...(collation === undefined ? {} : { collation }),
                })),
            },
          ]),
        ),
      };
    });
  }

  async #survey(question: Asking<"survey">, survey: Survey): Promise<Answer<"survey"> | null> {
    await this.#parts.station.use(async (database) =>
      survey.step(database.read, await keyHere(database, question.table)),
    );
    if (!survey.done) return null;
    const { rows, nodes, found } = survey.result();
    return {
      rows,
      nodes: [...nodes].map(([prefix, node]) => [prefix, node.rows, node.digest]),
      found: found.map(({ place, digest, key }) => [place, digest, key]),
    };
  }

  #page(question: Asking<"page">): Promise<Answer<"page">> {
    return this.#parts.station.use(async ({ read }) => {
      const page = await read.page(question.table, question.after, question.limit);
      const found = page.flatMap((row): Answer<"page">["found"] => {
        const at = placed(question, row);
        return at ? [[at.place, at.digest, keyOf(question, row)]] : [];
      });
      const last = page.at(-1);
      return { found, next: page.length < question.limit || last === undefined ? null : keyOf(question, last) };
    });
  }

  /** The rows first, then the marks: what the rows show is within them. */
  async #rows({ table, keys }: Asking<"rows">): Promise<Answer<"rows">> {
    const { station, attested, pack } = this.#parts;
    const { rows, applied } = await station.use(async ({ read, capture }) => {
      const { cursor } = await capture.state();
      const found: (Row | null)[] = [];
      let bytes = 0;
      for (const key of keys) {
        const row = await read.row(table, key);
        found.push(row);
        bytes += row === null ? 0 : JSON.stringify(row).length;
        if (bytes > ROWS_BYTES) break;
      }
      return { rows: found, applied: Math.max(cursor.id, attested()) };
    });
    for (let packs = 0; packs < MOST_PACKS && (await pack()); packs++);
    const { epoch, packedThrough } = await station.use(({ capture }) => capture.state());
    return { rows, epoch, packedThrough, applied: String(applied) };
  }
}

async function keyHere(database: Database, table: string): Promise<readonly string[]> {
  const shape = (await database.describe()).tables.get(table);
  if (!shape) throw new WaybillError("TABLE_UNKNOWN", `table ${table} is not at this terminal`);
  return shape.key;
}
