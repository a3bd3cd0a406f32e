import { copyFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, onTestFinished, test } from "vitest";
import { tempDir } from "../../test/kit/temp-dir.ts";
import { actor, TERM_STEP, seq, termOf, terminalId, updateId, type UpdateId } from "../base/ids.ts";
import { systemRuntime } from "../base/runtime.ts";
import { openDatabase } from "../database/open.ts";
import type { CaptureState, Database } from "../database/port.ts";
import { openSqliteLedger } from "../ledger/sqlite/ledger.ts";
import type { Ledger, Terminal } from "../ledger/port.ts";
import type { Loader } from "../load/port.ts";
import type { Change } from "../message/change.ts";
import { silentLog } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import { until } from "../../test/kit/until.ts";
import { audiencesOf } from "../wire/manifest.ts";
import { CentralStation } from "./central-station.ts";
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
    this.ledger = await openSqliteLedger(this.file("ledger.db"), systemRuntime);
    ({ central: this.#central, publisher: this.publisher } = await this.hub());
    await this.#central.open();
    this.centre = new DatabaseSync(this.file("central.db"));
  }

  /** What one process has of it all, over the one ledger. */
  async hub(
    seenAs = (database: Database): Database => database,
  ): Promise<{ readonly central: CentralStation; readonly publisher: Publisher }> {
    const table: DownTable = {
      target: "price",
      source: "price",
      rename: new Map(),
      ignore: new Set(),
      audience: (row) => this.audience(row),
      onLeave: "delete",
    };
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
    const central = new CentralStation({
      database: seenAs(await openDatabase(`sqlite:${this.file("central.db")}`, systemRuntime)),
      bytes: this.ledger.bytes,
      loader: NO_LOADER,
      settings,
      runtime: systemRuntime,
    });
    const publisher = new Publisher({
      central,
      ledger: this.ledger,
      settings: settings.publisher,
      runtime: systemRuntime,
      log: silentLog,
      metrics: new Metrics(),
      onPublished: (audiences) => this.rung.push(...audiences),
    });
    return { central, publisher };
  }

  /** Gives what was committed its numbers, without forwarding it. */
  async number(): Promise<void> {
    await this.#central.packed();
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

  async publish(publisher = this.publisher): Promise<void> {
    for (let turns = 0; await publisher.turn(); turns++)
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

describe("two processes over one centre", () => {
  test("that open it for the first time at once begin one epoch, and nothing is forwarded twice", async () => {
    const place = await Place.make();
    place.centre.exec("update waybill_capture set epoch = null");
    place.centre.exec("insert into price values ('tea', '2.00', 1)");
    const one = await place.hub();
    let begun = "";
    const two = await place.hub((database) => {
      const state = async (): Promise<CaptureState> => {
        const none = await database.capture.state();
        await place.publish(one.publisher);
        begun = (await one.central.state()).source;
        return none;
      };
      let looks = 0;
      const { capture } = database;
      return { ...database, capture: { ...capture, state: () => (looks++ === 0 ? state() : capture.state()) } };
    });
    await place.publish(two.publisher);
    expect(await place.read("t1", { store: "1" })).toEqual(["upsert tea 2.00"]);
    for (const { central } of [one, two]) expect((await central.state()).source).toBe(begun);
    expect(await place.notes()).not.toContain("ledger restored");
    for (const { central } of [one, two]) await central.close();
  });

  test("one that stood still while another began a new epoch tells the centre nothing of the old one", async () => {
    const place = await Place.make();
    const late = await place.hub();
    const { source } = await late.central.state();
    for (const price of [1, 2, 3]) {
      place.centre.exec(`insert or replace into price values ('tea', '${price}', 1)`);
      await place.number();
    }
    await place.publish();
    await (await place.hub()).central.beginEpoch(source, seq(0));
    place.centre.exec("update price set price = '4'");
    await place.number();
    await late.central.announce(source, seq(0), seq(3), updateId(3));
    await late.central.beginEpoch(source, seq(0));
    expect(await late.central.outgoing(source, seq(3), new Map())).toEqual({ kind: "moved" });
    await place.publish();
    expect((await place.read("t1", { store: "1" })).at(-1)).toBe("upsert tea 4");
    expect(await place.notes()).not.toContain("centre restored");
    expect(termOf(await place.ledger.updates.head())).toBe(0);
    await late.central.close();
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
    // The ledger may have been set back, too, behind what terminals have seen: no id of theirs is given for anything else.
    expect(termOf(await place.ledger.updates.head())).toBe(1);
    expect(rowsAfter(await place.read("t1", { store: "1" }))).toEqual(centreHas(place));
    place.centre.exec("update price set price = '4'");
    await place.publish();
    expect(rowsAfter(await place.read("t1", { store: "1" }))).toEqual({ tea: "4", milk: "4" });
  });

  test("I9: of the centre is noticed though it has numbered more since than was ever forwarded, and all of that is sent", async () => {
    const place = await restored("central.db", [2, 3]);
    for (const item of ["milk", "rice", "salt"]) {
      place.centre.exec(`insert into price values ('${item}', '9', 1)`);
      await place.number();
    }
    place.centre.exec("delete from price where item = 'tea'");
    await place.number();
    await place.publish();
    expect(await place.notes()).toContain("centre restored");
    expect(rowsAfter(await place.read("t1", { store: "1" }))).toEqual(centreHas(place));
    await place.whileClosed(async () => undefined);
    await place.publish();
    expect((await place.notes()).filter((kind) => kind === "centre restored")).toHaveLength(1);
  });

  test("of the ledger is noticed: what it lost is forwarded again", async () => {
    const place = await restored("ledger.db", [2, 3]);
    expect(await place.ledger.updates.attested(), "until then nobody else may be given an id").toBe(false);
    await place.publish();
    expect(await place.ledger.updates.attested()).toBe(true);
    expect(await place.notes()).toContain("ledger restored");
    // Terminals' cursors hold the ids it gave since the copy: none of them is given for anything else.
    expect(termOf(await place.ledger.updates.head())).toBe(1);
    expect(await place.read("t1", { store: "1" })).toEqual(["upsert tea 1", "upsert tea 2", "upsert tea 3"]);
    await place.whileClosed(async () => undefined);
    await place.publish();
    expect((await place.notes()).filter((kind) => kind === "ledger restored")).toHaveLength(1);
  });

  test("I9: of the ledger that lost only what came through the API is noticed, and gives none of those ids again", async () => {
    const place = await Place.make();
    place.centre.exec("insert into price values ('tea', '1', 1)");
    await place.publish();
    const viaApi = async (item: string): Promise<UpdateId | undefined> => {
      const change = { table: "price", op: "upsert", key: { item }, row: { item, price: "7" } };
      const changes = Buffer.from(JSON.stringify([change]));
      const entry = { audience: "all", tx: item, at: systemRuntime.clock.now(), origin: null, trace: null, count: 1 };
      const [id] = await place.ledger.updates.publish([{ ...entry, changes }], actor("publisher:erp"));
      await place.whileClosed(async () => undefined); // or a second later
      await place.publish();
      return id;
    };
    await viaApi("milk");
    expect(await place.notes()).not.toContain("ledger restored");
    await place.whileClosed(() => copy(place, "ledger.db", "", ".backup"));
    await place.publish();
    expect(await place.notes(), "nothing was lost").not.toContain("ledger restored");
    const shown = await viaApi("rice");
    await place.whileClosed(() => copy(place, "ledger.db", ".backup", ""));
    await place.publish();
    expect(await place.notes()).toContain("ledger restored");
    expect(termOf(await place.ledger.updates.head())).toBe(1);
    await viaApi("salt");
    expect(await place.read("t1", { store: "1" }, shown)).toEqual(["upsert salt 7"]);
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

  type CursorOf = { readonly after: UpdateId; readonly strand: string | null };
  /** How far a terminal comes that reads all there is. */
  async function cursorNow(place: Place): Promise<CursorOf> {
    for (let after = updateId(0); ;) {
      const page = await place.ledger.updates.read(["all", "store:1"], terminalId("t1"), after, 1_000_000);
      if (!page.more) return { after: page.through, strand: page.strand };
      after = page.through;
    }
  }
  const goesOn = async (place: Place, { after, strand }: CursorOf): Promise<boolean> => {
    const read = place.ledger.updates.read(["all", "store:1"], terminalId("t1"), after, 1_000_000, strand);
    return read.then(
      () => true,
      () => false,
    );
  };
  const price = async (place: Place, item: string, value: number): Promise<void> => {
    place.centre.exec(`insert or replace into price values ('${item}', '${value}', 1)`);
    await place.publish();
  };

  test("I9: of ledger and centre to moments at which they agree: no cursor of what was forgotten leads on, all others do", async () => {
    const place = await Place.make();
    await price(place, "tea", 1);
    const before = await cursorNow(place);
    await place.whileClosed(async () => {
      for (const name of ["central.db", "ledger.db"]) await copy(place, name, "", ".backup");
    });
    await price(place, "tea", 2);
    const forgotten = await cursorNow(place);
    await place.whileClosed(async () => {
      for (const name of ["central.db", "ledger.db"]) await copy(place, name, ".backup", "");
    });
    await place.publish();
    expect(await goesOn(place, forgotten), "the id was not given again yet").toBe(false);
    await price(place, "milk", 3);
    expect((await cursorNow(place)).after, "given again").toBe(forgotten.after);
    expect(await goesOn(place, forgotten)).toBe(false);
    await price(place, "rice", 4);
    expect(await goesOn(place, forgotten)).toBe(false);
    expect(await goesOn(place, before)).toBe(true);
    expect(await place.notes(), "nobody but such a terminal can know").not.toContain("centre restored");
  });

  test("I9: of the ledger alone: cursors of what it lost lead on, as far as the centre was told", async () => {
    const place = await Place.make();
    await price(place, "tea", 1);
    await copy(place, "ledger.db", "", ".backup");
    await price(place, "tea", 2);
    const sameRun = await cursorNow(place);
    await place.whileClosed(async () => undefined);
    await price(place, "tea", 3);
    const nextRun = await cursorNow(place);
    await place.whileClosed(() => copy(place, "ledger.db", ".backup", ""));
    await place.publish();
    for (const cursor of [sameRun, nextRun]) expect(await goesOn(place, cursor)).toBe(true);
    expect(await goesOn(place, { ...nextRun, after: updateId(nextRun.after + 1) }), "never told").toBe(false);
    expect(await goesOn(place, { ...nextRun, strand: sameRun.strand }), "it had another name").toBe(false);
  });

  test("I9: of the ledger to before its first id: cursors of what it lost lead on", async () => {
    const place = await Place.make();
    await place.publish();
    expect(await place.ledger.updates.head()).toBe(0);
    await copy(place, "ledger.db", "", ".backup");
    await price(place, "tea", 1);
    const cursor = await cursorNow(place);
    await place.whileClosed(() => copy(place, "ledger.db", ".backup", ""));
    await place.publish();
    expect(await goesOn(place, cursor)).toBe(true);
    expect(await goesOn(place, { ...cursor, after: updateId(cursor.after + 1) }), "never told").toBe(false);
  });

  test("I9: of the centre together with the ledger, to a later moment: it vouches for what it had heard of, and no more", async () => {
    const place = await Place.make();
    await price(place, "tea", 1);
    await copy(place, "ledger.db", "", ".backup");
    await price(place, "tea", 2);
    const known = await cursorNow(place);
    await copy(place, "central.db", "", ".backup");
    await price(place, "tea", 3);
    const forgotten = await cursorNow(place);
    expect(forgotten.strand).toBe(known.strand);
    await place.whileClosed(async () => {
      for (const name of ["central.db", "ledger.db"]) await copy(place, name, ".backup", "");
    });
    await place.publish();
    expect(await goesOn(place, known)).toBe(true);
    expect(await goesOn(place, forgotten)).toBe(false);
    // It was told of more since, under another name: that says nothing of what went before.
    await price(place, "milk", 4);
    const since = await cursorNow(place);
    await place.whileClosed(() => copy(place, "ledger.db", ".backup", ""));
    await place.publish();
    for (const cursor of [known, since]) expect(await goesOn(place, cursor)).toBe(true);
    expect(await goesOn(place, forgotten), "after the second restore").toBe(false);
  });

  test("I9: of the ledger, after a terminal began a term of ids under a publisher at work: cursors of what it lost lead on", async () => {
    const place = await Place.make();
    await price(place, "tea", 1);
    await place.ledger.updates.beginTerm(updateId(TERM_STEP - 1), "a terminal showed it");
    place.publisher.recheck();
    await price(place, "tea", 2);
    await copy(place, "ledger.db", "", ".backup");
    await price(place, "tea", 3);
    const cursor = await cursorNow(place);
    expect(termOf(cursor.after)).toBe(1);
    await place.whileClosed(() => copy(place, "ledger.db", ".backup", ""));
    await place.publish();
    expect(await goesOn(place, cursor)).toBe(true);
  });

  test("I9: a term that a terminal begins between two looks at the log: what was given before it ends where it ended", async () => {
    const place = await Place.make();
    await price(place, "tea", 1);
    const before = await place.ledger.updates.head();
    await place.ledger.updates.beginTerm(updateId(TERM_STEP - 1), "a terminal showed it");
    await price(place, "tea", 2);
    const { central } = await place.hub();
    const [first] = (await central.state()).strands;
    expect(first?.through).toBe(before);
    await central.close();
  });

  test("I9: of the centre to a moment of another history, with as many numbers, is noticed by the strand it never heard of", async () => {
    const place = await Place.make();
    await price(place, "tea", 1);
    await place.whileClosed(async () => {
      for (const name of ["central.db", "ledger.db"]) await copy(place, name, "", ".backup");
    });
    await price(place, "milk", 2);
    place.centre.exec("delete from price where item = 'tea'");
    await place.publish();
    await place.whileClosed(async () => {
      await copy(place, "central.db", "", ".other");
      for (const name of ["central.db", "ledger.db"]) await copy(place, name, ".backup", "");
    });
    await price(place, "rice", 3);
    await place.whileClosed(() => copy(place, "central.db", ".other", ""));
    await place.publish();
    expect(await place.notes()).toContain("centre restored");
    const rows = rowsAfter(await place.read("t1", { store: "1" }));
    expect(rows, "the deletion, too, that this log had never forwarded").toEqual({ ...centreHas(place), rice: "3" });
    await place.whileClosed(async () => undefined);
    await place.publish();
    expect((await place.notes()).filter((kind) => kind === "centre restored")).toHaveLength(1);
  });

  test("a ledger that cannot be told of its strand for long is not taken for one of another history", async () => {
    const place = await Place.make();
    await price(place, "tea", 1);
    const { attest } = place.ledger.updates;
    let failures = 0;
    const busy: Ledger["updates"]["attest"] = async () => Promise.reject(new Error(`busy ${++failures}`));
    await place.whileClosed(async () => undefined);
    Object.assign(place.ledger.updates, { attest: busy });
    for (let n = 0; n < 250; n++) await expect(place.publisher.turn()).rejects.toThrow("busy");
    Object.assign(place.ledger.updates, { attest });
    await place.whileClosed(async () => undefined);
    await price(place, "tea", 2);
    expect(await place.notes()).not.toContain("centre restored");
    expect(termOf(await place.ledger.updates.head())).toBe(0);
  });

  test("I9: a terminal of another history gets all rows, although the hub is killed before they were ordered", async () => {
    const place = await Place.make();
    await place.enroll("t1", { store: "1" });
    await price(place, "tea", 1);
    await place.publish();
    const { head } = await place.ledger.updates.beginElsewhere(terminalId("t1"), updateId(99));
    await place.whileClosed(async () => undefined);
    await place.publish();
    expect(await place.read("t1", { store: "1" }, head)).toEqual(["upsert tea 1"]);
    await place.whileClosed(async () => undefined);
    await place.publish();
    expect(await place.read("t1", { store: "1" }, head), "and not again").toHaveLength(1);
  });

  /** Both are copied at one moment, set back to it, or only the centre of them, and a terminal shows how far it had come. */
  async function bothRestored(centreAt: "as the ledger" | "later"): Promise<{ place: Place; shown: UpdateId }> {
    const place = await Place.make();
    place.centre.exec("insert into price values ('tea', '1', 1)");
    await place.publish();
    await place.whileClosed(() => copy(place, "ledger.db", "", ".backup"));
    if (centreAt === "later") {
      place.centre.exec("insert into price values ('milk', '1', 1)");
      await place.publish();
    }
    await place.whileClosed(() => copy(place, "central.db", "", ".backup"));
    place.centre.exec("update price set price = '2' where item = 'tea'");
    await place.publish();
    const shown = await place.ledger.updates.head();
    await place.whileClosed(async () => {
      for (const name of ["central.db", "ledger.db"]) await copy(place, name, ".backup", "");
    });
    await place.ledger.updates.beginTerm(shown, "a terminal showed it");
    return { place, shown };
  }

  test.each(["as the ledger", "later"] as const)(
    "I9: of ledger and centre together, the centre %s, which a terminal's cursor shows, sends all rows once",
    async (centreAt) => {
      const { place, shown } = await bothRestored(centreAt);
      await place.publish();
      expect(await place.notes()).toContain("all rows again");
      expect(await place.read("t1", { store: "1" }, shown)).toContain("upsert tea 1");
      expect(rowsAfter(await place.read("t1", { store: "1" }))).toEqual(centreHas(place));
      await place.whileClosed(async () => undefined);
      await place.publish();
      expect((await place.notes()).filter((kind) => kind === "all rows again")).toHaveLength(1);
    },
  );

  test("I9: of ledger and centre together, which a terminal shows while the publisher is at work, sends all rows too", async () => {
    const { place, shown } = await bothRestored("as the ledger");
    await place.publish();
    const later = updateId(shown + TERM_STEP * 3);
    await place.ledger.updates.beginTerm(later, "a terminal that was away showed it");
    const told = async (): Promise<number> => (await place.notes()).filter((kind) => kind === "all rows again").length;
    await until(async () => (await place.publish(), (await told()) === 2), { what: "the rows are sent again" });
    expect(await place.read("t1", { store: "1" }, later)).toContain("upsert tea 1");
  });

  test("I9: of ledger and centre together sends all rows also when the hub is killed before the centre heard of the term", async () => {
    const { place, shown } = await bothRestored("later");
    const remember = (): Promise<void> => Promise.reject(new Error("killed"));
    const killed = await place.hub((database) => ({ ...database, capture: { ...database.capture, remember } }));
    await expect(killed.publisher.turn()).rejects.toThrow("killed");
    await killed.central.close();
    await place.publish();
    expect(await place.read("t1", { store: "1" }, shown)).toContain("upsert tea 1");
  });
});
