import { FAULTS, type FaultCode } from "../src/base/errors.ts";

/** A piece of a sentence that the hub wrote: words, a time, a command, or the code of a fault. */
export type Piece = { readonly kind: "words" | "time" | "code" | "fault"; readonly text: string };

const PIECES = /(?<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)|`(?<code>[^`]+)`|(?<fault>\b[A-Z]+(?:_[A-Z]+)+\b)/g;

/** The hub's sentences are made for logs and mails, too: here they are taken apart so that a screen can say them its own way. */
export function piecesOf(sentence: string): readonly Piece[] {
  const pieces: Piece[] = [];
  let end = 0;
  const words = (until: number): void => {
    if (until > end) pieces.push({ kind: "words", text: sentence.slice(end, until) });
  };
  for (const { 0: whole, index, groups = {} } of sentence.matchAll(PIECES)) {
    const { time, code, fault } = groups;
    if (fault !== undefined && !Object.hasOwn(FAULTS, fault)) continue; // a name of the shop's own, such as a constraint's
    words(index);
    if (time !== undefined) pieces.push({ kind: "time", text: time });
    else if (code !== undefined) pieces.push({ kind: "code", text: code });
    else pieces.push({ kind: "fault", text: fault ?? "" });
    end = index + whole.length;
  }
  words(sentence.length);
  return pieces;
}

/** `CHECK_VIOLATED` as people say it. */
export const titleOf = (fault: FaultCode | null): string =>
  fault === null ? "Waits behind another" : fault.charAt(0) + fault.slice(1).toLowerCase().replaceAll("_", " ");
