import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { instant } from "../base/clock.ts";
import { actor, epoch, laneName, seq, splitLane, terminalId, type LaneName, type Seq } from "../base/ids.ts";
import { systemRuntime, type Random } from "../base/runtime.ts";
import type { Database } from "../database/port.ts";
import { openSqlite } from "../database/sqlite/open.ts";
import type { KeySets } from "../ledger/key-sets.ts";
import type { LedgerBytes, StoredPiece } from "../ledger/bytes.ts";
import type { OpenException } from "../ledger/open-exceptions.ts";
import type { Claim, ExceptionWrite, LateItem } from "../ledger/port.ts";
import type { Change } from "../message/change.ts";
import { createLoader } from "./loader.ts";
import type { LoadReport, Loader } from "./port.ts";
import type { Rules, TableRule } from "./rules.ts";
import { plainRule } from "./target.ts";

export const lane = (terminal: string): LaneName => laneName(terminalId(terminal), epoch("e1"));
export const halves: Random = { next: () => 0.5, bytes: (count) => new Uint8Array(count) };
/** What a lane's version grows by with those. */
export const STRIDE = 32_769;
export const NOON = instant(Date.parse("2026-11-23T12:00:00Z"));

export const rules = (
  tables: Readonly<Record<string, Partial<TableRule>>>,
  more: Partial<Omit<Rules, "tables">> = {},
): Rules => ({
  tables: new Map(Object.entries(tables).map(([source, rule]) => [source, { ...plainRule(source), ...rule }])),
  retry: { attempts: 3, firstMs: 1_000, factor: 2, capMs: 60_000, jitter: 0.5, codes: null },
  maxOpen: 10_000,
  ...more,
});

/** A real SQLite file as the central database, and a second connection to look at it. */
export class Centre implements AsyncDisposable {
  readonly database: Database;
  readonly sql: DatabaseSync;
  readonly #folder: string;

  private constructor(folder: string, database: Database, sql: DatabaseSync) {
    this.#folder = folder;
    this.database = database;
    this.sql = sql;
  }
  static async open(ddl: string): Promise<Centre> {
    const folder = mkdtempSync(join(tmpdir(), "waybill-load-"));
    const path = join(folder, "centre.db");
    const sql = new DatabaseSync(path);
    sql.exec(`pragma journal_mode = wal; pragma foreign_keys = on; ${ddl}`);
    const database = await openSqlite(`sqlite:${path}`, systemRuntime);
    await database.load.install();
    return new Centre(folder, database, sql);
  }
  /** Each row as its values in the order of the columns. */
  rows(query: string): unknown[][] {
    const statement = this.sql.prepare(query);
    statement.setReturnArrays(true);
    return statement.all() as unknown as unknown[][];
  }
  passed(): unknown[][] {
    return this.rows("select lane, number, state from waybill_passed order by lane, number");
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.database[Symbol.asyncDispose]();
    this.sql.close();
    rmSync(this.#folder, { recursive: true });
  }
}

type Known = ExceptionWrite & { due: boolean; order: LateItem["order"]; revision: Uint8Array | null };
type DeskLane = {
  lines: string[];
  parts: Map<number, string[]>;
  loaded: number;
  version: number;
  fence: number;
  known: Map<number, Known>;
};

/** As much of a ledger as the loader meets: lines in, claims out, outcomes booked. Held messages become due when nothing holds them. */
export class Desk {
  readonly lanes = new Map<LaneName, DeskLane>();
  readonly loader: Loader;
  readonly events: string[] = [];
  reports: LoadReport[] = [];
  /** How often the ledger was asked what is open of a lane. */
  asked = 0;
  /** How older lanes with open exceptions stand, in the ledger's words. */
  older = "";
  /** Routes that are paused: what a report says of them, and what a test adds or takes off. */
  readonly paused = new Set<string>();

  /** @param reads what the loader reads by, in place of all that is here */
  constructor(
    database: Pick<Database, "describe" | "load">,
    given: Rules,
    reads: (bytes: LedgerBytes) => LedgerBytes = (bytes) => bytes,
  ) {
    this.loader = createLoader({
      database,
      bytes: reads(this.bytes),
      rules: given,
      clock: { now: () => NOON, elapsed: () => 0 },
      random: halves,
    });
  }

  receive(name: LaneName, ...messages: readonly (readonly Change[] | string)[]): void {
    const into = this.lane(name);
    for (const message of messages) {
      const line = { seq: into.lines.length + 1, at: "2026-11-23T11:59:58Z", changes: message };
      into.lines.push(typeof message === "string" ? message : JSON.stringify(line));
    }
  }
  #open(name: LaneName): OpenException[] {
    return [...this.lane(name).known]
      .filter(([, known]) => known.state !== "discarded")
      .map(([number, known]) => openOf(name, number, known))
      .toSorted((a, b) => a.seq - b.seq);
  }
  receiveInParts(name: LaneName, parts: readonly (readonly Change[])[]): void {
    const into = this.lane(name);
    const number = into.lines.length + 1;
    into.lines.push("");
    into.parts.set(
      number,
      parts.map((changes, at) =>
        JSON.stringify({ seq: number, part: at + 1, more: at + 1 < parts.length, at: "2026-11-23T11:59:58Z", changes }),
      ),
    );
  }

