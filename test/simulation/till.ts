import type { DatabaseSync } from "node:sqlite";
import type { Folder } from "../../src/base/folder.ts";
import { Stop } from "../../src/base/stop.ts";
import { Connection } from "../../src/database/sqlite/connection.ts";
import { sqliteDatabase } from "../../src/database/sqlite/open.ts";
import { readTerminalConfig } from "../../src/terminal/config.ts";
import { startTerminal } from "../../src/terminal/terminal.ts";
import type { Dice } from "./dice.ts";
import type { CallFaults, Life } from "./life.ts";
import type { Sale, Truth } from "./truth.ts";
import { ITEMS } from "./shape.ts";
import { prepared } from "./statements.ts";
import { tellTime } from "./time.ts";

/** The agent's own files: they survive a killed process. */
export class MemoryFolder implements Folder {
  readonly path = "memory";
  readonly #files = new Map<string, string>();
  read = async (name: string): Promise<string | null> => this.#files.get(name) ?? null;
  write = async (name: string, text: string): Promise<void> => void this.#files.set(name, text);
}

/** One life of an agent. */
export class AgentProcess {
  readonly life: Life;
  readonly #connection: Connection;
  /** Set when the start failed for good or the stop is over: its process has ended by itself. */
  ended = false;

  constructor(
    life: Life,
    path: string,
    facts: { id: string; store: string; token: string; folder: Folder; faults: CallFaults },
  ) {
    this.life = life;
    const { runtime, log } = life;
    this.#connection = new Connection(path, { busyMs: 0 });
    tellTime(this.#connection.db, runtime.clock);
    const database = life.mortal(sqliteDatabase(this.#connection, runtime), facts.faults);
    const config = readTerminalConfig({
      hub: "http://hub",
      terminal: facts.id,
      database: `sqlite:${path}`,
      token: facts.token,
      tags: { store: facts.store },
      pollMs: 200,
      waitSeconds: 5,
      timeoutMs: 5_000,
      statusMs: 60_000,
      manifestMs: 20_000,
      keepMessages: 10_000,
      // Longer than clocks jump: what is dropped by age, no restored centre can be given again, and that is as configured.
      keepDays: 10_000,
      blockedMs: 5_000,
      retry: { firstMs: 200, factor: 2, capMs: 5_000 },
    });
    const folder = life.mortal<Folder>(facts.folder, { ...facts.faults, fails: 0, answerLost: 0 }, "folder");
    startTerminal({ config, runtime, log, stop: new Stop(), open: async () => database, folder }).catch(
      (error: unknown) => {
        log.error({ error }, "terminal.hub-failed");
        this.ended = true;
      },
    );
  }

  kill(): void {
    this.life.kill();
    this.#connection.close();
  }
}

/** The till's own program: it rings up sales on a connection of its own and knows nothing of Waybill. */
export class TillProgram {
  readonly id: string;
  readonly #db: DatabaseSync;
  readonly #dice: Dice;
  readonly #truth: Truth;
  #sold = 0;

  constructor(id: string, db: DatabaseSync, dice: Dice, truth: Truth) {
    this.id = id;
    this.#db = db;
    this.#dice = dice;
    this.#truth = truth;
  }

  /** One thing that a cashier does, in one transaction. @returns what it was; null when the database was locked */
  act(poison: number): string | null {
    const dice = this.#dice;
    const own = this.#truth.of(this.id);
    try {
      prepared(this.#db, "begin immediate").run();
    } catch {
      return null;
    }
    const stocked = prepared(this.#db, "select item_id from item order by item_id")
      .all()
      .map((row) => String(row["item_id"]));
    const what = own.size > 2 ? dice.next() : 0;
    let done: { id: string; sale: Sale | null; what: string };
    if (what < 0.6 || stocked.length < ITEMS.length) done = this.#sell(stocked, dice.chance(poison));
    else if (what < 0.85) done = this.#correct(dice.pick([...own.keys()]));
    else done = this.#void(dice.pick([...own.keys()]));
    prepared(this.#db, "commit").run();
    this.#truth.committed(this.id, done.id, done.sale);
    return `${done.what} ${done.id}`;
  }

  #sell(stocked: readonly string[], poison: boolean): { id: string; sale: Sale; what: string } {
    const dice = this.#dice;
    const id = `${this.id}-${++this.#sold}`;
    const count = stocked.length === 0 ? 0 : 1 + dice.below(3);
    const total = poison ? -1 - dice.below(500) : dice.below(5_000);
    const sale: Sale = {
      total,
      rev: 1,
      amount: dice.pick(["0.10", "123456789012345678.25", "-0.005", "1e3", ""]),
      big: dice.pick([null, 9_007_199_254_740_993n, -9_223_372_036_854_775_808n, 0n]),
      note: dice.pick([null, "", "Zoë ☕", 'O\'Neil "x"\n', "\u{1F9FE}"]),
      seal: dice.pick([null, Uint8Array.of(), Uint8Array.of(0, 255, 10)]),
      lines: Array.from({ length: count }, () => ({ item: dice.pick(stocked), quantity: 1 + dice.below(4) })),
    };
    prepared(this.#db, "insert into sale values (?, ?, ?, 1, ?, ?, ?, ?, ?)").run(
      id,
      this.id,
      total,
      count,
      sale.amount,
      sale.big,
      sale.note,
      sale.seal,
    );
    for (const [at, { item, quantity }] of sale.lines.entries()) {
      prepared(this.#db, "insert into sale_line values (?, ?, ?, ?)").run(id, at + 1, item, quantity);
      this.#take(item, quantity);
    }
    return { id, sale, what: poison ? "sells (poison)" : "sells" };
  }

  #correct(id: string): { id: string; sale: Sale; what: string } {
    const before = this.#truth.of(this.id).get(id) as Sale;
    const note = this.#dice.pick([null, "", "corrected", "Ω"]);
    const total = this.#dice.chance(0.3) ? Math.abs(before.total) + 1 : before.total;
    const sale = { ...before, total, rev: before.rev + 1, note };
    prepared(this.#db, "update sale set total = ?, rev = ?, note = ? where sale_id = ?").run(total, sale.rev, note, id);
    const [first, ...rest] = sale.lines;
    if (!first || this.#dice.chance(0.5)) return { id, sale, what: "corrects" };
    prepared(this.#db, "update sale_line set quantity = quantity + 1 where sale_id = ? and line = 1").run(id);
    this.#take(first.item, 1);
    return { id, sale: { ...sale, lines: [{ ...first, quantity: first.quantity + 1 }, ...rest] }, what: "adds to" };
  }

  #void(id: string): { id: string; sale: null; what: string } {
    for (const { item, quantity } of this.#truth.of(this.id).get(id)?.lines ?? []) this.#take(item, -quantity);
    prepared(this.#db, "delete from sale_line where sale_id = ?").run(id);
    prepared(this.#db, "delete from sale where sale_id = ?").run(id);
    return { id, sale: null, what: "voids" };
  }

  #take(item: string, quantity: number): void {
    prepared(this.#db, "update item set stock = stock - ? where item_id = ?").run(quantity, item);
  }
}
