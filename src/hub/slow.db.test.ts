import { expect, test, vi } from "vitest";
import { describeWith } from "../../test/kit/needs.ts";
import { Desk, onPostgres } from "./desk.test-kit.ts";

vi.setConfig({ testTimeout: 60_000 });

const ATTEMPTS = 3;
const LAST = 12;
const SLOW = 5;
const CONFIG = {
  tables: { sale: { direction: "up" } },
  retry: { attempts: ATTEMPTS, firstMs: 20, factor: 1, capMs: 20 },
};
const line = (seq: number): string => {
  const row = { id: `S${seq}`, qty: 1 };
  const changes = [{ table: "sale", op: "insert", key: { id: row.id }, row }];
  return JSON.stringify({ seq, at: "2026-11-23T09:00:00Z", changes });
};
/** Ends the statement as the server does when its time is up, and counts how often: a sequence is not rolled back. */
const NAP = `
  create sequence tries;
  create function nap() returns trigger language plpgsql as $$ begin
    if new.id = 'S${SLOW}' then
      perform nextval('tries');
      raise exception using errcode = 'query_canceled', message = 'canceling statement due to statement timeout';
    end if;
    return new; end $$;
  create trigger nap before insert on sale for each row execute function nap()`;

describeWith("postgres", "a message that takes too long", (server) => {
  const kinds = async (desk: Desk): Promise<readonly string[]> => {
    const { body } = await desk.call<{ events: { kind: string }[] }>("/api/events?limit=1000");
    return body.events.map(({ kind }) => kind);
  };

  test("is found among the others, tried alone, and ends dead; the breaker stays closed and all others are loaded", async () => {
    const place = await onPostgres(server)("create table sale (id varchar(40) primary key, qty integer)");
    await place.centre.run(NAP);
    const desk = await Desk.open(place, CONFIG);
    await desk.send(...Array.from({ length: LAST }, (_, n) => line(n + 1)));
    await desk.becomes(SLOW, "dead");
    await desk.becomes(LAST, "loaded");
    // What comes while it is tried, and afterwards, flows too.
    await desk.send(line(LAST + 1));
    await desk.becomes(LAST + 1, "loaded");
    expect((await desk.show(SLOW)).exception).toMatchObject({ fault: "TIMED_OUT", attempts: ATTEMPTS });
    expect(await desk.rows("select count(*) from sale")).toEqual([`${LAST}`]);
    expect(await desk.rows("select number, state from waybill_passed")).toEqual([`${SLOW} dead`]);
    const told = await kinds(desk);
    expect(told.filter((kind) => kind.startsWith("breaker"))).toEqual([]);
    expect(told.filter((kind) => kind === "dead")).toHaveLength(1);
    // Each attempt ended with a try of its own, of this message alone and with more time.
    expect(Number((await desk.rows("select last_value from tries"))[0])).toBeGreaterThanOrEqual(2 * ATTEMPTS);
  });
});
