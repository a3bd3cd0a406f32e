import fc from "fast-check";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import type { Finding } from "../../src/database/finding.ts";
import { spawnWaybill } from "../kit/child.ts";
import { tempDir } from "../kit/temp-dir.ts";
import { Chain, type ChainShape } from "./chain.ts";

/** Values travel till → centre → another till. `WAYBILL_RUNS` is the number of drawn batches. */
const RUNS = Number(process.env["WAYBILL_RUNS"] ?? 12);

/** A column of every declared kind; SQLite lets any value stand in any of them. */
const COLUMNS = {
  n_int: "integer",
  n_big: "bigint",
  t_text: "text",
  t_decimal: "text",
  t_time: "text",
  t_varchar: "varchar(20)",
  b_blob: "blob",
  b_varbinary: "varbinary(16)",
  f_real: "real",
  f_double: "double precision",
  d_numeric: "numeric",
  d_decimal: "decimal(38, 10)",
  d_money: "money",
  l_bool: "boolean",
  m_date: "date",
  m_time: "time",
  m_datetime: "datetime",
  m_timestamp: "timestamp",
  u_uuid: "uuid",
  j_json: "json",
  s_string: "string",
  x_none: "",
} as const;
const NAMES = Object.keys(COLUMNS);
const TABLES = `create table thing (id text primary key, ${Object.entries(COLUMNS)
  .map(([name, type]) => `${name} ${type}`)
  .join(", ")}) without rowid;`;
const SHAPE: ChainShape = {
  till: TABLES,
  central: TABLES,
  config: { tables: { thing: { direction: "both", audience: "all" } }, publisher: { pollMs: 20 } },
};

type Value = null | bigint | number | string | Uint8Array;
const DIGITS_38 = "12345678901234567890123456789012345678";
const EXTREMES: readonly Value[] = [
  null,
  "",
  new Uint8Array(0),
  0n,
  -1n,
  9_223_372_036_854_775_807n,
  -9_223_372_036_854_775_808n,
  2n ** 53n,
  -(2n ** 53n) - 1n,
  0,
  -0,
  0.1,
  5e-324,
  1.7976931348623157e308,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  1e21,
  123456789.125,
  DIGITS_38,
  `-${DIGITS_38.slice(0, 28)}.${DIGITS_38.slice(28)}`,
  "12.50",
  "12.5000000",
  "007",
  "1e5",
  "2026-11-23T09:14:07.1234567Z",
  "2026-11-23 09:14:07.123456789",
  "0001-01-01",
  "24:00:00",
  "🧾👩🏽‍🍳 Größe ½ é e\u0301 \u200f",
  " \t\r\n",
  "NaN",
  "null",
  '{"b":1,"a":[1,2.50,null]}',
  '{"$text":"not a mark"}',
  "{ }",
  "a\u0000b\u0001",
  "7D2F6C3E-0F53-4C4C-9E0A-5B3C1D2E4F60",
  Uint8Array.from([0, 1, 127, 128, 255]),
];

/** Storage class and bytes of every value: what SQLite itself tells of them, so that nothing of ours can hide a difference. */
const EXACT = `select id, ${NAMES.map((name) => `typeof(${name}) || ':' || case typeof(${name}) when 'blob' then hex(${name}) when 'text' then hex(cast(${name} as blob)) when 'real' then printf('%!.17g', ${name}) when 'null' then '' else ${name} end as ${name}`).join(", ")} from thing order by id`;
type Exact = Readonly<Record<string, string>>;
const exact = (db: DatabaseSync): Exact[] => db.prepare(EXACT).all() as Exact[];

function write(db: DatabaseSync, sql: string, rows: readonly (readonly Value[])[]): void {
  const statement = db.prepare(sql);
  db.exec("begin immediate");
  for (const row of rows) statement.run(...row);
  db.exec("commit");
}
const INSERT = `insert into thing (id, ${NAMES.join(", ")}) values (?, ${NAMES.map(() => "?").join(", ")})`;
const UPDATE = `update thing set ${NAMES.map((name) => `${name} = ?`).join(", ")} where id = ?`;

