import { Client } from "pg";
import { expect, test } from "vitest";
import { describeWith } from "../../test/kit/needs.ts";
import { epoch, seq } from "../base/ids.ts";
import { stationOn, type PostgresStation } from "../database/postgres/station.test-kit.ts";
import {
  SHOP_ROWS,
  SHOP_TABLES,
  SHOP_TRIGGERS,
  TABLES,
  TORN,
  torture,
} from "../database/postgres/capture/torture.test-kit.ts";
import type { Message } from "../message/change.ts";
import { Desk, lane, rules } from "./load.test-kit.ts";

const LIMITS = { partBytes: 8 * 1024, valueBytes: 1_000_000, lockMs: 100 };
/** Transactions of each writer; more for a long run. */
const EACH = Number(process.env["WAYBILL_TORTURE"] ?? 12);
const TILL = lane("till-1");

/** Packs what the till has committed and gives it to the hub's desk. Gives the last number. */
async function send({ database: { capture } }: PostgresStation, desk: Desk, after: number): Promise<number> {
  while ((await capture.pack(LIMITS)).more);
  const lines = await capture.lines({ seq: seq(after), part: 0 }, Number.MAX_SAFE_INTEGER);
  let parts: Message["changes"][] = [];
  for (const line of lines) {
    const text = new TextDecoder().decode(line.bytes);
    if (line.part === 0) desk.receive(TILL, text);
    else parts.push((JSON.parse(text) as Message).changes);
    if (line.part === 0 || line.more) continue;
    desk.receiveInParts(TILL, parts);
    parts = [];
  }
  const last = lines.at(-1)?.seq ?? after;
  await capture.acknowledge({ epoch: epoch("e1"), receivedThrough: seq(last), loadedThrough: seq(last) });
  await capture.flush({ keep: 10, since: null });
  return last;
}

/** Another program at the centre: looks without pause until it is stopped. Every transaction must be whole at every look. */
async function watch(url: string, stop: AbortSignal): Promise<{ looks: number; torn: number[] }> {
  const client = new Client({ connectionString: url });
  await client.connect();
  const seen = { looks: 0, torn: [] as number[] };
  while (!stop.aborted) {
    const { rows } = await client.query<{ id: number }>(TORN);
    seen.looks++;
    seen.torn.push(...rows.map(({ id }) => id));
  }
  await client.end();
  return seen;
}

describeWith("postgres", "a till of fifty writers loaded at the centre", (server) => {
  const open = stationOn(server);

  test("I4, I5: the tables are equal in the end, and a reader sees every transaction whole at all times", async () => {
    await using till = await open(SHOP_TABLES + SHOP_ROWS + SHOP_TRIGGERS);
    await using centre = await open(SHOP_TABLES);
    await centre.database.load.install();
    const { capture } = till.database;
    await capture.install({ role: "terminal", tables: TABLES, quietGapMs: 1_000 });
    await capture.beginEpoch(epoch("e1"), null);
    const desk = new Desk(centre.database, rules(Object.fromEntries(TABLES.map((table) => [table, {}]))));

    // What was there before, as a new terminal sends it.
    for (const table of TABLES) await capture.resync(table, null);
    while ((await capture.resyncStep(20)) === "more");
    let sent = await send(till, desk, 0);
    await desk.drain();

    const reading = new AbortController();
    const reader = watch(centre.url, reading.signal);
    let writing = true;
    const writers = torture(till.url, EACH).finally(() => {
      writing = false;
    });
    for (let round = 0; ; round++) {
      const last = !writing;
      if (round % 4 === 0) await capture.resync(TABLES[(round / 4) % TABLES.length] ?? "line", null);
      // Behind fifty writers it may wait too long for its rows' locks; then its page comes another time.
      await capture.resyncStep(7).catch((thrown: unknown) => expect(thrown).toMatchObject({ code: "DATABASE_BUSY" }));
      sent = await send(till, desk, sent);
      await desk.drain(1 + ((round * 37) % 200)); // batches of one message, and of many
      if (last) break;
    }
    const commits = await writers;
    reading.abort();
    const { looks, torn } = await reader;

    expect(desk.exceptions(TILL)).toEqual([]);
    expect(torn).toEqual([]);
    expect(looks).toBeGreaterThan(10);
    expect(commits).toBeGreaterThan(EACH * 30);
    for (const table of TABLES) {
      const all = `select * from ${table} order by 1, 2`.replace(", 2", table === "scratch" ? "" : ", 2");
      expect(await centre.rows(all)).toEqual(await till.rows(all));
    }
    expect((await till.rows("select count(*) from audit"))[0]?.[0]).not.toBe("0");
  }, 180_000);
});
