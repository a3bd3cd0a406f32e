/**
 * Exact decimals as the wire has them: text such as "-12.50", any number of digits, no exponent. Sums are made with BigInt
 * on a common scale; the result has the larger scale of the two, as SQL's `numeric` does it.
 */
type Scaled = { readonly units: bigint; readonly scale: number };

/** Digits in all and digits after the point that we read: beyond, a text is no decimal but an attack. */
const MAX_LENGTH = 4_000;
/** What `print` gives, and would give again. */
const PRINTED = /^(?:0|-?[1-9]\d*)(?:\.\d+)?$/;
const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?$/;

function parse(text: string): Scaled | null {
  if (text.length > MAX_LENGTH) return null;
  const match = DECIMAL.exec(text);
  if (!match) return null;
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = match;
  if (whole === "" && fraction === "") return null;
  const digits = BigInt(`${whole}${fraction}`);
  const units = sign === "-" ? -digits : digits;
  const scale = fraction.length - Number(exponent);
  return scale >= 0 ? { units, scale } : { units: units * 10n ** BigInt(-scale), scale: 0 };
}

function print({ units, scale }: Scaled): string {
  const sign = units < 0n ? "-" : "";
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, "0");
  return scale === 0 ? `${sign}${digits}` : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

const raised = ({ units, scale }: Scaled, to: number): bigint => units * 10n ** BigInt(to - scale);

function combined(a: string, b: string, of: (a: bigint, b: bigint) => bigint): string | null {
  const left = parse(a);
  const right = parse(b);
  if (!left || !right) return null;
  const scale = Math.max(left.scale, right.scale);
  return print({ units: of(raised(left, scale), raised(right, scale)), scale });
}

/** a + b; null when one of them is no decimal. */
export const addDecimals = (a: string, b: string): string | null => combined(a, b, (x, y) => x + y);
/** a − b; null when one of them is no decimal. */
export const subtractDecimals = (a: string, b: string): string | null => combined(a, b, (x, y) => x - y);

/** Below, equal (0) or above; null when one of them is no decimal. */
export function compareDecimals(a: string, b: string): -1 | 0 | 1 | null {
  const left = parse(a);
  const right = parse(b);
  if (!left || !right) return null;
  const scale = Math.max(left.scale, right.scale);
  const [x, y] = [raised(left, scale), raised(right, scale)];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** The one text for this value: no needless zeros, no exponent, no "-0"; null when it is no decimal. */
export function canonicalDecimal(text: string): string | null {
  const read = parse(text);
  if (!read) return null;
  const printed = print(read);
  return read.scale === 0 ? printed : printed.replace(/\.?0+$/, "");
}

/** The same number written without an exponent, scale kept: "1.50e2" is "150", "5e-3" is "0.005"; null when it is no decimal. */
export function plainDecimal(text: string): string | null {
  if (text.length <= MAX_LENGTH && PRINTED.test(text)) return text;
  const read = parse(text);
  return read && print(read);
}

/** How many digits count before the point (no leading zeros) and after it (no trailing ones). */
export type Digits = { readonly whole: number; readonly fraction: number };
/** So many digits a binary double keeps, whichever they are. */
const EXACT_DIGITS = 15;

/**
 * What most decimals are, told without BigInt: an optional minus and up to 15 digits, with a point among them or without. Null: the
 * text is longer, is written in another way, or is no decimal. `Number` of such a text prints as the same decimal again.
 */
export function shortDigits(text: string): Digits | null {
  const start = text.startsWith("-") ? 1 : 0;
  if (text.length > EXACT_DIGITS + 2) return null;
  let [digits, whole, fraction, point] = [0, 0, 0, -1];
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === POINT && point < 0) {
      point = at;
      continue;
    }
    if (code < ZERO || code > NINE) return null;
    digits++;
    if (point >= 0) fraction = code === ZERO ? fraction : at - point;
    else if (whole > 0 || code !== ZERO) whole++;
  }
  return digits > 0 && digits <= EXACT_DIGITS ? { whole, fraction } : null;
}
const [POINT, ZERO, NINE] = [0x2e, 0x30, 0x39];
