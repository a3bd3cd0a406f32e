import { strict as assert } from "node:assert";
import fc from "fast-check";
import { describe, test } from "vitest";
import { seq } from "../../base/ids.ts";
import type { Ledger } from "../port.ts";
import type { OpenSubject } from "./subject.ts";
import { sendAny, Till } from "./till.ts";

/** Lines that a terminal has, and the stretches of them that it sends: some again, some too far on, some with other content. */
const story = fc.record({
  messages: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 12 }), // 0: one line; else so many parts
  requests: fc.array(
    fc.record({
      from: fc.nat(40),
      count: fc.nat(12),
      changed: fc.option(fc.nat(40), { nil: null, freq: 4 }),
      resumes: fc.boolean(),
    }),
    { minLength: 1, maxLength: 25 },
  ),
});

/** Whatever is sent in whatever order, what is stored is one gap-free beginning of what the terminal has. */
export function requestsContract(adapter: string, open: OpenSubject): void {
  describe(`requests of every kind: ${adapter}`, () => {
    test("I1: stored is what was sent, once and in order; all else is refused by the right name", async () => {
      await using subject = await open();
      let tills = 0;
      await fc.assert(
        fc.asyncProperty(story, (given) => tell(subject.ledger, new Till(`t${++tills}`), given)),
        { numRuns: 60 },
      );
    });
  });
}

type Story = typeof story extends fc.Arbitrary<infer T> ? T : never;

async function tell(ledger: Ledger, till: Till, { messages, requests }: Story): Promise<void> {
  for (const parts of messages) {
    if (parts === 0) till.write(1);
    else till.writeParts(parts);
  }
  const all = till.lines.length;
  let stored = 0; // lines
  for (const { from, count, changed, resumes } of requests) {
    const begin = resumes ? stored : from % (all + 1);
    const end = Math.min(all, begin + count);
    const sender = changed === null ? till : changedAt(till, changed % all);
    const answer = await sendAny(ledger, sender.request(behindLine(till, begin), behindLine(till, end)));
    const known = Math.min(stored, end);
    const broken = changed !== null && changed % all < known ? changed % all : null;
    if (begin > stored) {
      assert.deepEqual(refusalOf(answer), ["SEQUENCE_GAP", behindLine(till, stored).seq + 1]);
    } else if (broken !== null) {
      const { seq: after, part } = behindLine(till, begin);
      const named = broken < begin ? after + (part > 0 ? 1 : 0) : till.lines[broken]?.seq;
      assert.deepEqual(refusalOf(answer), ["CHAIN_BROKEN", named]);
    } else if (changed !== null && changed % all < end) {
      return; // the changed line was new: from here on this terminal has another story
    } else {
      stored = Math.max(stored, end);
      const { seq: receivedThrough, part } = behindLine(till, stored);
      assert(!("refused" in answer), JSON.stringify(answer));
      assert.equal(answer.receivedThrough, receivedThrough);
      assert.deepEqual(answer.partial, part > 0 ? { seq: receivedThrough + 1, part } : null);
      assert.equal(answer.duplicates, till.lines.slice(begin, known).filter(({ more }) => !more).length);
    }
    const pieces = await ledger.bytes.read(till.lane, seq(1), seq(till.last + 1), 0, 1_000_000);
    const text = pieces.map((piece) => new TextDecoder().decode(piece.bytes)).join("");
    assert.equal(
      text,
      till.lines
        .slice(0, stored)
        .map((line) => `${line.text}\n`)
        .join(""),
    );
  }
}

/** The place behind so many lines. */
function behindLine({ lines }: Till, count: number): { seq: number; part: number } {
  const line = lines[count - 1];
  if (!line) return { seq: 0, part: 0 };
  return line.more ? { seq: line.seq - 1, part: line.part } : { seq: line.seq, part: 0 };
}

function changedAt(till: Till, at: number): Till {
  const other = new Till(till.terminal);
  other.lines.push(...till.lines.map((line, i) => (i === at ? { ...line, text: `${line.text} ` } : line)));
  return other;
}

const refusalOf = (answer: Awaited<ReturnType<typeof sendAny>>): unknown =>
  "refused" in answer ? [answer.refused, answer.facts["expected"] ?? answer.facts["seq"]] : answer;
