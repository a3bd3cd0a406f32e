/** What a column holds, over all engines; the wire form of each kind is in docs/wire.md, "Values". */
export const KINDS = [
  "integer",
  "decimal",
  "float",
  "text",
  "boolean",
  "date",
  "time",
  "timestamp",
  "binary",
  "uuid",
  "json",
] as const;
export type ColumnKind = (typeof KINDS)[number];

export type Column = {
  readonly name: string;
  readonly kind: ColumnKind;
  /** The type as the database declares it, for people: "numeric(12,2)". */
  readonly declared: string;
  readonly nullable: boolean;
  /** Filled by the database alone (generated always): never written by a load, never captured. */
  readonly generated: boolean;
  /** The database fills it when a load leaves it out. */
  readonly hasDefault: boolean;
  /** Characters (text) or bytes (binary), where the engine enforces a limit. */
  readonly maxLength?: number;
  /** Digits in all and after the point, where the engine enforces them. */
  readonly precision?: number;
  readonly scale?: number;
  /** How keys of this column compare texts, where not letter by letter: "a" and "A" may be one key (see `keyText`). */
  readonly collation?: Collation;
};
/** `nocase`: the 26 ASCII letters in either case are the same; `rtrim`: spaces at the end do not count. */
export type Collation = "nocase" | "rtrim";

/** `columns[i]` of this table names `parentColumns[i]` of `parent`. */
export type ForeignKey = {
  readonly columns: readonly string[];
  readonly parent: string;
  readonly parentColumns: readonly string[];
};

/** A table as *describe* found it. `name` is how the config names it: `sale`, or `shop.sale` where engines have schemas. */
export type TableShape = {
  readonly name: string;
  readonly columns: readonly Column[];
  /** The primary key, else the first unique key without nullable columns, else empty (such a table cannot be kept in step). */
  readonly key: readonly string[];
  /** Every unique constraint or full unique index, the key included. */
  readonly uniques: readonly (readonly string[])[];
  readonly foreignKeys: readonly ForeignKey[];
  /** Triggers that are not ours fire on this table: changes are then applied one by one, as the till made them. */
  readonly foreignTriggers: boolean;
};

export type Shapes = ReadonlyMap<string, TableShape>;

export const columnOf = (shape: TableShape, name: string): Column | undefined =>
  shape.columns.find((column) => column.name === name);
