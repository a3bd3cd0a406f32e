/** To the demo, from one of its processes. It may have closed its end just now: then "disconnect" comes next, and ends us in order. */
export function tellParent(message: Readonly<Record<string, number>>): void {
  process.send?.(message, undefined, undefined, () => undefined);
}
