const whole = new Intl.NumberFormat("en-GB");
const short = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });
const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayAndTime = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

export const count = (n: number): string => whole.format(n);
export const rate = (n: number): string => (n >= 100 ? whole.format(Math.round(n)) : short.format(n));
/** "1 message", "2 messages" */
export const counted = (n: number, one: string, more = `${one}s`): string => `${count(n)} ${n === 1 ? one : more}`;

export function when(at: number): string {
  const sameDay = new Date(at).toDateString() === new Date().toDateString();
  return (sameDay ? time : dayAndTime).format(at);
}

/** Two units at most, the finer one only where it tells something: "340 ms", "12 s", "4 min 10 s", "3 h 5 min". */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return ms < 10_000 ? `${short.format(ms / 1_000)} s` : `${seconds} s`;
  if (seconds < 3_600) return two(seconds, 60, "min", "s");
  if (seconds < 86_400) return two(Math.round(seconds / 60), 60, "h", "min");
  return two(Math.round(seconds / 3_600), 24, "d", "h");
}
/** Whole seconds: what is told again every second must not flicker. */
export const ago = (at: number, now: number): string =>
  now - at < 1_000 ? "now" : `${duration(Math.floor((now - at) / 1_000) * 1_000)} ago`;

function two(n: number, base: number, large: string, small: string): string {
  const rest = n % base;
  return rest === 0 ? `${Math.floor(n / base)} ${large}` : `${Math.floor(n / base)} ${large} ${rest} ${small}`;
}

/** Who did it, as people say it: `operator:anna` is anna, a worker is the hub. */
export function who(actor: string): string {
  const [kind = "", name = ""] = actor.split(/:(.*)/s, 2);
  if (kind === "worker" || kind === "system" || kind === "publisher") return "the hub";
  return name === "" ? kind : name;
}

/** How many updates a terminal has yet to take. A restore begins a new term of ids, and then nobody can count. */
export function updatesBehind(head: number, applied: number): number | null {
  const term = (id: number): number => Math.floor(id / 1e12);
  return applied === 0 ? null : term(head) === term(applied) ? Math.max(0, head - applied) : null;
}
