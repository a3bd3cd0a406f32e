/** A place within a value, and what stands there now; without the second, nothing does any more. */
export type Change = readonly [at: readonly string[]] | readonly [at: readonly string[], now: unknown];

type Members = Readonly<Record<string, unknown>>;
const isMembers = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What must be told to whoever knows `before` so that they know `after`: both JSON. Lists are told whole. */
export function changesBetween(before: unknown, after: unknown, at: readonly string[] = []): readonly Change[] {
  if (!isMembers(before) || !isMembers(after))
    return before === after || JSON.stringify(before) === JSON.stringify(after) ? [] : [[at, after]];
  const gone = Object.keys(before).filter((name) => !Object.hasOwn(after, name));
  return [
    ...gone.map((name): Change => [[...at, name]]),
    ...Object.entries(after).flatMap(([name, now]) =>
      Object.hasOwn(before, name) ? changesBetween(before[name], now, [...at, name]) : [[[...at, name], now] as const],
    ),
  ];
}

/** The value with the changes in it; what they do not touch is the same object as before. */
export function changed<T>(before: T, changes: readonly Change[]): T {
  return changes.reduce<unknown>((value, [at, ...now]) => set(value, at, now), before) as T;
}

function set(value: unknown, [name, ...rest]: readonly string[], now: readonly unknown[]): unknown {
  if (name === undefined) return now[0];
  const members = isMembers(value) ? value : {};
  if (rest.length === 0 && now.length === 0)
    return Object.fromEntries(Object.entries(members).filter(([each]) => each !== name));
  const within = Object.hasOwn(members, name) ? members[name] : undefined;
  return Object.fromEntries([
    ...Object.entries(members).filter(([each]) => each !== name),
    [name, set(within, rest, now)],
  ]);
}
