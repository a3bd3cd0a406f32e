import { readFileSync } from "node:fs";

// Imported before everything else by processes under test, in each of their threads (`node --import`): their clock stands as
// many milliseconds beside the machine's as the file says that SKEWED_CLOCK names. It is read anew all the time, so the clock
// can be set while they run, as an administrator or a time server does it; what measures durations goes on as it was.
const file = process.env["SKEWED_CLOCK"];
const Real = globalThis.Date;
let skewMs = 0;

function look(): void {
  try {
    skewMs = Number(readFileSync(String(file), "utf8")) || 0;
  } catch {
    // being written, or not there yet: it stays as it was
  }
}

if (file !== undefined) {
  look();
  setInterval(look, 100).unref();
  globalThis.Date = new Proxy(Real, {
    construct: (target, parts: [] | [string]) =>
      parts.length === 0 ? new target(Real.now() + skewMs) : new target(...parts),
    get: (target, name) => (name === "now" ? () => Real.now() + skewMs : (Reflect.get(target, name) as unknown)),
  });
}
