import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { z } from "zod";
import { instant } from "../base/clock.ts";
import { terminalId } from "../base/ids.ts";
import { chainHex } from "../message/chain.ts";
import * as calls from "./calls.ts";
import { readDocuments } from "./documents.ts";
import { manifest } from "./manifest.ts";
import { problem } from "./problem.ts";
import { answerCall, askedAnswer } from "./questions.ts";
import { readSubmission } from "./submission.ts";
import { readUpdates } from "./updates.ts";

const SCHEMAS: Readonly<Record<string, z.ZodType>> = { ...calls, manifest, problem, askedAnswer, answerCall };
const page = readFileSync(new URL("../../docs/wire.md", import.meta.url), "utf8");
/** Fenced blocks with what they are an example of. */
const examples = [...page.matchAll(/^```(\w+) ?(\w*)\n([\s\S]*?)^```$/gm)].map(
  ([, kind = "", name = "", text = ""]) => ({ kind, name, text }),
);
const reader = { terminal: terminalId("t1"), maxLines: 5_000, search: new Map(), receivedAt: instant(0) };

test("the page has examples of every call", () => {
  const named = new Set(examples.map(({ name }) => name));
  for (const name of [
    "problem",
    "enrolCall",
    "manifest",
    "submission",
    "acknowledgement",
    "epochCall",
    "updates",
    "appliedCall",
    "statusAnswer",
    "publishCall",
    "askedAnswer",
    "answerCall",
  ]) {
    expect(named).toContain(name);
  }
});

test.each(examples.filter(({ kind }) => kind === "json"))(
  "$name: the example has the shape that both ends check, and no member they ignore",
  ({ name, text }) => {
    const given: unknown = JSON.parse(text);
    expect(SCHEMAS[name]?.parse(given)).toEqual(given);
  },
);

test.each(examples.filter(({ name }) => name === "submission"))("the submission can be read: $text", ({ text }) => {
  expect(readSubmission(Buffer.from(text), reader).lines.length).toBeGreaterThan(0);
});

test("the chain told is the chain of the first example", () => {
  const first = examples.find(({ name }) => name === "submission");
  const { chains } = readSubmission(Buffer.from(first?.text ?? ""), reader);
  expect(chainHex(chains.slice(-32))).toBe(examples.find(({ kind }) => kind === "chain")?.text.trim());
});

test("the documents can be read", () => {
  const read = readDocuments(Buffer.from(examples.find(({ name }) => name === "documents")?.text ?? ""), 100);
  expect(read.map(({ type, body }) => [type, typeof body])).toEqual([
    ["sale", "object"],
    ["sale", "string"],
  ]);
});

test("the updates can be read", () => {
  const read = readUpdates(Buffer.from(examples.find(({ name }) => name === "updates")?.text ?? ""));
  expect(read.updates.map(({ id }) => id)).toEqual([18, 40]);
});
