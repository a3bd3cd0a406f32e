import { readFileSync } from "node:fs";
import { find } from "./needs.ts";

/** One line of an invoice. Decimals and times stay text, as in the file: quantities such as "-6", prices such as "2.55". */
export type RetailLine = {
  readonly invoice: string;
  /** 1, 2, 3 … within the invoice: stock codes repeat, so they cannot be a line's key. */
  readonly line: number;
  readonly stockCode: string;
  readonly description: string;
  readonly quantity: string;
  readonly unitPrice: string;
};
/** One sale: rung up as one local transaction. Invoice numbers that start with C are cancellations. */
export type RetailInvoice = {
  readonly invoice: string;
  /** Local time without zone, "2010-12-01T08:26:00". */
  readonly at: string;
  readonly customer: string | null;
  readonly country: string;
  readonly lines: readonly RetailLine[];
};
export type Retail = {
  readonly source: "file" | "generated";
  readonly invoices: readonly RetailInvoice[];
  readonly facts: RetailFacts;
};
/** What must be at the centre in the end. `total` is the exact sum of quantity × price, "180667.75". */
export type RetailFacts = { readonly invoices: number; readonly lines: number; readonly total: string };

/** Sales as tills ring them up: the data set where it is found (see `needs`), else a small generated set as dirty as that. */
export function retail(): Retail {
  const found = find("retail");
  return "at" in found ? readRetail(found.at) : generatedRetail();
}

export function readRetail(path: string): Retail {
  const [head, ...records] = csvRecords(readFileSync(path, "utf8"));
  const column = (name: string): number => {
    const at = head?.indexOf(name) ?? -1;
    if (at < 0) throw new Error(`${path} has no column ${name}`);
    return at;
  };
  const [invoice, stockCode, description, quantity, at, unitPrice, customer, country] = [
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
  ].map(column) as [number, number, number, number, number, number, number, number];
  const sold = records.map((record) => {
    const text = (index: number): string => record[index] ?? "";
    return {
      invoice: text(invoice),
      at: text(at),
      customer: text(customer) || null,
      country: text(country),
      stockCode: text(stockCode),
      description: text(description),
      quantity: text(quantity),
      unitPrice: text(unitPrice),
    };
  });
  return retailOf("file", sold);
}

/** The same set every time: 60 invoices with cancellations, repeated codes, zero prices, no customer, and names that need care. */
export function generatedRetail(invoices = 60): Retail {
  let state = 20_101_201;
  // A linear congruential generator (Numerical Recipes, 1986): enough to look unordered, and the same on every machine.
  const below = (limit: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state % limit;
  };
  const two = (n: number): string => String(n).padStart(2, "0");
  const names = [
    "WHITE METAL LANTERN",
    'SET 7 "BABUSHKA" BOXES',
    "CAKE STAND, 3 TIER",
    "CAFÉ MUG ☕",
    "",
    "KID'S T-LIGHT",
  ];
  const sold: SoldLine[] = [];
  for (let n = 0; n < invoices; n++) {
    const cancelled = n % 12 === 7;
    const customer = n % 5 === 3 ? null : String(17_850 + below(40));
    const at = `2010-12-${two(1 + Math.floor(n / 20))}T${two(8 + (n % 10))}:${two(below(60))}:00`;
    const lines = 1 + below(n % 10 === 0 ? 40 : 8);
    for (let line = 0; line < lines; line++) {
      sold.push({
        invoice: `${cancelled ? "C" : ""}${536_365 + n}`,
        at,
        customer,
        country: n % 9 === 0 ? "France" : "United Kingdom",
        stockCode: below(30) === 0 ? "POST" : `${22_700 + below(24)}${below(4) === 0 ? "A" : ""}`,
        description: names[below(names.length)] ?? "",
        quantity: String((cancelled ? -1 : 1) * (1 + below(24))),
        unitPrice: below(40) === 0 ? "0" : `${below(20)}.${two(below(100))}`,
      });
    }
  }
  return retailOf("generated", sold);
}

type SoldLine = Omit<RetailLine, "line"> & Omit<RetailInvoice, "lines">;

function retailOf(source: Retail["source"], sold: readonly SoldLine[]): Retail {
  const byInvoice = new Map<string, RetailInvoice & { lines: RetailLine[] }>();
  let total = 0n;
  for (const { at, customer, country, ...line } of sold) {
    const sale = byInvoice.get(line.invoice) ?? { invoice: line.invoice, at, customer, country, lines: [] };
    byInvoice.set(line.invoice, sale);
    sale.lines.push({ ...line, line: sale.lines.length + 1 });
    total += BigInt(line.quantity) * hundredths(line.unitPrice);
  }
  return {
    source,
    invoices: [...byInvoice.values()],
    facts: { invoices: byInvoice.size, lines: sold.length, total: asDecimal(total) },
  };
}

function hundredths(price: string): bigint {
  const [, minus, whole, fraction = ""] = /^(-?)(\d+)(?:\.(\d{1,2}))?$/.exec(price) ?? [];
  if (whole === undefined)
    throw new Error(`price ${JSON.stringify(price)} is not a decimal with at most two digits after the point`);
  return BigInt(`${minus ?? ""}${whole}${fraction.padEnd(2, "0")}`);
}
function asDecimal(value: bigint): string {
  const digits = String(value < 0n ? -value : value).padStart(3, "0");
  return `${value < 0n ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/** Records of a CSV text (RFC 4180): quoted fields may hold commas, newlines and doubled quotes. */
export function csvRecords(text: string): string[][] {
  const records: string[][] = [];
  let record: string[] = [];
  const cell = /("(?:[^"]|"")*"|[^",\r\n]*)(,|\r?\n|$)/y;
  while (cell.lastIndex < text.length) {
    const at = cell.lastIndex;
    const match = cell.exec(text);
    if (!match) throw new Error(`no CSV at offset ${at}: ${JSON.stringify(text.slice(at, at + 40))}`);
    const [, value = "", end] = match;
    record.push(value.startsWith('"') ? value.slice(1, -1).replaceAll('""', '"') : value);
    if (end === ",") {
      if (cell.lastIndex === text.length) record.push(""); // the text ends behind a comma: one more, empty field
      else continue;
    }
    records.push(record);
    record = [];
  }
  return records;
}
