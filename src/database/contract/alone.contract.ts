import { describe, expect, test } from "vitest";
import { openDatabase } from "../open.ts";
import type { Database } from "../port.ts";
import { SHOP, type OpenStation } from "./station.ts";

/** The promises of `OpenOptions.alone`, in its words. */
export function aloneContract(engine: string, open: OpenStation): void {
  const opened = (url: string, alone: string): Promise<Database> => openDatabase(url, { busyMs: 200, alone });

  describe(`opening a database alone: ${engine}`, () => {
    test("whoever comes second is refused and told who has it; the first is unharmed", async () => {
      await using station = await open(SHOP);
      await using first = await opened(station.url, "agent till-1");
      await expect(opened(station.url, "agent till-2")).rejects.toMatchObject({
        code: "ALREADY_RUNNING",
        message: expect.stringMatching(/till-1|process \d+/) as unknown,
      });
      expect(await first.read.row("store", { id: 14 })).toEqual({ id: 14, name: "Harbour" });
    });
    test("when the first is closed the next may open it", async () => {
      await using station = await open(SHOP);
      await (await opened(station.url, "agent till-1"))[Symbol.asyncDispose]();
      await using next = await opened(station.url, "agent till-2");
      expect(await next.read.row("store", { id: 15 })).toBeNull();
    });
    test("others who do not ask to be alone are not kept out", async () => {
      await using station = await open(SHOP);
      await using _ = await opened(station.url, "agent till-1");
      await using other = await openDatabase(station.url, {});
      expect(await other.read.row("store", { id: 14 })).not.toBeNull();
    });
  });
}
