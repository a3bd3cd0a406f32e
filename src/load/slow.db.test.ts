import { expect, test } from "vitest";
import { describeWith } from "../../test/kit/needs.ts";
import { openPostgres } from "../database/postgres/open.ts";
import { stationOn, type PostgresStation } from "../database/postgres/station.test-kit.ts";
import type { Change } from "../message/change.ts";
import { Desk, lane, rules } from "./load.test-kit.ts";

const SALE = "create table sale (id text primary key, total numeric not null)";
const sale = (id: string): Change => ({ table: "sale", op: "insert", key: { id }, row: { id, total: "9.90" } });
const [one, two, three] = [lane("till-1"), lane("till-2"), lane("till-3")];

describeWith("postgres", "messages that run out of time", (server) => {
  const open = stationOn(server);
  /** Each row of which the condition holds takes longer than anybody waits. */
  const slowIf = (station: PostgresStation, condition: string): Promise<void> =>
    station.run(`
      create or replace function nap() returns trigger language plpgsql as $$ begin
        if ${condition} then raise exception using errcode = 'query_canceled'; end if;
        return new; end $$;
      create or replace trigger nap before insert on sale for each row execute function nap()`);

  test("the one message that alone runs out of time is found and retried, then dead; all others are loaded", async () => {
    await using station = await open(SALE);
    await station.database.load.install();
    await slowIf(station, "new.id = 'S-13'");
    const desk = new Desk(station.database, rules({ sale: {} }));
    for (const [of, from] of [
      [one, 0],
      [two, 10],
      [three, 20],
    ] as const)
      desk.receive(of, ...Array.from({ length: 8 }, (_, n) => [sale(`S-${from + n}`)]));
    await desk.drain();
    expect(desk.exceptions(two)).toEqual(["4 retrying TIMED_OUT"]);
    expect(await station.rows("select count(*) from sale")).toEqual([["23"]]);
    for (let attempt = 2; attempt <= 3; attempt++) {
      Object.assign(desk.lane(two).known.get(4) ?? {}, { due: true });
      await desk.drain();
    }
    expect(desk.exceptions(two)).toEqual(["4 dead TIMED_OUT"]);
    expect(desk.exception(two, 4).attempts).toBe(3);
  });

  test("it is given longer when it is tried alone", async () => {
    await using station = await open(SALE);
    await station.database.load.install();
    await station.run(`
      create function nap() returns trigger language plpgsql as $$ begin perform pg_sleep(1); return new; end $$;
      create trigger nap before insert on sale for each row execute function nap()`);
    await using database = await openPostgres(station.url, { statementMs: 700 });
    const desk = new Desk(database, rules({ sale: {} }));
    desk.receive(one, [sale("S-1")]);
    await desk.drain();
    expect(desk.exceptions(one)).toEqual([]);
    expect(await station.rows("select id from sale")).toEqual([["S-1"]]);
  });

  test("what other lanes meet too is infrastructure: thrown, and nobody is judged", async () => {
    await using station = await open(SALE);
    await station.database.load.install();
    await slowIf(station, "true");
    const desk = new Desk(station.database, rules({ sale: {} }));
    for (const [n, of] of [one, two, three].entries()) desk.receive(of, [sale(`S-${n}`)], [sale(`T-${n}`)]);
    await expect(desk.load(desk.claims())).rejects.toMatchObject({ code: "DATABASE_BUSY" });
    expect([one, two, three].flatMap((of) => desk.exceptions(of))).toEqual([]);
    expect(await station.rows("select count(*) from waybill_passed")).toEqual([["0"]]);
  });
});
