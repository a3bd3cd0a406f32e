import { Client } from "pg";
import { expect, test } from "vitest";
import { describeWith } from "../../../test/kit/needs.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { effect, SHOP } from "../contract/station.ts";
import type { Applied, Database, Effect } from "../port.ts";
import { openPostgres } from "./open.ts";
import { stationOn, type PostgresStation } from "./station.test-kit.ts";

const sale = (id: string, row: Effect["row"] = { quantity: 1 }, kind: Effect["kind"] = "insert"): Effect =>
  effect(kind, "sale", { sale_id: id }, row);
const apply = (database: Database, ...effects: Effect[]): Promise<Applied> =>
  database.load.transaction((tx) => tx.apply(effects));
const codes = ({ refused }: Applied): string[] => refused.map(({ code }) => code);

/** Each fault class by errors that a real server was brought to give; constraints of rows are in the load contract. */
describeWith("postgres", "what PostgreSQL refuses, by class", (server) => {
  const open = stationOn(server);
  const ready = async (): Promise<PostgresStation> => {
    const station = await open(SHOP);
    await station.database.load.install();
    return station;
  };
  /** A person without rights in the station's database. */
  async function roleIn(station: PostgresStation, more: string): Promise<AsyncDisposable & { readonly url: string }> {
    const name = new URL(station.url).pathname.slice(1);
    await station.run(`create role ${name} login ${more}; grant usage on schema public to ${name}`);
    const url = new URL(station.url);
    url.username = name;
    return {
      url: url.href,
      [Symbol.asyncDispose]: () => station.run(`drop owned by ${name}; drop role ${name}`),
    };
  }

  test("refused: a right that was taken away, a table and a column that are gone", async () => {
    await using station = await ready();
    await using role = await roleIn(station, "");
    await station.run(`grant select, insert on all tables in schema public to ${new URL(role.url).username}`);
    await using database = await openPostgres(role.url);
    expect(codes(await apply(database, sale("S-1")))).toEqual([]);
    await station.run(`revoke insert on sale from ${new URL(role.url).username}`);
    expect(codes(await apply(database, sale("S-2"), sale("S-3")))).toEqual(["PRIVILEGE_MISSING", "PRIVILEGE_MISSING"]);
    await station.run(`grant insert on sale to ${new URL(role.url).username}; alter table sale drop column quantity`);
    expect(codes(await apply(database, sale("S-4")))).toEqual(["COLUMN_UNKNOWN"]);
    await station.run("drop table sale cascade");
    expect(codes(await apply(database, sale("S-5", {})))).toEqual(["TABLE_UNKNOWN"]);
  });

  test("refused: what a trigger of the application raises, also by what it lacks itself", async () => {
    await using station = await ready();
    await station.run(`
      create function mind() returns trigger language plpgsql as $$ begin
        if new.receipt = 'raise' then raise exception 'the till is closed'; end if;
        if new.receipt = 'table' then insert into nowhere values (1); end if;
        if new.receipt = 'column' then update store set colour = 1; end if;
        return new; end $$;
      create trigger mind before insert on sale for each row execute function mind()`);
    const refused = await apply(
      station.database,
      ...["raise", "table", "column", "fine"].map((receipt) => sale(receipt, { receipt })),
    );
    expect(codes(refused)).toEqual(["ROW_REFUSED", "TABLE_UNKNOWN", "COLUMN_UNKNOWN"]);
  });

  test("perhaps one row's doing: a lock, a statement that takes too long, a deadlock", async () => {
    await using station = await ready();
    await station.run("insert into sale (sale_id, quantity) values ('A', 1), ('B', 1)");
    await using database = await openPostgres(station.url, { busyMs: 200, statementMs: 400 });
    await using other = await clientOf(station);
    await other.client.query("begin; update sale set quantity = 2 where sale_id = 'A'");
    const slow = { code: "DATABASE_BUSY", facts: { oneStatement: true } };
    await expect(apply(database, sale("A", { quantity: 3 }, "update"))).rejects.toMatchObject(slow);
    await other.client.query("rollback");
    expect(await apply(database, sale("A", { quantity: 3 }, "update"))).toEqual({ refused: [], absentDeletes: 0 });

    await station.run(`
      create function nap() returns trigger language plpgsql as $$ begin perform pg_sleep(20); return new; end $$;
      create trigger nap before insert on sale for each row execute function nap()`);
    await expect(apply(database, sale("C"))).rejects.toMatchObject(slow);
    await station.run("drop trigger nap on sale");

    // Each holds the row that the other wants; ours is the one that looks for deadlocks first.
    await using patient = await openPostgres(station.url, { busyMs: 60_000 });
    await other.client.query("set deadlock_timeout = '1min'; begin; update sale set quantity = 5 where sale_id = 'B'");
    const crossed = patient.load.transaction(async (tx) => {
      await tx.apply([sale("A", { quantity: 4 }, "update")]);
      const waiting = other.client.query("update sale set quantity = 5 where sale_id = 'A'");
      waiting.catch(() => undefined);
      return tx.apply([sale("B", { quantity: 4 }, "update")]);
    });
    await expect(crossed).rejects.toMatchObject({ ...slow, facts: { sqlState: "40P01" } });
    await other.client.query("rollback");
  });

  test("infrastructure: the server went away, lets nobody more in, or takes no writes", async () => {
    await using station = await ready();
    await using database = await openPostgres(station.url);
    const gone = database.load.transaction(async (tx) => {
      await tx.apply([sale("A")]);
      await station.run(
        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and state = 'idle in transaction' and datname = current_database()",
      );
      return tx.apply([sale("B")]);
    });
    await expect(gone).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
    expect(await station.rows("select count(*) from sale")).toEqual([["0"]]);
    expect(codes(await apply(database, sale("A")))).toEqual([]); // the next use begins a new session

    await using role = await roleIn(station, "connection limit 0");
    await expect(openPostgres(role.url)).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });

    await station.run(
      `alter database ${new URL(station.url).pathname.slice(1)} set default_transaction_read_only = on`,
    );
    await using reading = await openPostgres(station.url, { random: systemRuntime.random });
    await expect(apply(reading, sale("C"))).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
    await station.run("set default_transaction_read_only = off");
  });
});

async function clientOf(station: PostgresStation): Promise<AsyncDisposable & { readonly client: Client }> {
  const client = new Client({ connectionString: station.url });
  await client.connect();
  return { client, [Symbol.asyncDispose]: () => client.end() };
}
