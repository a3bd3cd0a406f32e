import { OUTCOMES, type Scalar } from "./terminal-sync.ts";
import { zonedDateTime } from "./local-time.ts";

/** A value that is not of its type. `what` ends a sentence that began with its path. */
export class ValueRefused extends Error {
  override readonly name = "ValueRefused";
  readonly path: string;
  readonly what: string;
  constructor(path: string, what: string) {
    super(`${path} ${what}`);
    this.path = path;
    this.what = what;
  }
}

const LONG_MIN = -(2n ** 63n);
const LONG_MAX = 2n ** 63n - 1n;
/** White space that XML Schema collapses around all but strings. */
const BLANK = /^[\t\n\r ]+|[\t\n\r ]+$/g;

/** The value of each type as its lexical form says; null when it is none. `zone`: for times without one. */
const READ: { readonly [S in Scalar]: (text: string, zone: string | null) => unknown } = {
  string: (text) => text,
  long: readLong,
  int: (text) => {
    const value = readLong(text);
    return value === null || value !== BigInt.asIntN(32, value) ? null : Number(value);
  },
  boolean: (text) => (text === "true" || text === "1" ? true : text === "false" || text === "0" ? false : null),
  dateTime: zonedDateTime,
  base64Binary: (text) => {
    const packed = text.replace(/[\t\n\r ]/g, "");
    return /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(packed) ? packed : null;
  },
  UpdateOutcome: (text) => OUTCOMES.find((outcome) => outcome === text) ?? null,
};

const EXPECTED: Readonly<Record<Scalar, string>> = {
  string: "must be text",
  long: "must be a whole number of 64 bits",
  int: "must be a whole number of 32 bits",
  boolean: "must be true or false",
  dateTime: "must be a dateTime such as 2026-03-04T05:06:07.1234567Z",
  base64Binary: "must be base64",
  UpdateOutcome: `must be one of ${OUTCOMES.join(", ")}`,
};

function readLong(text: string): bigint | null {
  if (!/^[+-]?\d{1,40}$/.test(text)) return null;
  const value = BigInt(text.replace(/^\+/, ""));
  return value < LONG_MIN || value > LONG_MAX ? null : value;
}

/** @throws ValueRefused */
export function readScalar(type: Scalar, text: string, path: string, zone: string | null): unknown {
  const collapsed = type === "string" || type === "UpdateOutcome" ? text : text.replace(BLANK, "");
  const value = READ[type](collapsed, zone);
  if (value === null) throw new ValueRefused(path, EXPECTED[type]);
  return value;
}
