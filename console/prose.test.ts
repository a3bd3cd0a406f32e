import { expect, test } from "vitest";
import { who } from "./format.ts";
import { piecesOf } from "./prose.ts";

test("a sentence of the hub's is taken apart into words, times, commands and faults, and nothing of it is lost", () => {
  const sentence =
    "3 dead letters with CHECK_VIOLATED in QTY_OK, since 2026-11-26T16:29:06.743Z; `waybill dead list` shows them.";
  expect(piecesOf(sentence)).toEqual([
    { kind: "words", text: "3 dead letters with " },
    { kind: "fault", text: "CHECK_VIOLATED" },
    { kind: "words", text: " in QTY_OK, since " },
    { kind: "time", text: "2026-11-26T16:29:06.743Z" },
    { kind: "words", text: "; " },
    { kind: "code", text: "waybill dead list" },
    { kind: "words", text: " shows them." },
  ]);
  expect(piecesOf("")).toEqual([]);
  expect(piecesOf("an odd ` mark")).toEqual([{ kind: "words", text: "an odd ` mark" }]);
});

test("people are called by their names, and workers are the hub", () => {
  expect(["operator:anna", "oidc:a:b", "worker:01M8", "system", "terminal:t1", "local"].map(who)).toEqual([
    "anna",
    "a:b",
    "the hub",
    "the hub",
    "t1",
    "local",
  ]);
});
