import { expect, test } from "vitest";
import { describeWith } from "../../../test/kit/needs.ts";
import { examine } from "../doctor.ts";
import { stationOn } from "./station.test-kit.ts";

describeWith("postgres", "doctor on PostgreSQL", (server) => {
  test("tables that cannot be kept in step are named, sound ones are not", async () => {
    await using station = await stationOn(server)(
      "create table loose (a int); create table sound (id int primary key)",
    );
    expect((await examine(station.url, ["loose", "sound", "nowhere"])).map(({ table, what }) => [table, what])).toEqual(
      [
        ["loose", "it has no key, so its rows cannot be told apart"],
        ["nowhere", "there is no such table"],
      ],
    );
    expect((await examine(station.url, null)).map(({ table }) => table)).toEqual(["loose"]);
  });
});
