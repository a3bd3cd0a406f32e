import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { describeWith } from "../../../test/kit/needs.ts";
import { tempDir } from "../../../test/kit/temp-dir.ts";
import { until } from "../../../test/kit/until.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { Stop } from "../../base/stop.ts";
import { stationOn } from "../../database/postgres/station.test-kit.ts";
import type { Change, Row } from "../../message/change.ts";
import { silentLog } from "../../observe/log.ts";
import { startHub } from "../hub.ts";
import { checkHubConfig, hubSettings } from "../load-config.ts";
import { readOperatorToken } from "../operator-token.ts";
import { basicAuth, envelope11, submit, type SyncMessageText } from "./soap.test-kit.ts";

/** As an integrator writes it: the payload's members are the row. */
function saleOf({ row }: Change): Change {
  const payload = row?.["body"] as Row;
  return {
    table: "sale",
    op: "upsert",
    key: { id: row?.["key"] ?? null },
    row: { ...payload, id: row?.["key"] ?? null, at: row?.["at"] ?? null, base: row?.["baseVersion"] ?? null },
  };
}

/** `rows` of the sales at the centre, in the order of their ids; each value as its text. */
type Centre = { readonly url: string; readonly rows: () => Promise<readonly (readonly (string | null)[])[]> };
const ROWS = "select id, total, serial, note, other, at, base from sale order by id";

const ARRIVE = "int64, trailing zeros, carriage returns, empty and nil, and seven digits of a second arrive exactly";

describe("a centre on SQLite", () => {
  test(ARRIVE, async () => {
    await using dir = tempDir();
    using centre = new DatabaseSync(dir.file("central.db"));
    centre.exec(
      "pragma journal_mode = wal; create table sale (id text primary key, total text, serial integer, note text, other text, at text, base integer)",
    );
    const rows: Centre["rows"] = () => {
      const read = centre.prepare(ROWS);
      read.setReadBigInts(true);
      return Promise.resolve(
        read.all().map((row) => Object.values(row).map((value) => (value === null ? null : String(value)))),
      );
    };
    await arrive({ url: `sqlite:${dir.file("central.db")}`, rows });
  });
});

describeWith("postgres", "a centre on PostgreSQL", (server) => {
  test(ARRIVE, async () => {
    await using station = await stationOn(server)(
      "create table sale (id text primary key, total numeric, serial bigint, note text, other text, at text, base bigint)",
    );
    await arrive({ url: station.url, rows: () => station.rows(ROWS) });
  });
});

async function arrive(centre: Centre): Promise<void> {
  await using dir = tempDir();
  const ledger = `sqlite:${dir.file("ledger.db")}`;
  const tables = { "document:sale": { direction: "up", target: "sale", transform: saleOf } };
  const stop = new Stop();
  const hub = await startHub({
    settings: hubSettings(checkHubConfig({ ledger, central: centre.url, port: 0, tables }, dir.path, {})),
    runtime: systemRuntime,
    log: silentLog,
    stop,
  });
  try {
    const operator = { authorization: `Bearer ${await readOperatorToken(ledger)}`, "content-type": "application/json" };
    const post = async (path: string, headers: Record<string, string>, body: string): Promise<string> =>
      (await fetch(`${hub.address}${path}`, { method: "POST", headers, body })).text();
    const { token } = JSON.parse(
      await post("/api/enroll-tokens", operator, JSON.stringify({ terminal: "t1", tags: {} })),
    ) as { token: string };
    const { key } = JSON.parse(
      await post("/v1/enroll", { "content-type": "application/json" }, JSON.stringify({ token, terminal: "t1" })),
    ) as { key: string };
    const payload = String.raw`{"total":12.50,"serial":9007199254740993,"note":"a\r\nb","other":""}`;
    const messages: SyncMessageText[] = [
      {
        sequence: 1,
        key: "S-1",
        payload,
        occurredAt: "2026-03-04T05:06:07.1234567Z",
        more: "<baseVersion>-9223372036854775808</baseVersion>",
      },
      { sequence: 2, key: "S-2", payload: '{"total":"a&#x1;b"}' },
      { sequence: 3, key: "S-3", contentType: "application/xml", payload: "&lt;s&gt;&lt;a/&gt;&lt;/s&gt;" },
      { sequence: 4, key: "S-4", payload: '{"total":100.00,"note":null}' },
    ];
    const call = { "content-type": "text/xml", authorization: basicAuth("t1", key) };
    expect(await post("/soap/terminal/basic", call, envelope11(submit("t1", messages)))).toContain(
      "<acceptedThrough>4</acceptedThrough>",
    );
    await until(async () => (await centre.rows()).length >= 2, { what: "both good sales at the centre" });
    expect(await centre.rows()).toEqual([
      ["S-1", "12.50", "9007199254740993", "a\r\nb", "", "2026-03-04T05:06:07.1234567Z", "-9223372036854775808"],
      ["S-4", "100.00", null, null, null, "2026-03-04T05:06:07Z", null],
    ]);
    const dead = await until(async () => {
      const answer = await fetch(`${hub.address}/api/exceptions?limit=10`, { headers: operator });
      const { rows: found = [] } = (await answer.json()) as {
        rows?: { seq: number; fault: string; detail: string }[];
      };
      return found.length === 2 && found;
    });
    expect(dead.map(({ seq, fault }) => [seq, fault])).toEqual([
      [2, "PAYLOAD_UNREADABLE"],
      [3, "COLUMN_UNKNOWN"],
    ]);
    expect(dead[0]?.detail).toContain("payload has a character that XML does not allow");
  } finally {
    await stop.end((what, thrown) => expect.fail(`${what}: ${String(thrown)}`));
  }
}
