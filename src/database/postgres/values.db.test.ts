import fc from "fast-check";
import { expect, test } from "vitest";
import { describeWith } from "../../../test/kit/needs.ts";
import type { Row, WireValue } from "../../message/change.ts";
import { epoch, seq } from "../../base/ids.ts";
import { stationIn } from "../sqlite/station.test-kit.ts";
import type { Station } from "../contract/station.ts";
import { stationOn } from "./station.test-kit.ts";

const KINDS_TABLE = `
  create type mood as enum ('calm', 'busy');
  create domain money2 as numeric(12, 2) check (value >= 0);
  create table "Kinds" (
    id bigint primary key, n numeric, cash money2, f8 float8, f4 float4, b boolean, t text, c char(5), v varchar(5),
    d date, tm time, ts timestamp(3), tz timestamptz, bin bytea, u uuid, j json, jb jsonb, a text[], m mood, r int4range,
    iv interval, ip inet, doubled bigint generated always as (id * 2) stored)`;

/** What a query gives and what the trigger wrote must both be this. */
const EXACT: readonly (readonly [column: string, sql: string, wire: WireValue])[] = [
  ["n", "12345678901234567890123456789.010", "12345678901234567890123456789.010"],
  ["n", "'NaN'", { $text: "NaN" }],
  ["cash", "12.50", "12.50"],
  ["f8", "0.1::float8 + 0.2::float8", 0.30000000000000004],
  ["f8", "'-Infinity'", "-Infinity"],
  ["f4", "0.1", 0.1],
  ["b", "true", true],
  ["t", "''", ""],
  ["t", "E'a\\tb\\r\\n\"{,}\\\\ é 🚚 NULL'", 'a\tb\r\n"{,}\\ é 🚚 NULL'],
  ["c", "'ab'", "ab   "],
  ["d", "'0001-02-03'", "0001-02-03"],
  ["d", "'infinity'", { $text: "infinity" }],
  ["tm", "'23:59:59.123456'", "23:59:59.123456"],
  ["ts", "'2026-11-23 22:05:01.5'", "2026-11-23T22:05:01.5"],
  ["tz", "'2026-11-23 23:05:01.123456+01'", "2026-11-23T22:05:01.123456Z"],
  ["bin", "'\\x00ff10'", "AP8Q"],
  ["u", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
  ["j", `'{"b":1,"a":[1.5,"x"]}'`, { b: 1, a: [1.5, "x"] }],
  ["j", `'{ "a": 1.50 }'`, { $text: '{ "a": 1.50 }' }],
  ["j", "'null'", { $text: "null" }],
  ["jb", `'{"b":1,"a":"x, y: z"}'`, { a: "x, y: z", b: 1 }],
  ["jb", "'12345678901234567890'", { $text: "12345678901234567890" }],
  ["a", `array['a,b', null, '"']`, '{"a,b",NULL,"\\""}'],
  ["m", "'busy'", "busy"],
  ["r", "'[1,5)'", "[1,5)"],
  ["iv", "'1 year 2 days 03:04:05.678'", "P1Y2DT3H4M5.678S"],
  ["ip", "'10.0.0.1'", "10.0.0.1"],
];

describeWith("postgres", "values of PostgreSQL", (server) => {
  const open = stationOn(server);
  const captured = async (): Promise<Station> => {
    const station = await open(KINDS_TABLE);
    await station.database.load.install();
    const { capture } = station.database;
    await capture.install({ role: "terminal", tables: ["Kinds"], quietGapMs: 1_000 });
    await capture.beginEpoch(epoch("e1"));
    return station;
  };
  const sent = async ({ database: { capture } }: Station): Promise<readonly Row[]> => {
    await capture.pack({ partBytes: 1e6, valueBytes: 1e6, lockMs: 100 });
    const lines = await capture.lines({ seq: seq(0), part: 0 }, Number.MAX_SAFE_INTEGER);
    return lines.flatMap((line) =>
      (JSON.parse(new TextDecoder().decode(line.bytes)) as { changes: { row: Row }[] }).changes.map(({ row }) => row),
    );
  };

  test("each type is read and captured exactly, whatever the session's settings, and written back as it was", async () => {
    await using station = await captured();
    // An application may see its values in any style: what is captured does not depend on it.
    await station.run("set datestyle = 'SQL, DMY'; set timezone = 'Asia/Kolkata'; set intervalstyle = 'sql_standard'");
    await station.run("set bytea_output = 'escape'; set extra_float_digits = 0");
    for (const [i, [column, sql]] of EXACT.entries())
      await station.run(`insert into "Kinds" (id, ${column}) values (${i}, ${sql})`);
    const rows = await sent(station);
    for (const [i, [column, , wire]] of EXACT.entries()) {
      const read = await station.database.read.row("Kinds", { id: i });
      expect([column, read?.[column]]).toEqual([column, wire]);
      expect(rows[i]).toEqual(read);
    }
    expect(Object.keys(rows[0] ?? {})).not.toContain("doubled");
    await station.database.load.transaction(async (tx) => {
      const back = rows.map((row) => ({ ...row, id: Number(row["id"]) + 1000 }));
      const effects = back.map((row) => ({
        table: "Kinds",
        kind: "insert" as const,
        key: { id: row.id },
        row,
        origin: null,
      }));
      expect((await tx.apply(effects)).refused).toEqual([]);
    });
    for (const [i, [column, , wire]] of EXACT.entries())
      expect((await station.database.read.row("Kinds", { id: i + 1000 }))?.[column]).toEqual(wire);
  });

  test("what a column would cut, round or move to another zone is refused", async () => {
    await using station = await captured();
    const refusals: readonly [string, WireValue][] = [
      ["id", "9223372036854775808"],
      ["cash", "1.005"],
      ["cash", "-1"],
      ["v", "abcdef"],
      ["v", "ab      "],
      ["t", "a\0b"],
      ["t", "\ud800"],
      ["t", 5],
      ["ts", "2026-11-23T22:05:01.1234"],
      ["ts", "2026-11-23T22:05:01Z"],
      ["tz", "2026-11-23T22:05:01"],
      ["tz", "2026-11-23T22:05:01.1234567Z"],
      ["d", { $text: "today" }],
      ["n", { $text: "12" }],
      ["u", "no uuid"],
      ["bin", "not base64"],
      ["b", 1],
      ["m", "angry"],
      ["jb", { $text: "{" }],
    ];
    const effects = refusals.map(([column, value], i) => ({
      table: "Kinds", kind: "insert" as const, key: { id: i }, row: { id: i, [column]: value }, origin: null,
    })); // oxfmt-ignore
    const { refused } = await station.database.load.transaction((tx) => tx.apply(effects));
    expect(refused.map(({ index }) => refusals[index]?.[0])).toEqual(refusals.map(([column]) => column));
    expect(new Set(refused.map(({ code }) => code))).toEqual(new Set(["TYPE_REFUSED", "CHECK_VIOLATED"]));
    expect(await station.rows('select count(*) from "Kinds"')).toEqual([["0"]]);
  });

  test("values that go to SQLite and back are the same", async () => {
    const ddl =
      "create table thing (id bigint primary key, n numeric(30, 10), t text, f float8, d date, ts timestamp, bin bytea, b boolean)";
    await using postgres = await open(ddl);
    await using sqlite = await stationIn("wal")(
      "create table thing (id integer primary key, n text, t text, f double, d date, ts timestamp, bin blob, b boolean)",
    );
    await postgres.database.load.install();
    await sqlite.database.load.install();
    const text = fc
      .string({ unit: "binary", maxLength: 20 })
      .filter((one) => !one.includes("\0") && one.isWellFormed());
    const row = fc.record({
      n: fc.option(fc.tuple(fc.bigInt({ min: -(10n ** 18n), max: 10n ** 18n }), fc.integer({ min: 1000, max: 9999 })).map(([a, b]) => `${a}.${b}000000`)),
      t: fc.option(text),
      f: fc.option(fc.double({ noNaN: true }).map((one) => (Number.isFinite(one) ? one + 0 : String(one)))),
      d: fc.option(fc.date({ min: new Date("0001-01-01T00:00:00Z"), max: new Date("9999-12-31T00:00:00Z"), noInvalidDate: true }).map((one) => one.toISOString().slice(0, 10))),
      ts: fc.option(fc.integer({ min: 100000, max: 999999 }).map((one) => `2026-11-23T22:05:01.${one}`.replace(/0+$/, ""))),
      bin: fc.option(fc.uint8Array({ maxLength: 20 }).map((one) => Buffer.from(one).toString("base64"))),
      b: fc.option(fc.boolean()),
    }); // oxfmt-ignore
    const put = async (station: Station, rows: readonly Row[]): Promise<readonly Row[]> => {
      const effects = rows.map((one) => ({
        table: "thing",
        kind: "upsert" as const,
        key: { id: one["id"] ?? null },
        row: one,
        origin: null,
      }));
      expect((await station.database.load.transaction((tx) => tx.apply(effects))).refused).toEqual([]);
      return station.database.read.page("thing", null, 1000);
    };
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 30 }), async (given) => {
        const rows: Row[] = given.map((one, id) => ({ id, ...one }));
        const inPostgres = (await put(postgres, rows)).slice(0, rows.length);
        const inSqlite = (await put(sqlite, inPostgres)).slice(0, rows.length);
        expect(inSqlite.map((one) => ({ ...one, n: null }))).toEqual(inPostgres.map((one) => ({ ...one, n: null })));
        expect((await put(postgres, inSqlite)).slice(0, rows.length)).toEqual(inPostgres);
      }),
      { numRuns: 30 },
    );
  });
});
