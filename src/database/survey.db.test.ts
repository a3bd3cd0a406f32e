import fc from "fast-check";
import { expect, test } from "vitest";
import { describeWith } from "../../test/kit/needs.ts";
import type { WireValue } from "../message/change.ts";
import { agreedKind } from "../message/comparable.ts";
import { unequalNodes, type ComparedTable } from "../message/digest.ts";
import type { Station } from "./contract/station.ts";
import { stationOn } from "./postgres/station.test-kit.ts";
import { stationIn } from "./sqlite/station.test-kit.ts";
import { Survey, type SurveyOrder } from "./survey.ts";

/** One table as each engine's users would declare it. */
const POSTGRES = `create table thing (id bigint primary key, d numeric(20, 6), f float8, b boolean, t text, day date,
  tm time, ts timestamp, tz timestamptz, bin bytea, u uuid, j jsonb, as_text text)`;
const SQLITE = `create table thing (id integer primary key, d text, f real, b boolean, t text, day date,
  tm time, ts timestamp, tz timestamp, bin blob, u uuid, j json, as_text text)`;

const two = (n: number): string => String(n).padStart(2, "0");
const day = fc
  .tuple(fc.integer({ min: 1, max: 9999 }), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 28 }))
  .map(([y, m, d]) => `${String(y).padStart(4, "0")}-${two(m)}-${two(d)}`);
const time = fc
  .tuple(fc.nat(23), fc.nat(59), fc.nat(59), fc.nat(999_999))
  .map(([h, m, s, micros]) => `${two(h)}:${two(m)}:${two(s)}.${String(micros).padStart(6, "0")}`);
const text = fc.string({ unit: "grapheme", maxLength: 12 }).filter((one) => !one.includes("\0"));
const orNull = (of: fc.Arbitrary<WireValue>): fc.Arbitrary<WireValue> => fc.option(of);
const row = fc.record({
  d: orNull(fc.tuple(fc.bigInt(-(10n ** 13n), 10n ** 13n), fc.nat(999_999)).map(([a, b]) => `${a}.${two(b)}`)),
  f: orNull(fc.double({ noNaN: true })),
  b: orNull(fc.boolean()),
  t: orNull(text),
  day: orNull(day),
  tm: orNull(time),
  ts: orNull(fc.tuple(day, time).map(([d, t]) => `${d}T${t}`)),
  tz: orNull(fc.tuple(day, time).map(([d, t]) => `${d}T${t}Z`)),
  bin: orNull(fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString("base64"))),
  u: orNull(fc.uuid()),
  j: orNull(
    fc.dictionary(
      text.filter((name) => name !== "__proto__"),
      fc.oneof(fc.integer(), text, fc.constant(null)),
      { maxKeys: 3 },
    ),
  ),
  as_text: orNull(text),
});

async function written(station: Station, rows: readonly Readonly<Record<string, WireValue>>[]): Promise<void> {
  await station.database.load.transaction(async (tx) => {
    const { refused } = await tx.apply(
      rows.map((values, id) => ({ table: "thing", kind: "insert", key: { id }, row: { id, ...values }, origin: null })),
    );
    expect(refused).toEqual([]);
  });
}
async function surveyed(station: Station, order: SurveyOrder): Promise<Survey> {
  const survey = new Survey(order, { table: "thing", row: (one) => one });
  while (!survey.done) await survey.step(station.database.read, ["id"]);
  return survey;
}

describeWith("postgres", "two engines with the same rows", (server) => {
  test("have the same digests for every value that both can hold, and other ones when one value is another", async () => {
    await using here = await stationOn(server)(POSTGRES);
    await using there = await stationIn("wal")(SQLITE);
    await here.database.load.install();
    await there.database.load.install();
    const [one, other] = await Promise.all(
      [here, there].map(async ({ database }) => (await database.describe()).tables.get("thing")),
    );
    const columns = (one?.columns ?? []).map(({ name, kind }) => ({
      name,
      kind: agreedKind(kind, other?.columns.find((column) => column.name === name)?.kind ?? kind),
    }));
    const compared: ComparedTable = { table: "thing", key: columns.slice(0, 1), columns: columns.slice(1) };
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 40 }), async (rows) => {
        for (const station of [here, there]) {
          await station.run("delete from thing");
          await written(station, rows);
        }
        const order: SurveyOrder = { ...compared, within: [""], width: 2 };
        const [a, b] = [await surveyed(here, order), await surveyed(there, order)];
        expect(a.rows).toBe(rows.length);
        expect(unequalNodes(a.result().nodes, b.result().nodes)).toEqual([]);
        await there.run("update thing set as_text = coalesce(as_text, '') || '!' where id = 0");
        const changed = (await surveyed(there, order)).result().nodes;
        const [node, ...more] = unequalNodes(a.result().nodes, changed);
        expect(more).toEqual([]);
        const list: SurveyOrder = { ...compared, within: [node?.prefix ?? ""], width: null };
        const keys = (await surveyed(there, list)).result().found.map(({ key }) => key["id"]);
        expect(keys).toContain(0);
      }),
      { numRuns: 25 },
    );
  });
});
