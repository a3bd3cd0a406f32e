import { cpSync, rmSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { tempDir } from "../kit/temp-dir.ts";
import { Chain, type ChainShape } from "./chain.ts";

/**
 * An operator gives a message up; then the ledger is set back to a copy from before that. The centre remembers the discard,
 * the till remembers its messages, and stock counted by differences shows whatever would be loaded twice.
 */
const TABLES = (rules: string): string => `
  create table sale (sale_id text primary key, qty integer not null ${rules}, note text) without rowid;
  create table stock (sku text primary key, on_hand integer not null) without rowid;
  insert into stock values ('tea', 1000);`;
const SHAPE: ChainShape = {
  till: TABLES(""),
  central: TABLES("check (qty > 0)"),
  config: {
    tables: { sale: { direction: "up" }, stock: { direction: "up", conflict: { add: ["on_hand"] } } },
    retry: { attempts: 2, firstMs: 20, factor: 1, capMs: 20 },
  },
};

type Exception = { readonly seq: number; readonly state: string };
type Copy = "before the message came" | "while it was dead" | "after the order to discard";

function sell(till: DatabaseSync, n: number, qty = 1): void {
  till.exec(`begin immediate;
    insert into sale values ('S-${n}', ${qty}, null);
    update stock set on_hand = on_hand - 1 where sku = 'tea';
    commit`);
}

test.each<Copy>(["before the message came", "while it was dead", "after the order to discard"])(
  "I3, I9: a discard followed by a ledger restored from %s converges, and nothing is loaded twice",
  { timeout: 60_000 },
  async (copy) => {
    await using dir = tempDir();
    const chain = await Chain.make(dir.path, 1, SHAPE);
    try {
      await chain.startHub();
      await chain.enrollAll();
      chain.startAgent("till-1");
      using till = chain.till("till-1");
      const sales = (): number => chain.central<{ n: number }>("select count(*) as n from sale")[0]?.n ?? 0;
      const stock = (): number => chain.central<{ on_hand: number }>("select on_hand from stock")[0]?.on_hand ?? 0;
      const exceptions = async (): Promise<readonly Exception[]> =>
        (await chain.operator<{ rows: readonly Exception[] }>("GET", "/api/exceptions?states=dead,held,discarded"))
          .rows;
      // From here on every sale is captured, and its stock counted by its difference: nothing but the refused sale holds anything.
      await chain.firstRowsSent("till-1");
      let sold = 0;
      const good = async (count: number): Promise<void> => {
        const before = sales();
        for (let i = 0; i < count; i++) sell(till, ++sold);
        await chain.until(`${count} more sales`, () => sales() === before + count);
      };
      /** The hub stops in order, so that its ledger is one whole file. */
      const keepCopy = async (): Promise<void> => {
        await chain.stopHub();
        cpSync(chain.ledger, dir.file("ledger.copy"));
        await chain.startHub();
      };

      await good(5);
      if (copy === "before the message came") await keepCopy();
      sell(till, ++sold, -1);
      await chain.until("the dead letter", async () => (await chain.overview()).dead === 1);
      till.exec(`update sale set note = 'void' where sale_id = 'S-${sold}'`);
      await chain.until("the one behind it", async () => (await chain.overview()).held === 1);
      await good(5);
      const [dead] = await exceptions();
      const lane = chain.central<{ lane: string }>("select lane from waybill_passed")[0]?.lane ?? "";
      const at = `/api/exceptions/${lane}/${dead?.seq}`;
      if (copy === "while it was dead") await keepCopy();

      await chain.operator("POST", `${at}/discard`, { reason: "rung up by mistake" });
      // What waited is free, and dead in its turn: the row that it changes will never come.
      await chain.until(
        "the discard at the centre",
        () => chain.central("select 1 from waybill_passed where state = 'discarded'").length === 1,
      );
      await chain.until("what waited", async () => (await chain.overview()).held === 0);
      if (copy === "after the order to discard") await keepCopy();
      await good(5);
      const centre = { sales: chain.central("select * from sale order by sale_id"), stock: stock() };

      await chain.stopHub();
      for (const file of ["", "-wal", "-shm"]) rmSync(`${chain.ledger}${file}`, { force: true });
      cpSync(dir.file("ledger.copy"), chain.ledger);
      await chain.startHub();
      await good(5);
      await chain.until("rest", async () => {
        const { backlog, received, held, retrying } = await chain.overview();
        return backlog === 0 && held === 0 && retrying === 0 && received > 0;
      });

      // Each good sale took one from the shelf, the one given up took none, and the centre's rows are what they were.
      expect(stock()).toBe(1000 - 20);
      expect(centre.stock).toBe(1000 - 15);
      expect(chain.central("select * from sale")).toEqual(expect.arrayContaining(centre.sales));
      const good20 = till.prepare("select * from sale where qty > 0 order by sale_id").all();
      expect(chain.central("select * from sale where qty > 0 order by sale_id")).toEqual(good20);
      expect(chain.central("select number as seq, state from waybill_passed where state = 'discarded'")).toEqual([
        { seq: dead?.seq, state: "discarded" },
      ]);
      expect(await exceptions()).toContainEqual(expect.objectContaining({ seq: dead?.seq, state: "discarded" }));
      const traced = await chain.operator<{ messages: readonly { state: string }[] }>(
        "GET",
        `/api/trace/till-1/${dead?.seq}`,
      );
      expect(traced.messages[0]?.state).toBe("discarded");
      // The till's own acknowledgement and the ledger agree again.
      const { lanes } = await chain.operator<{ lanes: readonly { receivedThrough: number; loadedThrough: number }[] }>(
        "GET",
        "/api/terminals/till-1",
      );
      expect(lanes).toHaveLength(1);
      expect(lanes[0]?.loadedThrough).toBe(lanes[0]?.receivedThrough);
      expect(chain.central("select loaded_through from waybill_lane where lane = '" + lane + "'")).toEqual([
        { loaded_through: lanes[0]?.loadedThrough },
      ]);
    } finally {
      await chain.stop();
    }
  },
);
