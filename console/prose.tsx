import type { ReactNode } from "react";
import { when } from "./format.ts";
import { piecesOf, type Piece } from "./prose.ts";

/** A sentence of the hub's in the console's words: times as clocks here show them, commands set apart, faults without their code. */
export const Prose = ({ text }: { readonly text: string }): ReactNode =>
  piecesOf(text).map((piece, index) => <Said key={index} piece={piece} />);

function Said({ piece: { kind, text } }: { readonly piece: Piece }): ReactNode {
  switch (kind) {
    case "time":
      return (
        <time dateTime={text} title={text}>
          {when(Date.parse(text))}
        </time>
      );
    case "code":
      return <code>{text}</code>;
    case "fault":
      return <span title={text}>{text.toLowerCase().replaceAll("_", " ")}</span>;
    case "words":
      return text;
  }
}
