import { expect, test } from "vitest";
import { describeWith } from "../../../test/kit/needs.ts";
import { SHOP } from "../contract/station.ts";
import { openDatabase } from "../open.ts";
import { stationOn } from "./station.test-kit.ts";

describeWith("postgres", "a PostgreSQL database opened alone", (server) => {
  const open = stationOn(server);
  const opened = (url: string, alone: string) => openDatabase(url, { busyMs: 200, alone });

  test("a session that broke takes its lock again, unless another was quicker", async () => {
    await using station = await open(SHOP);
    await using first = await opened(station.url, "agent till-1");
    const cut = (who: string): Promise<unknown> =>
      station.rows(
        `select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'waybill ${who}'`,
      );
    const look = (): Promise<unknown> => first.read.row("store", { id: 14 });

    await cut("agent till-1");
    await expect.poll(look).toEqual({ id: 14, name: "Harbour" }); // the use that finds the loss may fail
    await expect(opened(station.url, "agent till-2")).rejects.toMatchObject({ code: "ALREADY_RUNNING" });

    await cut("agent till-1");
    await using second = await opened(station.url, "agent till-2");
    expect(await second.read.row("store", { id: 14 })).not.toBeNull();
    await expect.poll(() => look().catch((thrown: unknown) => thrown)).toMatchObject({ code: "ALREADY_RUNNING" });
    await cut("agent till-2");
    await expect.poll(look).toEqual({ id: 14, name: "Harbour" });
  });
});