const value: fc.Arbitrary<Value> = fc.oneof(
  fc.constantFrom(...EXTREMES),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.double({ noNaN: true }),
  fc.string({ unit: "grapheme", maxLength: 30 }).filter((text) => !text.includes("\u0000")),
  fc.uint8Array({ maxLength: 40 }),
  fc.stringMatching(/^-?\d{1,38}(\.\d{1,10})?$/),
  fc.jsonValue().map((json) => JSON.stringify(json)),
);
const row = fc.array(value, { minLength: NAMES.length, maxLength: NAMES.length });

test(
  "I13: every value arrives at the centre and at another till in the storage class and with the bytes it had",
  {
    timeout: 120_000,
  },
  async ({ annotate }) => {
    await using dir = tempDir();
    const chain = await Chain.make(dir.path, 2, SHAPE);
    try {
      await chain.startHub();
      await chain.enrollAll();
      using from = chain.till("till-1");
      using into = chain.till("till-2");
      using centre = new DatabaseSync(chain.centralPath, { readOnly: true });
      for (const till of chain.tills) chain.startAgent(till);
      const arrived = async (what: string): Promise<void> => {
        const sent = exact(from);
        for (const [name, db] of [
          ["the centre", centre],
          ["the other till", into],
        ] as const) {
          const same = (): boolean => JSON.stringify(exact(db)) === JSON.stringify(sent);
          // When it does not come, the comparison says which value, and the exceptions why.
          const trouble = await chain.until(what, same, 10_000).then(
            () => "",
            (thrown: unknown) => String(thrown),
          );
          expect(exact(db), `${what}, at ${name}: ${trouble}`).toEqual(sent);
        }
      };

      // Every extreme in every kind of column, one after the other.
      const extremes = EXTREMES.map((value, i) => [`E-${String(i).padStart(2, "0")}`, ...NAMES.map(() => value)]);
      write(from, INSERT, extremes);
      await arrived("extremes");
      const megabyte = new Uint8Array(1024 * 1024).map((_, i) => (i * 31 + (i >> 8)) & 255);
      write(from, `insert into thing (id, b_blob, x_none) values (?, ?, ?)`, [["M-1", megabyte, "x".repeat(100_000)]]);
      await arrived("a megabyte");

      let values = EXTREMES.length * NAMES.length;
      await fc.assert(
        fc.asyncProperty(
          fc.array(row, { minLength: 1, maxLength: 20 }),
          fc.array(row, { maxLength: 20 }),
          async (rows, then) => {
            from.exec("delete from thing where id like 'P-%'");
            write(
              from,
              INSERT,
              rows.map((values, i) => [`P-${i}`, ...values]),
            );
            await arrived("inserts");
            write(
              from,
              UPDATE,
              then.map((values, i) => [...values, `P-${i}`]),
            );
            await arrived("updates");
            values += (rows.length + then.length) * NAMES.length;
          },
        ),
        { numRuns: RUNS },
      );
      expect(await chain.overview()).toMatchObject({ dead: 0, held: 0, retrying: 0 });
      // Nothing came back: what the other till took in, it did not send again.
      const { lanes } = await chain.operator<{ lanes: readonly { receivedThrough: number }[] }>(
        "GET",
        "/api/terminals/till-2",
      );
      expect(lanes[0]?.receivedThrough ?? 0).toBe(0);
      await annotate(`${values} values in ${NAMES.length} declared kinds, till → centre → till`);

      // What was lost before Waybill saw it, doctor names, and nothing else.
      from.exec("delete from thing");
      from
        .prepare("insert into thing (id, d_numeric, t_decimal, s_string, d_money) values (?, ?, ?, ?, ?)")
        .run("lossy", `0.${DIGITS_38}`, `0.${DIGITS_38}`, "007", "12");
      await using doctor = spawnWaybill(["doctor", "--database", `sqlite:${dir.file("till-1.db")}`, "--json"]);
      expect(await doctor.ended).toEqual({ code: 1, signal: null });
      const findings = JSON.parse(doctor.stdout) as Finding[];
      expect(findings.map(({ weight, column }) => `${weight} ${column}`)).toEqual(["harm d_numeric", "harm s_string"]);
    } finally {
      await chain.stop();
    }
  },
);
