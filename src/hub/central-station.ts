import { WaybillError } from "../base/errors.ts";
import { newUlid, type Runtime } from "../base/runtime.ts";
import {
  epoch,
  laneName,
  terminalId,
  type Epoch,
  type LaneName,
  type Seq,
  type TerminalId,
  type UpdateId,
} from "../base/ids.ts";
import type { CaptureState, Database, LaneMark, PackedLine, PackOutcome } from "../database/port.ts";
import type { Claim } from "../ledger/port.ts";
import type { Strand, UpdateEntry } from "../ledger/update-log.ts";
import type { Loader, LoadReport, Rehearsal, RehearsalOrder } from "../load/port.ts";
import { Survey, type SurveyOrder, type Surveyed } from "../database/survey.ts";
import type { Row } from "../message/change.ts";
import { centreKey, namesOf, terminalView, type ComparedTerminal, type SideShape } from "./reconcile/plan.ts";
import type { HubSettings } from "./settings.ts";
import { TransactionSplit, type Aims, type CapturedChange, type DownTables } from "./split.ts";
import { Witness } from "./witness.ts";
import { Turn } from "../base/turn.ts";

import type { Central, CentralState, Outgoing, Refusals, SnapshotOrder } from "./central.ts";

/** The terminal's part of the name of the central lane; terminals cannot have it, for theirs have an epoch of their own. */
const CENTRAL = terminalId("central");
/** Packed lines taken at once. */
const READ_BYTES = 4 * 1024 * 1024;
/** Rows of a snapshot put into the outbox in one short transaction. */
const PAGE_ROWS = 500;
/** Longest write lock of ours while packing. */
const LOCK_MS = 50;
/** Forwarded messages the centre keeps, so that a restored ledger can be given them again. */
const KEEP_MESSAGES = 10_000;
/** A centre that commits faster than it is packed is packed this often at one go. */
const MOST_PACKS = 100;
/** Stored messages are dropped in steps of this many, not one by one. */
const FLUSH_EVERY = 200;

export type CentralParts = {
  readonly database: Database;
  /** Where the loader reads stored lines; closed with the station. */
  readonly bytes: AsyncDisposable;
  readonly loader: Loader;
  readonly settings: Pick<HubSettings, "rules" | "down" | "limits" | "publisher">;
  readonly runtime: Pick<Runtime, "clock" | "random">;
};

export class CentralStation implements Central {
  readonly #parts: CentralParts;
  readonly #tables: DownTables;
  readonly #turn = new Turn();
  readonly #witness: Witness;
  #opened: { refused: Refusals } | null = null;
  #source: LaneName = laneName(CENTRAL, epoch("none"));
  #packedThrough = 0 as Seq;
  #announcedThrough = 0 as Seq;
  /** Something may wait in the outbox although `changed` says nothing new. */
  #unpacked = true;
  #resyncing = false;
  #remade: readonly string[] = [];
  #flushedAt = 0 as Seq;

  constructor(parts: CentralParts) {
    this.#parts = parts;
    this.#witness = new Witness(parts.database.capture);
    this.#tables = new Map(parts.settings.down.map((table) => [table.target, table]));
  }

  open(): Promise<{ refused: Refusals }> {
    return this.#turn.run(() => this.#open());
  }

  load(claims: readonly Claim[]): Promise<LoadReport> {
    return this.#use(() => this.#parts.loader.load(claims));
  }

  marks(lanes: readonly LaneName[]): Promise<readonly LaneMark[]> {
    return this.#use(() => this.#parts.database.load.marks(lanes));
  }

  rehearse(order: RehearsalOrder): Promise<Rehearsal> {
    return this.#use(() => this.#parts.loader.rehearse(order));
  }

