import { copyFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, onTestFinished, test } from "vitest";
import { tempDir } from "../../test/kit/temp-dir.ts";
import { actor, termOf, terminalId, updateId } from "../base/ids.ts";
import { systemRuntime } from "../base/runtime.ts";
import { openDatabase } from "../database/open.ts";
import { openSqliteLedger } from "../ledger/sqlite/ledger.ts";
import type { Ledger, Terminal } from "../ledger/port.ts";
import type { Loader } from "../load/port.ts";
import type { Change } from "../message/change.ts";
import { silentLog } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import { audiencesOf } from "../wire/manifest.ts";
import { CentralStation } from "./central.ts";
import { Publisher } from "./publisher.ts";
import type { AudienceOf, DownTable } from "./settings.ts";

const NO_LOADER: Loader = {
  rehearse: async () => ({ fault: null, notes: [], rows: [] }),
  load: () => Promise.reject(new Error("nothing is loaded here")),
};
const byStore: AudienceOf = (row) => (row["store"] === null ? "all" : `store:${String(row["store"])}`);

/** A centre and a ledger in files, with the publisher between them; each part can be ended and opened anew. */
class Place {
  readonly folder: string;
  readonly rung: string[] = [];
  audience: AudienceOf = byStore;
  centre!: DatabaseSync;
  ledger!: Ledger;
  publisher!: Publisher;
  #central!: CentralStation;

  constructor(folder: string) {
    this.folder = folder;
  }

  static async make(): Promise<Place> {
    const dir = tempDir();
    const place = new Place(dir.path);
    {
      using centre = new DatabaseSync(place.file("central.db"));
      centre.exec(
        "pragma journal_mode = wal; create table price (item text primary key, price text not null, store integer)",
      );
    }
    await place.open();
    onTestFinished(async () => {
      await place.close();
      await dir[Symbol.asyncDispose]();
    });
    return place;
  }

  file(name: string): string {
    return `${this.folder}/${name}`;
  }

  async open(): Promise<void> {
    const table: DownTable = {
      target: "price",
      source: "price",
      rename: new Map(),
      ignore: new Set(),
      audience: (row) => this.audience(row),
      onLeave: "delete",
    };
    const database = await openDatabase(`sqlite:${this.file("central.db")}`, systemRuntime);
    const limits = {
      bodyBytes: 1e6,
      partBytes: 1e5,
      valueBytes: 1e5,
      lines: 100,
      backlogBytes: 1e9,
      freeDiskBytes: 0,
      ledgerBytes: null,
    };
    const rules = {
      tables: new Map(),
      retry: { attempts: 1, firstMs: 1, factor: 1, capMs: 1, jitter: 0, codes: null },
      maxOpen: 1,
    };
    const settings = { rules, down: [table], limits, publisher: { pollMs: 5, quietGapMs: 1_000 } };
    this.ledger = await openSqliteLedger(this.file("ledger.db"), systemRuntime);
    this.#central = new CentralStation({
      database,
      bytes: this.ledger.bytes,
      loader: NO_LOADER,
      settings,
      runtime: systemRuntime,
    });
    await this.#central.open();
    this.centre = new DatabaseSync(this.file("central.db"));
    this.publisher = new Publisher({
      central: this.#central,
      ledger: this.ledger,
      settings: settings.publisher,
      runtime: systemRuntime,
      log: silentLog,
      metrics: new Metrics(),
      onPublished: (audiences) => this.rung.push(...audiences),
    });
  }

  async close(): Promise<void> {
    this.centre.close();
    await this.#central.close();
    await this.ledger[Symbol.asyncDispose]();
  }

  /** Both stations closed meanwhile, as for a restore. */
  async whileClosed(work: () => Promise<void>): Promise<void> {
    await this.close();
    await work();
    await this.open();
  }

  async publish(): Promise<void> {
    for (let turns = 0; await this.publisher.turn(); turns++)
      if (turns > 200) throw new Error("the publisher does not come to rest");
  }

  async enroll(name: string, tags: Record<string, string>): Promise<Terminal> {
    const token = Buffer.from(name.padEnd(32, "."));
    await this.ledger.terminals.createToken(token, {
      terminal: terminalId(name),
      tags,
      validMs: 60_000,
      by: actor("operator:anna"),
    });
    return this.ledger.terminals.enroll(token, terminalId(name), tags, Buffer.from(name.padEnd(32, "+")));
  }

  /** What a terminal reads from the start: `op item price`, in order. */
  async read(name: string, tags: Record<string, string>, from = updateId(0)): Promise<string[]> {
    const read: string[] = [];
    for (let after = from; ;) {
      const page = await this.ledger.updates.read(audiencesOf(name, tags), terminalId(name), after, 1_000_000);
      for (const { changes } of page.updates) {
        for (const { op, key, row } of JSON.parse(Buffer.from(changes).toString("utf8")) as Change[]) {
          read.push([op, key["item"], ...(row ? [row["price"]] : [])].join(" "));
        }
      }
      if (!page.more) return read;
      after = page.through;
    }
  }
  async notes(): Promise<string[]> {
    return (await this.ledger.trail.recent(100, null)).map(({ kind }) => kind);
  }
}

