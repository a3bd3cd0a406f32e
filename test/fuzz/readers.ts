import fc from "fast-check";
import { instant } from "../../src/base/clock.ts";
import { WaybillError, type FaultCode } from "../../src/base/errors.ts";
import { terminalId } from "../../src/base/ids.ts";
import { checkHubConfig } from "../../src/hub/load-config.ts";
import { readMessageLine } from "../../src/wire/message-line.ts";
import { readSubmission } from "../../src/wire/submission.ts";
import { readUpdates } from "../../src/wire/updates.ts";
import { readXml, XmlRefused } from "../../src/wire/soap/xml.ts";
import { envelope11, submit } from "../../src/hub/soap/soap.test-kit.ts";
import { readTerminalConfig } from "../../src/terminal/config.ts";
import { saleLine, TestLane } from "../kit/api.ts";
import { ODD } from "./odd.ts";

/** Something that reads what others wrote: whatever it is given, it takes it or says by one of its codes why not. */
type Reader = {
  readonly name: string;
  readonly good: readonly string[];
  readonly read: (text: string) => unknown;
  readonly codes: readonly FaultCode[];
  /** How it says no where that is not by a code. */
  readonly refusal?: typeof XmlRefused;
};

const HUB = {
  ledger: "sqlite:./l.db",
  central: "sqlite:./c.db",
  tables: { sale: { direction: "up", search: ["id"] }, price: { direction: "down", audience: "store:{store}" } },
  retry: { attempts: 3 },
  soap: { enabled: true },
};
const TILL = {
  hub: "http://hub:1",
  terminal: "t1",
  database: "sqlite:./t.db",
  tags: { store: "1" },
  tables: ["sale"],
  retry: { firstMs: 5 },
};
const lane = new TestLane("E1", 5);
const submissionOf = {
  terminal: terminalId("t1"),
  maxLines: 50,
  search: new Map([["sale", ["receipt"]]]),
  receivedAt: instant(0),
};

export const READERS: readonly Reader[] = [
  {
    name: "a submission",
    good: [Buffer.from(lane.body(1, 5)).toString("latin1"), Buffer.from(lane.body(3, 4)).toString("latin1")],
    read: (text) => readSubmission(Buffer.from(text, "latin1"), submissionOf),
    codes: ["LINE_INVALID", "TOO_LARGE", "CHAIN_BROKEN"],
  },
  { name: "a message line", good: [saleLine(7)], read: (text) => readMessageLine(text, 1), codes: ["LINE_INVALID"] },
  {
    name: "an answer with updates",
    good: [
      '{"after":"0","through":"9"}\n{"id":"3","tx":"a","at":"2026-01-01T00:00:00Z","changes":[{"table":"p","op":"upsert","key":{"a":1},"row":{"a":1}}]}\n',
    ],
    read: (text) => readUpdates(Buffer.from(text, "latin1")),
    codes: ["HUB_UNREACHABLE", "LINE_INVALID", "PAYLOAD_UNREADABLE"],
  },
  {
    name: "an envelope",
    good: [envelope11(submit("t1", [{ sequence: 1 }]))],
    read: (text) => readXml(text),
    codes: [],
    refusal: XmlRefused,
  },
  {
    name: "a hub's config",
    good: [JSON.stringify(HUB)],
    read: (text) => checkHubConfig(jsonOf(text), "/", {}),
    codes: ["CONFIG_INVALID"],
  },
  {
    name: "a terminal's config",
    good: [JSON.stringify(TILL)],
    read: (text) => readTerminalConfig(jsonOf(text)),
    codes: ["CONFIG_INVALID"],
  },
];

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Cuts out a piece, puts one in, doubles one, or makes a value an odd one. */
const edit: fc.Arbitrary<(text: string) => string> = fc.oneof(
  fc
    .tuple(fc.nat(), fc.nat(12), fc.string({ maxLength: 5, unit: "binary" }))
    .map(([at, cut, put]) => (text: string) => {
      const from = at % (text.length + 1);
      return text.slice(0, from) + Buffer.from(put).toString("latin1") + text.slice(from + cut);
    }),
  fc.tuple(fc.nat(), fc.nat(60)).map(([at, length]) => (text: string) => {
    const from = at % (text.length + 1);
    return text.slice(0, from + length) + text.slice(from);
  }),
  fc.tuple(fc.nat(), fc.constantFrom(...ODD)).map(([which, odd]) => (text: string) => {
    const values = [...text.matchAll(/(?<=:)("[^"]*"|-?\d+|true|false|null)|(?<=>)[^<]+(?=<)/g)];
    const match = values[which % Math.max(1, values.length)];
    return match ? text.slice(0, match.index) + odd + text.slice(match.index + match[0].length) : text;
  }),
);

/** @throws Error with the shortest text that shows it, when a reader fails otherwise than it says */
export function fuzzReaders({ count, seed }: { readonly count: number; readonly seed: number }): void {
  for (const { name, good, read, codes, refusal } of READERS) {
    const texts = fc
      .tuple(fc.constantFrom(...good), fc.array(edit, { maxLength: 4 }))
      .map(([text, edits]) => edits.reduce((given, change) => change(given), text));
    fc.assert(
      fc.property(texts, (text) => {
        try {
          read(text);
        } catch (thrown) {
          if (refusal && thrown instanceof refusal) return;
          if (!(thrown instanceof WaybillError) || !codes.includes(thrown.code))
            throw new Error(`${name} failed with ${String(thrown)}`, { cause: thrown });
        }
      }),
      { numRuns: Math.ceil(count / READERS.length), seed },
    );
  }
}
