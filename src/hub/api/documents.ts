import { isoOf } from "../../base/clock.ts";
import { asWaybillError, WaybillError } from "../../base/errors.ts";
import { epoch, seq, type TerminalId } from "../../base/ids.ts";
import { imprintOf, type Imprint } from "../../ledger/imprints.ts";
import type { Submission } from "../../ledger/port.ts";
import { CHAIN_START, chainHex } from "../../message/chain.ts";
import {
  documentAnswers,
  documentContent,
  documentLine,
  readDocuments,
  type Document,
  type DocumentAnswer,
} from "../../wire/documents.ts";
import { readSubmission, submissionBody } from "../../wire/submission.ts";
import { Turn } from "../../base/turn.ts";
import { newContext, traceparentOf } from "../../observe/trace-context.ts";
import { tellStored } from "../spans.ts";
import type { RequestSpan } from "./request-span.ts";
import type { Gate } from "./gate.ts";
import { ndjson } from "./http.ts";
import type { Intake } from "./intake.ts";
import type { HubApiParts } from "./parts.ts";
import { bytesRoute, type Route } from "./route.ts";

/** The epoch of a terminal that cannot number: the hub numbers for it, in a lane like any other. */
export const DOCUMENT_EPOCH = epoch("documents");
/** How often another hub process may be faster with the same lane before we give up. */
const TRIES = 5;

type Parts = Pick<HubApiParts, "ledger" | "runtime" | "settings" | "tracing">;

/**
 * The hub numbers and remembers ids: as imprints, stored in the transaction of the messages that the documents become. A number
 * is taken by compare-and-set on the lane's watermark and chain, so that two hub processes never give one twice. Within one
 * process the requests of a terminal take turns.
 */
export class DocumentDesk {
  readonly #parts: Parts;
  readonly #intake: Intake;
  readonly #turns = new Map<TerminalId, { readonly turn: Turn; users: number }>();

  constructor(parts: Parts, intake: Intake) {
    this.#parts = parts;
    this.#intake = intake;
  }

  /** @throws ID_REUSED with `id` and `line`, nothing is stored then; EPOCH_CLOSED when this terminal numbers by itself */
  async take(
    terminal: TerminalId,
    documents: readonly Document[],
    span: RequestSpan,
  ): Promise<readonly DocumentAnswer[]> {
    const place = this.#turns.get(terminal) ?? { turn: new Turn(), users: 0 };
    this.#turns.set(terminal, place);
    place.users++;
    try {
      return await place.turn.run(() => this.#number(terminal, documents, span));
    } finally {
      if (--place.users === 0) this.#turns.delete(terminal);
    }
  }

  async #number(
    terminal: TerminalId,
    documents: readonly Document[],
    span: RequestSpan,
  ): Promise<readonly DocumentAnswer[]> {
    for (let tries = 1; ; tries++) {
      const { answers, submission } = await this.#plan(terminal, documents, span);
      if (submission === null) return answers;
      try {
        await this.#intake.submit(submission);
        tellStored(this.#parts, span, submission);
        return answers;
      } catch (thrown) {
        const { code } = asWaybillError(thrown);
        // Another process numbered meanwhile: look again from where the lane is now.
        if ((code !== "CHAIN_BROKEN" && code !== "SEQUENCE_GAP") || tries === TRIES) throw thrown;
      }
    }
  }

  /** Gives every document its number: the one it has, or the next ones of the lane. */
  async #plan(
    terminal: TerminalId,
    documents: readonly Document[],
    span: RequestSpan,
  ): Promise<{ answers: readonly DocumentAnswer[]; submission: Submission | null }> {
    const { ledger, runtime, settings } = this.#parts;
    const lane = (await ledger.lanes.of(terminal)).find((each) => each.epoch === DOCUMENT_EPOCH);
    const after = lane?.receivedThrough ?? seq(0);
    const imprints = documents.map(imprintOfDocument);
    const known = await this.#known(terminal, imprints);
    const fresh: { readonly document: Document; readonly imprint: Imprint }[] = [];
    const lines: string[] = [];
    const answers = documents.map((document, index): DocumentAnswer => {
      const imprint = imprints[index] ?? imprintOfDocument(document);
      const twin = known.get(imprint.id);
      if (twin && twin.content !== imprint.content) throw reused(document, index);
      if (twin) return { id: document.id, seq: twin.seq, state: "duplicate" };
      const number = after + lines.length + 1;
      const trace = traceparentOf(newContext(runtime.random, span.parent && span.context));
      lines.push(documentLine(number, document, isoOf(document.at ?? runtime.clock.now()), trace));
      fresh.push({ document, imprint });
      known.set(imprint.id, { content: imprint.content, seq: number });
      return { id: document.id, seq: number, state: "accepted" };
    });
    if (lines.length === 0) return { answers, submission: null };
    const header = { epoch: DOCUMENT_EPOCH, after, chain: chainHex(lane?.chain ?? CHAIN_START) };
    const body = submissionBody(
      header,
      lines.map((line) => Buffer.from(line)),
    );
    const read = readSubmission(body, {
      terminal,
      maxLines: lines.length,
      search: settings.search,
      receivedAt: runtime.clock.now(),
    });
    const imprinted = read.lines.map((line, index) => {
      const from = fresh[index];
      if (!from) return line;
      const { document, imprint } = from;
      return { ...line, search: [...line.search, document.id, ...(document.search ?? [])], imprint };
    });
    return { answers, submission: { ...read, lines: imprinted } };
  }

  /** Those of these ids that have come before, whatever became of them. */
  async #known(
    terminal: TerminalId,
    imprints: readonly Imprint[],
  ): Promise<Map<string, { readonly content: string; readonly seq: number }>> {
    const ids = [...new Set(imprints.map(({ id }) => id))];
    const found = await this.#parts.ledger.lanes.imprinted(terminal, ids);
    return new Map(found.filter(({ epoch: of }) => of === DOCUMENT_EPOCH).map((each) => [each.id, each]));
  }
}

const imprintOfDocument = (document: Document): Imprint => ({
  id: imprintOf(document.id),
  content: imprintOf(documentContent(document)),
});

const reused = ({ id }: Document, index: number): WaybillError =>
  new WaybillError("ID_REUSED", `document ${JSON.stringify(id)} is known with another body`, {
    facts: { id, line: index + 1 },
  });

export function documentRoutes(parts: HubApiParts, intake: Intake, gate: Gate): readonly Route[] {
  const desk = new DocumentDesk(parts, intake);
  return [
    bytesRoute(
      "terminal",
      {
        method: "POST",
        path: "/v1/documents",
        summary:
          "Store documents of a sender that cannot number: NDJSON, one a line; the hub numbers them and remembers their ids",
        answer: { status: 200, ndjson: true },
        faults: [
          "LINE_INVALID",
          "TOO_LARGE",
          "ID_REUSED",
          "EPOCH_CLOSED",
          "CHAIN_BROKEN",
          "SEQUENCE_GAP",
          "OVERLOADED",
          "UNAVAILABLE",
          "MEDIA_TYPE",
        ],
      },
      async ({ caller: { terminal }, body, span }) => {
        gate.mayStore();
        const documents = readDocuments(body, parts.settings.limits.lines);
        return ndjson(documentAnswers(await desk.take(terminal.id, documents, span)));
      },
    ),
  ];
}