/** What a terminal has after it applied what it read. */
function rowsAfter(read: readonly string[]): Record<string, string> {
  const rows: Record<string, string> = {};
  for (const [op, item = "", price = ""] of read.map((each) => each.split(" "))) {
    if (op === "delete") delete rows[item];
    else rows[item] = price;
  }
  return rows;
}

describe("a change at the centre", () => {
  test("is in the update log for its audience, in order, and whoever waits for that audience is woken", async () => {
    const place = await Place.make();
    place.centre.exec("insert into price values ('tea', '2.00', 1), ('milk', '1.00', null)");
    await place.publish();
    place.centre.exec("update price set price = '3.00' where item = 'tea'");
    place.centre.exec("delete from price where item = 'milk'");
    await place.publish();
    expect(await place.read("t1", { store: "1" })).toEqual([
      "upsert tea 2.00",
      "upsert milk 1.00",
      "upsert tea 3.00",
      "delete milk",
    ]);
    expect(await place.read("t2", { store: "2" })).toEqual(["upsert milk 1.00", "delete milk"]);
    expect(new Set(place.rung)).toEqual(new Set(["store:1", "all"]));
  });

  test("that came from a terminal is withheld from it", async () => {
    const place = await Place.make();
    place.centre.exec(
      "begin; insert into waybill_gate values ('price', 't1'); insert into price values ('tea', '2.00', 1); delete from waybill_gate; commit",
    );
    await place.publish();
    expect(await place.read("t1", { store: "1" })).toEqual([]);
    expect(await place.read("t3", { store: "1" })).toEqual(["upsert tea 2.00"]);
  });

  test("waits while its audience cannot be told, and is published when that is mended", async () => {
    const place = await Place.make();
    place.audience = () => {
      throw new Error("no such tag");
    };
    place.centre.exec("insert into price values ('tea', '2.00', 1)");
    await expect(place.publish()).rejects.toThrow(/TRANSFORM_FAILED.*no such tag/s);
    place.audience = byStore;
    await place.publish();
    expect(await place.read("t1", { store: "1" })).toEqual(["upsert tea 2.00"]);
  });

  test("is forwarded once, also by two publishers at a time and by one that starts again", async () => {
    const place = await Place.make();
    for (let n = 0; n < 20; n++) {
      place.centre.exec(`insert into price values ('item${n}', '${n}', 1)`);
      await Promise.all([place.publish(), place.publish()]);
      if (n % 5 === 0) await place.whileClosed(async () => undefined);
    }
    expect(await place.read("t1", { store: "1" })).toEqual(
      Array.from({ length: 20 }, (_, n) => `upsert item${n} ${n}`),
    );
  });
});

describe("a terminal that is enrolled", () => {
  const many = (place: Place): void =>
    place.centre.exec(`insert into price with recursive n(i) as (select 1 union all select i + 1 from n where i < 1200)
      select 'item' || i, i, 1 + i % 2 from n`);

  test("gets the rows of its audiences as they are, and nobody else does", async () => {
    const place = await Place.make();
    many(place);
    await place.publish();
    const before = (await place.read("t9", { store: "1" })).length;
    place.publisher.snapshot(await place.enroll("t1", { store: "1" }));
    await place.publish();
    const read = await place.read("t1", { store: "1" });
    expect(read.length - before).toBe(600);
    expect(Object.keys(rowsAfter(read.slice(before)))).toHaveLength(600);
    expect(await place.read("t9", { store: "1" })).toHaveLength(before);
  });

  test("gets them although the hub was killed before its snapshot began", async () => {
    const place = await Place.make();
    many(place);
    await place.publish();
    await place.enroll("t1", { store: "1" });
    await place.whileClosed(async () => undefined);
    await place.publish();
    expect((await place.read("t1", { store: "1" })).length).toBe(1_200);
    await place.whileClosed(async () => undefined);
    await place.publish();
    expect((await place.read("t1", { store: "1" })).length, "and not again").toBe(1_200);
  });

  test("shares one snapshot with others that come at the same time", async () => {
    const place = await Place.make();
    many(place);
    await place.publish();
    const names = Array.from({ length: 6 }, (_, n) => `t${n}`);
    for (const name of names) place.publisher.snapshot(await place.enroll(name, { store: "1" }));
    await place.publish();
    expect(await place.read("t0", { store: "1" })).toHaveLength(1_200);
    expect(await place.read("t5", { store: "2" })).toHaveLength(1_200);
  });

  test("gets changes that are made while its snapshot runs in their order", async () => {
    const place = await Place.make();
    many(place);
    await place.publish();
    place.publisher.snapshot(await place.enroll("t1", { store: "1" }));
    for (let n = 0; await place.publisher.turn(); n++) {
      place.centre.exec(n < 3 ? `update price set price = 'new${n}' where item in ('item2', 'item998')` : "select 1");
    }
    const rows = rowsAfter(await place.read("t1", { store: "1" }));
    expect([rows["item2"], rows["item998"], Object.keys(rows).length]).toEqual(["new2", "new2", 600]);
  });
});

