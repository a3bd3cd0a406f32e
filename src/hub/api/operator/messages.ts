import { z } from "zod";
import { WaybillError } from "../../../base/errors.ts";
import { epoch, isTerminalId, laneName, seq, terminalId, type LaneName, type Seq } from "../../../base/ids.ts";
import type { ArrivedPiece, StateSpan } from "../../../ledger/arrivals.ts";
import { STATE_KINDS, type StateKind } from "../../../message/lifecycle.ts";
import { Lines } from "../../../wire/ndjson.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { queryOf, route, type Route } from "../route.ts";
import { count, time } from "./query.ts";

/** Bytes of one look into the ledger, and of all looks for one answer: a filter that few messages meet is answered in several pages. */
const LOOK_BYTES = 256 * 1024;
const MOST_BYTES = 4 * 1024 * 1024;

const listQuery = z.object({
  terminal: z
    .string()
    .refine(isTerminalId, "must be a terminal's name")
    .describe("whose messages; required, since messages are kept by terminal"),
  table: z.string().min(1).max(200).optional().describe("with a change of this table, by its name at the terminal"),
  state: z.enum(STATE_KINDS as [StateKind, ...StateKind[]]).optional(),
  since: time.optional().describe("that came at or after this time"),
  until: time.optional().describe("that came before this time"),
  limit: count(50, 500),
  before: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\/\d{1,15}$/)
    .optional()
    .describe("`next` of the page before"),
});

/** A message of a list; what it carries is told by `GET /api/trace`. */
export type ListedMessage = {
  readonly lane: LaneName;
  readonly seq: Seq;
  readonly state: StateKind;
  /** In the order of its changes, each once; of a message in parts, of its first part. */
  readonly tables: readonly string[];
  readonly changes: number;
  readonly receivedAt: number;
};
export type MessageList = {
  readonly messages: readonly ListedMessage[];
  readonly next: string | null;
  /** How far back was looked: when the oldest message came that was looked at. Null: none was. */
  readonly lookedBackTo: number | null;
};

/** Messages as they came, newest first, whatever became of them. */
export function messageRoutes({ ledger }: HubApiParts): readonly Route[] {
  return [
    route(
      "viewer",
      {
        method: "GET",
        path: "/api/messages",
        summary: "A terminal's messages, newest first, by table, state and time; as far back as copies are kept",
        query: listQuery,
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      async ({ request }) => {
        const { terminal: name, table, state, since = null, until = null, limit, before } = queryOf(listQuery, request);
        const terminal = terminalId(name);
        const lanes = (await ledger.lanes.of(terminal)).map(({ lane }) => lane).toReversed(); // the newest epoch first
        if (lanes.length === 0 && !(await ledger.terminals.get(terminal)))
          throw new WaybillError("NOT_FOUND", `there is no terminal ${terminal}`);
        const [fromEpoch, fromSeq] = before?.split("/") ?? [];
        const first = fromEpoch === undefined ? 0 : lanes.indexOf(laneName(terminal, epoch(fromEpoch)));
        let place: Seq | null = fromSeq === undefined ? null : seq(Number(fromSeq));
        const messages: ListedMessage[] = [];
        let lookedBackTo: number | null = null;
        let bytes = 0;
        for (const lane of first < 0 ? [] : lanes.slice(first)) {
          for (;;) {
            const page = await ledger.trail.arrivals(lane, place, { since, until }, LOOK_BYTES);
            for (const piece of page.pieces) {
              bytes += piece.bytes.byteLength;
              lookedBackTo = piece.receivedAt;
              for (const message of messagesIn(lane, piece, page.states, place)) {
                if (state !== undefined && message.state !== state) continue;
                if (table !== undefined && !message.tables.includes(table)) continue;
                messages.push(message);
                if (messages.length === limit) return answer(message.lane, message.seq);
              }
            }
            place = page.next;
            if (place === null) break;
            if (bytes >= MOST_BYTES) return answer(lane, place);
          }
        }
        return json(200, { messages, next: null, lookedBackTo } satisfies MessageList);

        function answer(lane: LaneName, number: Seq) {
          const next = `${lane.slice(lane.indexOf("/") + 1)}/${number}`;
          return json(200, { messages, next, lookedBackTo } satisfies MessageList);
        }
      },
    ),
  ];
}

/** Newest first, those before `place`. Of a message in parts its first part stands for it. */
function messagesIn(
  lane: LaneName,
  piece: ArrivedPiece,
  states: readonly StateSpan[],
  place: Seq | null,
): readonly ListedMessage[] {
  if (piece.part > 1) return [];
  const lines = new Lines(piece.bytes, Number.MAX_SAFE_INTEGER);
  return Array.from({ length: piece.through - piece.from + 1 }, (_, index) => index)
    .toReversed()
    .map((index) => ({ number: seq(piece.from + index), text: lines.at(index).toString("utf8") }))
    .filter(({ number }) => place === null || number < place)
    .map(({ number, text }) => ({
      ...{ lane, seq: number, receivedAt: piece.receivedAt },
      state: states.find(({ from, through }) => from <= number && number <= through)?.state ?? "received",
      ...tablesIn(text),
    }));
}

function tablesIn(text: string): Pick<ListedMessage, "tables" | "changes"> {
  try {
    const { changes } = JSON.parse(text) as { readonly changes?: readonly { readonly table?: unknown }[] };
    const tables = (changes ?? []).map(({ table }) => String(table));
    return { tables: [...new Set(tables)], changes: tables.length };
  } catch {
    return { tables: [], changes: 0 }; // a line that cannot be read says what it is where it is looked at
  }
}