  state(): Promise<CentralState> {
    return this.#use(async () => {
      const state = await this.#capture.state();
      this.#took(state);
      return {
        source: this.#source,
        packedThrough: state.packedThrough,
        forwardedThrough: state.loadedThrough,
        announcedThrough: state.receivedThrough,
        oldest: state.oldest,
        ...(await this.#witness.words()),
      };
    });
  }

  outgoing(source: LaneName, after: Seq, aims: Aims): Promise<Outgoing> {
    return this.#use(async () => {
      await this.#pack(after);
      if (this.#source !== source || this.#announcedThrough < after) return { kind: "moved" };
      if (this.#packedThrough === after) return { kind: "none", busy: this.#resyncing };
      return this.#split(after, await this.#wholeMessages(after), aims);
    });
  }

  announce(source: LaneName, forwarded: Seq, through: Seq, ids: UpdateId): Promise<void> {
    return this.#use(async () => {
      await this.#witness.ids(ids);
      const marks = { epoch: epochOf(source), receivedThrough: through, loadedThrough: forwarded };
      await this.#capture.acknowledge(marks);
      const drop = forwarded - this.#flushedAt >= FLUSH_EVERY;
      if (drop) this.#flushedAt = forwarded;
      await this.#capture.flush({ keep: drop ? KEEP_MESSAGES : Number.MAX_SAFE_INTEGER, since: null });
      if (this.#source === source && through > this.#announcedThrough) this.#announcedThrough = through;
    });
  }

  rememberTerm(term: number): Promise<void> {
    return this.#use(() => this.#witness.term(term));
  }

  rememberHead(head: UpdateId): Promise<void> {
    return this.#use(() => this.#witness.head(head));
  }

  rememberStrand(strand: Strand): Promise<void> {
    return this.#use(() => this.#witness.strand(strand));
  }

  beginEpoch(source: LaneName, forwarded: Seq): Promise<void> {
    return this.#use(async () => {
      const { epoch: present, receivedThrough } = await this.#capture.state();
      if (present === epochOf(source) && receivedThrough > forwarded) await this.#capture.rewind(forwarded);
      await this.#beginEpoch(epochOf(source));
    });
  }

  snapshot(orders: readonly SnapshotOrder[], to: "each" | "everyone"): Promise<void> {
    return this.#use(async () => {
      const aims = to === "everyone" ? [null] : orders.map(({ terminal }) => `terminal:${terminal}`);
      for (const aim of aims) for (const table of this.#tables.keys()) await this.#capture.resync(table, aim);
      this.#resyncing = this.#tables.size > 0;
      // Remembered after it was ordered: a crash in between orders it twice, which does no harm; never not at all.
      await this.#capture.rememberAll(orders.map(markOf));
    });
  }

  unsnapped(of: readonly SnapshotOrder[]): Promise<readonly TerminalId[]> {
    return this.#use(async () => {
      const marks = of.map(markOf);
      const known = await this.#capture.recallAll(marks.map(([name]) => name));
      const without = of.filter((_, at) => known.get(marks[at]?.[0] ?? "") !== marks[at]?.[1]);
      return without.map(({ terminal }) => terminal);
    });
  }

  snapshotting(): Promise<boolean> {
    return this.#use(async () => this.#resyncing);
  }

  shapes(tables: readonly string[]): Promise<ReadonlyMap<string, SideShape>> {
    return this.#use(async () => {
      const shapes = (await this.#parts.database.describe()).tables;
      const known = tables.flatMap((table) => shapes.get(table) ?? []);
      return new Map(
        known.map(({ name, key, columns }) => [
          name,
          {
            key,
            columns: columns
              .filter(({ generated }) => !generated)
              .map((column) => ({
                name: column.name,
                kind: column.kind,
                ...(column.collation === undefined ? {} : { collation: column.collation }),
              })),
          },
        ]),
      );
    });
  }

  async survey(order: SurveyOrder, terminal: ComparedTerminal): Promise<Surveyed> {
    const { settings, database } = this.#parts;
    const { target } = namesOf(settings, order.table);
    const shape = (await this.shapes([target])).get(target);
    if (!shape) throw new WaybillError("TABLE_UNKNOWN", `table ${target} is not at the centre`);
    const survey = new Survey(order, { table: target, row: terminalView(settings, order.table, terminal) });
    while (!survey.done) await this.#use(() => survey.step(database.read, shape.key));
    return survey.result();
  }

  rowsFor(table: string, terminal: ComparedTerminal, keys: readonly Row[]): Promise<readonly (Row | null)[]> {
    const { settings, database } = this.#parts;
    const { target } = namesOf(settings, table);
    const view = terminalView(settings, table, terminal);
    return this.#use(async () => {
      const rows: (Row | null)[] = [];
      for (const key of keys) {
        const row = await database.read.row(target, centreKey(settings, table, key));
        rows.push(row && view(row));
      }
      return rows;
    });
  }

  packed(): Promise<{ readonly source: LaneName; readonly through: Seq }> {
    return this.#use(async () => {
      for (let packs = 0; packs < MOST_PACKS; packs++) {
        await this.#packOnce();
        if (!this.#unpacked) break;
      }
      return { source: this.#source, through: this.#packedThrough };
    });
  }

  resend(table: string, terminal: TerminalId, keys: readonly Row[]): Promise<number> {
    const { settings } = this.#parts;
    const named = keys.map((key) => centreKey(settings, table, key));
    return this.#use(async () => {
      const written = await this.#capture.resend(namesOf(settings, table).target, named, `terminal:${terminal}`);
      this.#unpacked = true;
      return written;
    });
  }

  close(): Promise<void> {
    return this.#turn.run(async () => {
      await using _bytes = this.#parts.bytes;
      await using _database = this.#parts.database;
    });
  }

  get #capture(): Database["capture"] {
    return this.#parts.database.capture;
  }

  #use<T>(work: () => Promise<T>): Promise<T> {
    return this.#turn.run(async () => {
      await this.#open();
      return work();
    });
  }

  async #open(): Promise<{ refused: Refusals }> {
    if (this.#opened) return this.#opened;
    const { database, settings } = this.#parts;
    await database.load.install();
    const tables = [...this.#tables.keys()];
    const report = await this.#capture.install({ role: "central", tables, quietGapMs: settings.publisher.quietGapMs });
    const state = await this.#capture.state();
    if (state.epoch === null) await this.#beginEpoch(null);
    else this.#took(state);
    this.#opened = { refused: report.refused };
    return this.#opened;
  }

  /** Another process may begin one at the same time: then its epoch is the present one. */
  async #beginEpoch(from: Epoch | null): Promise<void> {
    const { clock, random } = this.#parts.runtime;
    await this.#capture.beginEpoch(epoch(newUlid(clock.now(), random)), from);
    this.#flushedAt = 0 as Seq;
    this.#unpacked = true;
    this.#took(await this.#capture.state());
  }

  #took(state: CaptureState): void {
    this.#stands(state);
    this.#resyncing = state.resyncing.length > 0;
    this.#unpacked ||= state.outboxRows > 0;
  }

  #stands(at: Pick<PackOutcome, "epoch" | "packedThrough" | "receivedThrough">): void {
    if (at.epoch !== null) this.#source = laneName(CENTRAL, at.epoch);
    this.#packedThrough = at.packedThrough;
    this.#announcedThrough = at.receivedThrough;
  }

  /** Numbers what is committed; then, when all before was forwarded, adds one page of a snapshot: live changes never queue behind it. */
  async #pack(after: Seq): Promise<void> {
    if ((await this.#capture.changed()) || this.#unpacked) await this.#packOnce();
    if (!this.#resyncing || this.#packedThrough !== after) return;
    this.#resyncing = (await this.#capture.resyncStep(PAGE_ROWS)) === "more";
    await this.#packOnce();
  }

  async #packOnce(): Promise<void> {
    const { partBytes, valueBytes } = this.#parts.settings.limits;
    const outcome = await this.#capture.pack({ partBytes, valueBytes, lockMs: LOCK_MS });
    this.#stands(outcome);
    this.#unpacked = outcome.more;
    if (outcome.remade.length === 0) return;
    this.#remade = [...this.#remade, ...outcome.remade];
    this.#took(await this.#capture.state()); // a remade table is sent again: pages wait
  }

  /** Lines after `after`, ending with a message that is complete. */
  async #wholeMessages(after: Seq): Promise<readonly PackedLine[]> {
    const lines = [...(await this.#capture.lines({ seq: after, part: 0 }, READ_BYTES))];
    let last = lines.at(-1);
    while (last?.more) {
      const complete = lines.findLastIndex((line) => !line.more);
      if (complete >= 0) return lines.slice(0, complete + 1);
      // One message larger than a reading: it is forwarded as a whole, so it is read to its end.
      lines.push(...(await this.#capture.lines({ seq: last.seq, part: last.part }, READ_BYTES)));
      if (lines.at(-1) === last) break;
      last = lines.at(-1);
    }
    return lines;
  }

  #split(after: Seq, lines: readonly PackedLine[], aims: Aims): Outgoing {
    const first = lines[0];
    const last = lines.at(-1);
    if (!first || !last) return { kind: "none", busy: true };
    const read = lines.map(readLine);
    const asked = new Set(read.flatMap(({ changes }) => changes.flatMap(({ aim }) => (aim ? [aim] : []))));
    const missing = [...asked].filter((aim) => !aims.has(aim));
    if (missing.length > 0) return { kind: "aims", aims: missing };
    const entries: UpdateEntry[] = [];
    const unknown = new Map<string, number>();
    for (const message of byMessage(read)) {
      const split = new TransactionSplit(
        { source: this.#source, ...message },
        this.#tables,
        aims,
        this.#parts.settings.limits.partBytes,
      );
      for (const change of message.changes) split.add(change);
      entries.push(...split.entries());
      for (const [table, count] of split.unknown) unknown.set(table, (unknown.get(table) ?? 0) + count);
    }
    const remade = this.#remade;
    this.#remade = [];
    return {
      kind: "entries",
      after,
      through: last.seq,
      entries,
      unknown,
      tooLarge: read.flatMap((line) => (line.tooLarge === null ? [] : [line.tooLarge])),
      remade,
    };
  }
}

const epochOf = (source: LaneName): Epoch => epoch(source.slice(CENTRAL.length + 1));

const markOf = ({ terminal, since }: SnapshotOrder): [name: string, mark: string] => [`snapshot:${terminal}`, since];

type ReadLine = {
  readonly seq: Seq;
  readonly at: string;
  readonly trace: string | null;
  readonly changes: readonly CapturedChange[];
  readonly tooLarge: string | null;
};

/** A line as our own packing wrote it (contracts: "Messages up", with `origin` and `aim` on a change). */
function readLine(line: PackedLine): ReadLine {
  const given = JSON.parse(Buffer.from(line.bytes).toString("utf8")) as {
    readonly trace?: string;
    readonly changes?: readonly CapturedChange[];
    readonly refused?: string;
    readonly table?: string;
    readonly key?: unknown;
  };
  const tooLarge = given.refused === undefined ? null : `${given.table} ${JSON.stringify(given.key)}`;
  return { seq: line.seq, at: line.at, trace: given.trace ?? null, changes: given.changes ?? [], tooLarge };
}

function byMessage(lines: readonly ReadLine[]): (Omit<ReadLine, "changes"> & { changes: CapturedChange[] })[] {
  const messages: (Omit<ReadLine, "changes"> & { changes: CapturedChange[] })[] = [];
  for (const line of lines) {
    const last = messages.at(-1);
    if (last?.seq === line.seq) for (const change of line.changes) last.changes.push(change);
    else messages.push({ ...line, changes: [...line.changes] });
  }
  return messages;
}