  claims(limit = 10_000, names: readonly LaneName[] = [...this.lanes.keys()]): Claim[] {
    return names.flatMap((name) => {
      const of = this.lane(name);
      const late = [...of.known.entries()]
        .filter(([, known]) => known.due || this.#waitsForParent(of, known))
        .toSorted(([a], [b]) => a - b)
        .map(([number, known]): LateItem => ({
          ...openOf(name, number, known),
          order: known.order,
          revision: known.revision,
          probe: known.route !== null && known.due,
        }));
      const inParts = of.parts.has(of.loaded + 1) && late.length === 0;
      let through = inParts ? of.loaded + 1 : Math.min(of.lines.length, of.loaded + limit);
      for (const number of inParts ? [] : of.parts.keys())
        if (number > of.loaded) through = Math.min(through, number - 1);
      if (through === of.loaded && late.length === 0) return [];
      return [
        {
          lane: name,
          terminal: splitLane(name).terminal,
          tags: {},
          fence: ++of.fence,
          from: seq(of.loaded + 1),
          through: seq(through),
          inParts,
          version: of.version,
          late,
          open: this.#open(name).length > 0 ? this.older : null,
          unsettled: 0,
          paused: [...this.paused],
        },
      ];
    });
  }

  async load(claims: readonly Claim[]): Promise<LoadReport> {
    const report = await this.loader.load(claims);
    this.book(report);
    return report;
  }

  /** Claims and loads until nothing is due. */
  async drain(limit?: number): Promise<void> {
    for (let claims = this.claims(limit); claims.length > 0; claims = this.claims(limit)) await this.load(claims);
  }

  book(report: LoadReport): void {
    this.reports.push(report);
    for (const { route } of report.tripped) this.paused.add(route);
    for (const outcome of report.outcomes) {
      const of = this.lane(outcome.lane);
      of.loaded = outcome.loadedThrough;
      of.version = outcome.version;
      for (const number of outcome.closed) of.known.delete(number);
      for (const write of outcome.exceptions)
        of.known.set(write.seq, { ...write, due: false, order: { verb: "load" }, revision: null });
      for (const { kind, from, through } of outcome.events)
        this.events.push(`${kind} ${outcome.lane} ${from}–${through}`);
      for (const known of of.known.values()) {
        const behind = known.behind && this.lane(known.behind.lane).known.get(known.behind.seq);
        if (known.state === "held" && !this.paused.has(known.route ?? "") && (!behind || behind.state === "discarded"))
          known.due = true;
      }
    }
  }

  requeue(name: LaneName, number: number, changes: readonly Change[] | null = null): void {
    const known = this.#known(name, number);
    known.due = true;
    known.revision =
      changes && new TextEncoder().encode(JSON.stringify({ seq: number, at: "2026-11-23T11:59:58Z", changes }));
  }
  discard(name: LaneName, number: number): void {
    Object.assign(this.#known(name, number), {
      due: true,
      order: { verb: "discard", by: actor("operator:anna"), reason: "a test sale" },
    });
  }

  /** `1 dead CHECK_VIOLATED`, `2 held behind 1`, … */
  exceptions(name: LaneName): string[] {
    return [...this.lane(name).known]
      .toSorted(([a], [b]) => a - b)
      .map(([number, { state, fault, behind }]) => [number, state, behind ? `behind ${behind.seq}` : fault].join(" "));
  }
  exception(name: LaneName, number: number): ExceptionWrite {
    return this.#known(name, number);
  }
  lane(name: LaneName): DeskLane {
    let of = this.lanes.get(name);
    if (!of)
      this.lanes.set(name, (of = { lines: [], parts: new Map(), loaded: 0, version: 0, fence: 0, known: new Map() }));
    return of;
  }
  /** Held, directly or through others, behind a due message that was refused for a missing parent. */
  #waitsForParent(of: DeskLane, held: Known): boolean {
    const misses = (known: Known): boolean => known.fault === "PARENT_MISSING" && known.order.verb === "load";
    if (held.state === "retrying")
      return misses(held) && [...of.known.values()].some((known) => known.due && misses(known));
    const first = held.state === "held" && held.behind ? of.known.get(held.behind.seq) : undefined;
    return first !== undefined && ((first.due && misses(first)) || this.#waitsForParent(of, first));
  }
  #known(name: LaneName, number: number): Known {
    const known = this.lane(name).known.get(number);
    if (!known) throw new Error(`${name}/${number} is no exception`);
    return known;
  }

  /** Pieces of at most three messages, cut anywhere, so that a piece begins before and ends behind what was asked. */
  get bytes(): LedgerBytes {
    return {
      read: async (name, from, through, afterPart) => {
        const { lines, parts } = this.lane(name);
        const pieces: StoredPiece[] = [];
        for (let at = from as number; at <= through;) {
          const cut = parts.get(at);
          if (cut) {
            const rest = cut.slice(afterPart, afterPart + 2);
            if (rest.length > 0) pieces.push(piece(at, at, rest, afterPart + 1));
            break;
          }
          const first = at - ((at - 1) % 3);
          let last = first;
          while (last < first + 2 && last < lines.length && !parts.has(last + 1)) last += 1;
          const begin = [...parts.keys()].filter((number) => number >= first && number < at).at(-1) ?? first - 1;
          pieces.push(piece(begin + 1, Math.max(last, at), lines.slice(begin, Math.max(last, at)), 0));
          at = Math.max(last, at) + 1;
        }
        return pieces;
      },
      open: async (name) => {
        this.asked++;
        return { exceptions: this.#open(name), older: this.older };
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
  }
}

const piece = (from: number, through: number, lines: readonly string[], part: number): StoredPiece => ({
  from: seq(from),
  through: seq(through),
  part,
  throughPart: part === 0 ? 0 : part + lines.length - 1,
  bytes: new TextEncoder().encode(lines.map((line) => `${line}\n`).join("")),
});
const openOf = (name: LaneName, number: number, { state, fault, attempts, sets }: Known): OpenException => ({
  lane: name,
  seq: number as Seq,
  state: state === "discarded" ? "dead" : state,
  fault,
  attempts,
  sets: sets && (JSON.parse(sets) as KeySets),
});
