import { chainNext, CHAIN_START, chainHex } from "../src/message/chain.ts";

/** The messages of the measurements: one header row and `lines` line rows each, about what a till sells. */
export type Shape = { readonly name: string; readonly lines: number };
export const HEADER_AND_5: Shape = { name: "1 header + 5 lines", lines: 5 };
export const ONE_ROW: Shape = { name: "1 row", lines: 0 };
export const rowsOf = (shape: Shape): number => 1 + shape.lines;

export const HEADER_AND_9: Shape = { name: "1 header + 9 lines", lines: 9 };

/** @param options what the engine says after a table's columns */
export const schema = (options = ""): string => `
  create table sale (sale_id text primary key, store_id text not null, sold_at text not null, cashier text, total text not null) ${options};
  create table sale_line (
    sale_id text not null, line_no integer not null, sku text not null, qty integer not null, unit_price text not null, description text,
    primary key (sale_id, line_no)
  ) ${options};
  create table price (sku text primary key, unit_price text not null) ${options};
`;
export const TABLES = {
  sale: { direction: "up", owner: { column: "store_id", is: "terminal" } },
  sale_line: { direction: "up" },
  price: { direction: "down", audience: "all" },
} as const;

export type Sale = {
  readonly header: readonly (string | bigint)[];
  readonly lines: readonly (readonly (string | bigint)[])[];
};

export const saleId = (terminal: string, n: number): string => `${terminal}-${String(n).padStart(8, "0")}`;

/** The n-th sale of a terminal (from 1): the same bytes in every run. */
export function sale(terminal: string, n: number, shape: Shape): Sale {
  const id = saleId(terminal, n);
  return {
    header: [id, terminal, "2026-11-23T09:14:07.123Z", `cashier ${n % 4}`, `${10 + (n % 90)}.50`],
    lines: Array.from({ length: shape.lines }, (_, i) => [
      id,
      BigInt(i + 1),
      `A-${1000 + ((n * 7 + i) % 900)}`,
      BigInt(1 + (i % 3)),
      `${2 + i}.55`,
      "WHITE HANGING HEART T-LIGHT HOLDER",
    ]),
  };
}

/** The sale as a message line of the wire. */
export function line(terminal: string, n: number, shape: Shape, poison: boolean): Buffer {
  const { header, lines } = sale(terminal, n, shape);
  const [sale_id, store_id, time, cashier, total] = header;
  const sold_at = poison ? null : time; // a column that the centre demands
  const changes = [
    { table: "sale", op: "insert", key: { sale_id }, row: { sale_id, store_id, sold_at, cashier, total } },
    ...lines.map(([id, no, sku, qty, unit_price, description]) => ({
      table: "sale_line",
      op: "insert",
      key: { sale_id: id, line_no: Number(no) },
      row: { sale_id: id, line_no: Number(no), sku, qty: Number(qty), unit_price, description },
    })),
  ];
  return Buffer.from(JSON.stringify({ seq: n, at: "2026-11-23T09:14:07.123Z", changes }));
}

/** Request bodies of `perRequest` messages each, ready to be sent in order. */
export function bodies(
  terminal: string,
  epoch: string,
  messages: number,
  perRequest: number,
  shape: Shape,
  isPoison: (n: number) => boolean = () => false,
): Buffer[] {
  const made: Buffer[] = [];
  let chain: Uint8Array = CHAIN_START;
  for (let after = 0; after < messages; after += perRequest) {
    const pieces: Uint8Array[] = [
      Buffer.from(`${JSON.stringify({ epoch, stream: "main", after, chain: chainHex(chain) })}\n`),
    ];
    for (let n = after + 1; n <= Math.min(messages, after + perRequest); n++) {
      const bytes = line(terminal, n, shape, isPoison(n));
      chain = chainNext(chain, bytes);
      pieces.push(bytes, Buffer.from("\n"));
    }
    made.push(Buffer.concat(pieces));
  }
  return made;
}
