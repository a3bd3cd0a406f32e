import type { ReactNode } from "react";
import { tracePage } from "../src/observe/trace-link.ts";

const SHOWN = 8;

/** The request by which somebody acted, by the first digits of its trace: the hub's log names it too, and the traces, where there are any. */
export function RequestTrace({ of, link }: { readonly of: string | null; readonly link: string | null }): ReactNode {
  if (of === null) return null;
  const digits = <code title={`trace of the request: ${of}`}>{of.slice(0, SHOWN)}</code>;
  return (
    <>
      {" · request "}
      {link === null ? digits : <a href={tracePage(link, of)}>{digits}</a>}
    </>
  );
}