describe("a restore", () => {
  const centreHas = (place: Place): Record<string, string> =>
    Object.fromEntries(
      place.centre
        .prepare("select item, price from price")
        .all()
        .map((row) => [String(row["item"]), String(row["price"])]),
    );
  const copy = async (place: Place, name: string, from: string, to: string): Promise<void> => {
    for (const end of ["", "-wal"])
      await copyFile(`${place.file(name)}${from}${end}`, `${place.file(name)}${to}${end}`).catch(() => undefined);
  };
  /** The price of tea went from 1 upwards, and everything since it was 1 is forgotten by one of the two. */
  async function restored(name: "central.db" | "ledger.db", prices: readonly number[]): Promise<Place> {
    const place = await Place.make();
    place.centre.exec("insert into price values ('tea', '1', 1)");
    await place.publish();
    await place.whileClosed(() => copy(place, name, "", ".backup"));
    for (const price of prices) {
      place.centre.exec(`update price set price = '${price}' where item = 'tea'`);
      await place.publish();
    }
    await place.whileClosed(() => copy(place, name, ".backup", ""));
    return place;
  }

  test("of the centre is noticed: a new epoch begins, and terminals come to the centre's rows", async () => {
    const place = await restored("central.db", [2]);
    // This change gets the number of the one that was lost: by numbers alone it would count as forwarded.
    place.centre.exec("insert into price values ('milk', '9', 1)");
    await place.publish();
    expect(await place.notes()).toContain("centre restored");
    expect(rowsAfter(await place.read("t1", { store: "1" }))).toEqual(centreHas(place));
    place.centre.exec("update price set price = '4'");
    await place.publish();
    expect(rowsAfter(await place.read("t1", { store: "1" }))).toEqual({ tea: "4", milk: "4" });
  });

  test("of the ledger is noticed: what it lost is forwarded again", async () => {
    const place = await restored("ledger.db", [2, 3]);
    await place.publish();
    expect(await place.notes()).toContain("ledger restored");
    // Terminals' cursors hold the ids it gave since the copy: none of them is given for anything else.
    expect(termOf(await place.ledger.updates.head())).toBe(1);
    expect(await place.read("t1", { store: "1" })).toEqual(["upsert tea 1", "upsert tea 2", "upsert tea 3"]);
    await place.whileClosed(async () => undefined);
    await place.publish();
    expect((await place.notes()).filter((kind) => kind === "ledger restored")).toHaveLength(1);
  });

  test("I9: of the ledger, twice from one copy, gives no id a second time", async () => {
    const place = await restored("ledger.db", [2, 3]);
    await place.publish();
    const shown = await place.ledger.updates.head();
    await place.whileClosed(() => copy(place, "ledger.db", ".backup", ""));
    place.centre.exec("update price set price = '4' where item = 'tea'");
    await place.publish();
    // A terminal whose cursor stands where the log was before gets what it has not seen.
    expect(await place.read("t1", { store: "1" }, shown)).toContain("upsert tea 4");
  });

  test("I9: of the ledger to just before what was last forwarded gives no id a second time, without an alarm", async () => {
    const place = await restored("ledger.db", [2]);
    place.centre.exec("update price set price = '3' where item = 'tea'");
    await place.publish();
    expect(await place.notes()).not.toContain("ledger restored");
    expect(termOf(await place.ledger.updates.head())).toBe(1);
    expect(await place.read("t1", { store: "1" })).toEqual(["upsert tea 1", "upsert tea 2", "upsert tea 3"]);
  });

  test("I9: of ledger and centre together, which a terminal's cursor shows, sends all rows in a new epoch", async () => {
    const place = await Place.make();
    place.centre.exec("insert into price values ('tea', '1', 1)");
    await place.publish();
    const both = async (from: string, to: string): Promise<void> => {
      for (const name of ["central.db", "ledger.db"]) await copy(place, name, from, to);
    };
    await place.whileClosed(() => both("", ".backup"));
    place.centre.exec("update price set price = '2' where item = 'tea'");
    await place.publish();
    const shown = await place.ledger.updates.head();
    await place.whileClosed(() => both(".backup", ""));
    await place.ledger.updates.beginTerm(shown, "a terminal showed it");
    await place.publish();
    expect(await place.notes()).toContain("centre restored");
    expect(await place.read("t1", { store: "1" }, shown)).toContain("upsert tea 1");
    await place.whileClosed(async () => undefined);
    await place.publish();
    expect((await place.notes()).filter((kind) => kind === "centre restored")).toHaveLength(1);
  });
});
