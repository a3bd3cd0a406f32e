import { useSyncExternalStore } from "react";

/** Where the page is: `#/terminals/till-001?health=away` is `parts` ["terminals", "till-001"] and `query`. */
export type Place = { readonly parts: readonly string[]; readonly query: URLSearchParams };

const subscribe = (changed: () => void): (() => void) => {
  addEventListener("hashchange", changed);
  return () => removeEventListener("hashchange", changed);
};

export function usePlace(): Place {
  return placeOf(useSyncExternalStore(subscribe, () => location.hash));
}
export function placeOf(hash: string): Place {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?");
  return { parts: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(search) };
}
/** A link to a place of the console. */
export const to = (...parts: readonly string[]): string => `#/${parts.map(encodeURIComponent).join("/")}`;

/** A part typed by hand may be no valid escape; then it stands for itself. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
/** Goes there, leaving a way back. */
export function go(href: string): void {
  location.hash = href;
}
