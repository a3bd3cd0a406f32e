import { hash } from "node:crypto";
import { field, type Row } from "./change.ts";
import { comparable } from "./comparable.ts";
import type { Collation, ColumnKind } from "./shape.ts";
import { keyText } from "./value.ts";

/**
 * Rows as two databases compare them: a place by the hash of the key, a digest by all that is compared. Rows are spread over
 * the places evenly and the same on both sides, whatever order each engine has for its keys, so a table is compared as a
 * tree: a node is the rows whose place begins with its prefix (hexadecimal digits), and two nodes are equal when they hold
 * as many rows and their digests agree. Digests of rows are joined by XOR: rows may come in any order.
 */
export type ComparedColumn = {
  readonly name: string;
  readonly kind: ColumnKind;
  readonly collation?: Collation | undefined;
};
/** What of a table is compared, in the terminals' names. */
export type ComparedTable = {
  readonly table: string;
  readonly key: readonly ComparedColumn[];
  /** The columns beside the key. */
  readonly columns: readonly ComparedColumn[];
};

/** 32 hexadecimal digits each. */
export type Placed = { readonly place: string; readonly digest: string };
/** Prefix → rows and digest of the node. Nodes without rows are left out. */
export type NodeDigests = ReadonlyMap<string, NodeDigest>;
export type NodeDigest = { readonly rows: number; readonly digest: string };

const BYTES = 16;
const digestOf = (texts: readonly string[]): string =>
  // A list in JSON: no value can run over into the next one.
  hash("sha256", JSON.stringify(texts), "hex").slice(0, 2 * BYTES);

/** Null: a row with NULL in its key has no identity and is not compared. */
export function placed(table: ComparedTable, row: Row): Placed | null {
  const key: string[] = [];
  for (const column of table.key) {
    const value = field(row, column.name) ?? null;
    if (value === null) return null;
    const folded = column.collation !== undefined && typeof value === "string";
    key.push(folded ? keyText("text", value, column.collation) : comparable(column.kind, value));
  }
  const place = digestOf(key);
  const values = table.columns.map((column) => comparable(column.kind, field(row, column.name) ?? null));
  return { place, digest: digestOf([place, ...values]) };
}

/** The columns whose values are not the same. */
export const differing = (table: ComparedTable, one: Row, other: Row): readonly string[] =>
  table.columns
    .filter(
      ({ name, kind }) => comparable(kind, field(one, name) ?? null) !== comparable(kind, field(other, name) ?? null),
    )
    .map(({ name }) => name);

/** Whether the place lies below one of the nodes; all of them have prefixes of one length. */
export function lies(place: string, within: ReadonlySet<string>, length: number): boolean {
  return length === 0 || within.has(place.slice(0, length));
}

/** Gathers rows into the digests of nodes: memory for each node that has rows, none for a row. */
export class NodeGatherer {
  readonly #width: number;
  readonly #nodes = new Map<string, { rows: number; bytes: Uint8Array }>();

  /** @param width digits of the prefixes */
  constructor(width: number) {
    this.#width = width;
  }

  add({ place, digest }: Placed): void {
    const prefix = place.slice(0, this.#width);
    let node = this.#nodes.get(prefix);
    if (node === undefined) this.#nodes.set(prefix, (node = { rows: 0, bytes: new Uint8Array(BYTES) }));
    node.rows++;
    const bytes = Buffer.from(digest, "hex");
    for (let at = 0; at < BYTES; at++) node.bytes[at] = (node.bytes[at] ?? 0) ^ (bytes[at] ?? 0);
  }

  digests(): NodeDigests {
    return new Map(
      [...this.#nodes].map(([prefix, { rows, bytes }]) => [
        prefix,
        { rows, digest: Buffer.from(bytes).toString("hex") },
      ]),
    );
  }
}

/** The nodes that are not the same on both sides, in order. */
export function unequalNodes(one: NodeDigests, other: NodeDigests): readonly { prefix: string; rows: number }[] {
  const prefixes = [...new Set([...one.keys(), ...other.keys()])].toSorted();
  return prefixes.flatMap((prefix) => {
    const [a, b] = [one.get(prefix), other.get(prefix)];
    return a?.rows === b?.rows && a?.digest === b?.digest ? [] : [{ prefix, rows: (a?.rows ?? 0) + (b?.rows ?? 0) }];
  });
}
