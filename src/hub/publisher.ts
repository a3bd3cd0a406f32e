import { backoffMs, type BackoffPolicy } from "../base/backoff.ts";
import { asWaybillError } from "../base/errors.ts";
import {
  SYSTEM,
  termOf,
  updateId,
  updateIdOf,
  type LaneName,
  type Seq,
  type TerminalId,
  type UpdateId,
} from "../base/ids.ts";
import { newUlid, type Runtime } from "../base/runtime.ts";
import type { Ledger, Terminal } from "../ledger/port.ts";
import type { LostIds, Strand, UpdateEntry } from "../ledger/update-log.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { untraced, type Tracing } from "../observe/tracing.ts";
import { WELL, degraded, type Health } from "../observe/health.ts";
import { audiencesOf } from "../wire/manifest.ts";
import type { Central, CentralState, Outgoing, SnapshotOrder } from "./central.ts";
import type { HubSettings } from "./settings.ts";
import { tellForwarded } from "./spans.ts";
import { Wake } from "../base/wake.ts";

const RETRY: BackoffPolicy = { firstMs: 200, factor: 2, capMs: 30_000 };
/** From this many waiting terminals on, a snapshot goes to everyone: each row once, instead of once a terminal. */
const SHARED_FROM = 4;
/** Aims remembered between looks; a snapshot of one terminal needs one. */
const REMEMBERED_AIMS = 1_000;
const TERMINALS_PAGE = 1_000;

/** How often it is looked how far the log goes, for others add to it as well: publishers by the API, terminals that show a restore. */
const HEAD_MS = 1_000;

/** The centre's lane, the last number of it that the update log has, and the term of the log's ids. */
type Place = { readonly source: LaneName; readonly forwarded: Seq; readonly term: number };

export type PublisherParts = {
  readonly central: Central;
  readonly ledger: Pick<Ledger, "updates" | "terminals" | "trail">;
  readonly settings: HubSettings["publisher"];
  readonly runtime: Pick<Runtime, "clock" | "timers" | "random">;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Without it nothing is traced. */
  readonly tracing?: Tracing;
  /** Called after entries for these audiences became readable in the update log. */
  readonly onPublished: (audiences: readonly string[]) => void;
  /** True while the centre is to be left alone; without it never. */
  readonly paused?: () => boolean;
};

/**
 * Forwards what the centre's own lane holds into the update log, by number and by compare-and-set: killed anywhere, it
 * goes on behind the last number the log has; raced by another, it starts again from there. It never skips: a fault
 * stops it (and is shown) until it passes.
 *
 * Terminals' cursors hold ids of the log, so a restored log must not give one of them a second time, for something else. The
 * centre is the witness: it is told of each batch before it is forwarded, and of each term before it begins.
 */
export class Publisher {
  readonly #parts: PublisherParts;
  readonly #wake: Wake;
  /** Where the ledger is, once it was compared with the centre; null: compare first. */
  #at: Place | null = null;
  readonly #waiting = new Map<TerminalId, SnapshotOrder>();
  readonly #aims = new Map<string, ReadonlySet<string>>();
  #unsure = false;
  /** As far as the log was seen to go; null: not since it was compared. */
  #head: UpdateId | null = null;
  #headAt = 0;
  #failures = 0;
  /** Under which name the log gives ids; null: another is to be drawn. */
  #strand: string | null = null;
  #health: Health = WELL;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
    this.#wake = new Wake(parts.runtime.timers);
  }

  get health(): Health {
    return this.#health;
  }

  /** Another may have published, or terminals may have come, unseen by this process: the next look compares first. */
  recheck(): void {
    this.#unsure = true;
    this.#wake.ring();
  }

  /** Something may have been committed at the centre. */
  wake(): void {
    this.#wake.ring();
  }

  /** The terminal (new, set up anew, or in another audience) gets the rows of its audiences as they are. A crash forgets nobody. */
  snapshot(terminal: Terminal): void {
    this.#waiting.set(terminal.id, orderOf(terminal));
    this.#aims.delete(`terminal:${terminal.id}`);
    this.#wake.ring();
  }

  /** Until `stop` is raised; then what is under way is finished. Never rejects. */
  async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const waitMs = this.#parts.paused?.() ? this.#parts.settings.pollMs : await this.#guarded();
      if (waitMs > 0) await this.#wake.wait(waitMs, stop);
    }
  }

  /** One look: compares, orders a waiting snapshot, forwards what there is. True when another look will find more. */
  async turn(): Promise<boolean> {
    const { metrics, runtime, ledger, central, tracing = untraced } = this.#parts;
    const started = runtime.clock.elapsed();
    const from = runtime.clock.now();
    if (this.#unsure) this.#at = null;
    this.#unsure = false;
    const at = (this.#at ??= await this.#compared());
    if (!(await this.#headStands(at))) return this.#compareNext();
    if (this.#waiting.size > 0) await this.#orderSnapshots();
    const outgoing = await this.#outgoing(at);
    if (outgoing.kind === "none") return outgoing.busy;
    if (outgoing.kind === "moved") return this.#compareNext();
    const ids = updateId((await ledger.updates.head()) + outgoing.entries.length);
    // A terminal has begun another term since the last look: the centre is told where the one before ended, first.
    if (termOf(ids) !== at.term) return this.#compareNext();
    await central.announce(at.source, outgoing.after, outgoing.through, ids);
    if (!(await ledger.updates.forward(at.source, outgoing.after, outgoing.through, outgoing.entries))) {
      this.#parts.log.warn({ source: at.source, after: outgoing.after }, "publisher.lost-race");
      return this.#compareNext();
    }
    this.#at = { ...at, forwarded: outgoing.through };
    if (outgoing.entries.length > 0) this.#parts.onPublished(audiencesIn(outgoing.entries));
    if (tracing.on)
      tellForwarded(tracing, runtime.random, outgoing.entries, at.source, { from, to: runtime.clock.now() });
    await this.#tellOf(outgoing, at.source);
    metrics.add("waybill_updates_forwarded_total", outgoing.entries.length, {});
    metrics.observe("waybill_publish_seconds", (runtime.clock.elapsed() - started) / 1000, {});
    return true;
  }

  /** @returns milliseconds until the next look; 0: at once */
  async #guarded(): Promise<number> {
    const { log, runtime, settings } = this.#parts;
    try {
      const more = await this.turn();
      this.#failures = 0;
      this.#health = WELL;
      return more ? 0 : settings.pollMs;
    } catch (thrown) {
      const error = asWaybillError(thrown);
      this.#failures++;
      this.#at = null; // whatever happened, the next look compares first
      this.#strand = null;
      const waitMs = settings.pollMs + backoffMs(Math.min(this.#failures, 32), RETRY, runtime.random);
      this.#health = degraded(`publishing waits: ${error.code}`);
      log.error({ error, failures: this.#failures, retryInMs: waitMs }, "publisher.failed");
      return waitMs;
    }
  }

  /** Something is not as it was when ledger and centre were compared. */
  #compareNext(): true {
    this.#at = null;
    return true;
  }

  /** The centre's look, with the audiences of snapshots' terminals told to it when it asks. */
  async #outgoing({ source, forwarded }: Place): Promise<Exclude<Outgoing, { kind: "aims" }>> {
    for (;;) {
      const outgoing = await this.#parts.central.outgoing(source, forwarded, this.#aims);
      if (outgoing.kind !== "aims") return outgoing;
      if (this.#aims.size + outgoing.aims.length > REMEMBERED_AIMS) this.#aims.clear();
      for (const aim of outgoing.aims) this.#aims.set(aim, await this.#belongs(aim));
    }
  }

  async #belongs(aim: string): Promise<ReadonlySet<string>> {
    const terminal = await this.#parts.ledger.terminals.get(aim.slice("terminal:".length) as TerminalId);
    return new Set(terminal?.state === "enrolled" ? audiencesOf(terminal.id, terminal.tags) : []);
  }

  async #compared(): Promise<Place> {
    const at = await this.#compare();
    await this.#beginStrand();
    this.#head = null;
    return at;
  }

  /**
   * From here on ids are given under a name that no other history of this log has: both stores may have been set back to moments
   * at which they agree, and nothing but the terminals' cursors would show it. The centre hears of it first.
   */
  async #beginStrand(): Promise<void> {
    const { central, ledger, runtime } = this.#parts;
    const last = (await ledger.updates.strands()).at(-1);
    const goesOn = this.#strand !== null && last?.name === this.#strand;
    const name = goesOn && this.#strand !== null ? this.#strand : newUlid(runtime.clock.now(), runtime.random);
    if (!goesOn) await central.rememberStrand({ first: updateId((await ledger.updates.head()) + 1), name });
    await ledger.updates.attest(name);
    this.#strand = name;
  }

  /**
   * The centre hears how far the log goes, for the day on which the log is set back and has lost what came through the API alone.
   * False: it ends before where it was seen to, or a terminal has begun another term. Then it was set back already, and is compared.
   */
  async #headStands({ term }: Place): Promise<boolean> {
    const { central, ledger, runtime } = this.#parts;
    const now = runtime.clock.elapsed();
    if (this.#head !== null && now - this.#headAt < HEAD_MS) return true;
    const head = await ledger.updates.head();
    if (termOf(head) !== term || (this.#head !== null && head < this.#head)) return false;
    if (this.#head === null || head > this.#head) await central.rememberHead(head);
    this.#head = head;
    this.#headAt = now;
    return true;
  }

  /**
   * Ledger and centre must agree before anything is forwarded. The ledger has more than the centre was ever told of, or gave ids under a
   * name of which it never heard: the centre was restored. It has less, or ends before an id that the centre was told of: the ledger was, or whoever told the centre was killed before
   * it forwarded. Its term is above what the centre was told: both may have been. None is passed over in silence.
   */
  async #compare(): Promise<Place> {
    const { central, ledger } = this.#parts;
    const state = await central.state();
    const { source } = state;
    const forwarded = await ledger.updates.forwarded(source);
    const head = await ledger.updates.head();
    const term = termOf(head);
    const strand = (await ledger.updates.strands()).findLast(({ first }) => first <= head); // a later one was not used yet
    const isUnheard = strand !== undefined && state.strands.every(({ name }) => name !== strand.name);
    if (forwarded > state.announcedThrough || isUnheard) return this.#centreRestored(state, forwarded, head);
    if (term > state.term) await this.#rowsAgain(source);
    const isBehind = forwarded < state.announcedThrough || term !== state.term || head < state.told;
    const lost = lostIds(state, strand, head);
    const at = { source, term: isBehind ? await this.#forwardAgain(state, forwarded, head, lost) : term };
    await this.#findUnsnapped();
    if (forwarded + 1 >= state.oldest) return { ...at, forwarded };
    return { ...at, forwarded: await this.#missing(source, forwarded, state.oldest) };
  }

  /**
   * A new epoch of the centre's lane, and a new term of ids: the ledger may have been restored with it, and have given fewer ids than
   * terminals have seen. In this order: killed anywhere before the new epoch, the next comparison finds the same and does it all again.
   */
  async #centreRestored(state: CentralState, forwarded: Seq, head: UpdateId): Promise<Place> {
    const { central, ledger, log } = this.#parts;
    const { source } = state;
    log.error({ source, forwarded }, "publisher.centre-restored");
    await this.#note(
      "centre restored",
      `${forwarded} updates of ${source} were forwarded, the centre shows fewer or others; a new epoch begins`,
    );
    // Rows went back in time: everybody gets them as they are now.
    await central.snapshot([], "everyone");
    const term = await this.#beginTerm(Math.max(state.term, termOf(head)) + 1, "the centre was restored");
    await central.beginEpoch(source, forwarded);
    await this.#findUnsnapped();
    const { source: now } = await central.state();
    return { source: now, forwarded: await ledger.updates.forwarded(now), term };
  }

  /**
   * The log's term was begun by a terminal that showed ids of which the log knows nothing: the ledger was restored. The centre perhaps
   * as well, to another moment, and nothing but the rows of the terminals would show it. Ordered before the centre is told of the
   * term: killed in between, the next comparison finds the same.
   */
  async #rowsAgain(source: LaneName): Promise<void> {
    const { central, log } = this.#parts;
    log.error({ source }, "publisher.rows-again");
    await this.#note(
      "all rows again",
      "terminals have seen updates that the log does not know; the centre may have been restored with the ledger, so every table is sent as it is",
    );
    await central.snapshot([], "everyone");
  }

  /**
   * What the log lacks is forwarded again, under ids above all that may have been given: those stand in terminals' cursors. When it
   * lacks no more than what was about to be forwarded, it may as well be a crash, and no alarm is raised. The trail is written first:
   * a ledger that takes nothing just now costs no term. @returns the term
   */
  async #forwardAgain(state: CentralState, forwarded: Seq, head: UpdateId, lost: readonly LostIds[]): Promise<number> {
    const { log } = this.#parts;
    const { source, forwardedThrough: told, announcedThrough: announced } = state;
    if (forwarded < told) {
      log.error({ source, forwarded, told }, "publisher.ledger-restored");
      await this.#note(
        "ledger restored",
        `the centre was told that updates through ${told} of ${source} are in the log, which has ${forwarded}; they are forwarded again`,
      );
    } else if (head < state.head) {
      log.error({ source, head, told: state.head }, "publisher.ledger-restored");
      await this.#note(
        "ledger restored",
        `the centre was told that the log goes through update ${state.head}, and it ends at ${head}; what was published in between through the API is lost`,
      );
    } else if (forwarded < announced)
      await this.#note("forwarding again", `updates of ${source} through ${announced}, the log has ${forwarded}`);
    const term = Math.max(state.term + 1, termOf(head));
    return this.#beginTerm(term, "the centre was told of more than the log has", lost);
  }

  /** The centre hears of it first: its word tells a restored log that it is behind. Ids of it have another name. @returns the term */
  async #beginTerm(term: number, why: string, lost: readonly LostIds[] = []): Promise<number> {
    const { central, ledger } = this.#parts;
    this.#strand = null;
    await central.rememberTerm(term);
    await ledger.updates.beginTerm(updateId(updateIdOf(term, 0) - 1), why, lost);
    return term;
  }

  async #missing(source: LaneName, forwarded: Seq, oldest: Seq): Promise<Seq> {
    const { central, ledger, log } = this.#parts;
    const through = (oldest - 1) as Seq;
    log.error({ source, from: forwarded + 1, through }, "publisher.updates-missing");
    await this.#note(
      "updates missing",
      `${forwarded + 1}…${through} of ${source} are no longer kept at the centre; all tables are sent again`,
    );
    await central.snapshot([], "everyone");
    return (await ledger.updates.forward(source, forwarded, through, [])) ? through : ledger.updates.forwarded(source);
  }

  /** Terminals whose snapshot a crash or a restored centre kept from being ordered. */
  async #findUnsnapped(): Promise<void> {
    const { terminals } = this.#parts.ledger;
    let after: TerminalId | null = null;
    for (;;) {
      const page: readonly Terminal[] = await terminals.list(TERMINALS_PAGE, after);
      const orders = page.filter(({ state }) => state === "enrolled").map(orderOf);
      const without = new Set(await this.#parts.central.unsnapped(orders));
      for (const order of orders) if (without.has(order.terminal)) this.#waiting.set(order.terminal, order);
      after = page.at(-1)?.id ?? null;
      if (page.length < TERMINALS_PAGE || after === null) return;
    }
  }

  /** One after the other: whoever comes while one runs gathers with others, and many share the next one. */
  async #orderSnapshots(): Promise<void> {
    const { central, log } = this.#parts;
    if (await central.snapshotting()) return;
    const waiting = [...this.#waiting.values()];
    const shared = waiting.length >= SHARED_FROM;
    const orders = shared ? waiting : waiting.slice(0, 1);
    await central.snapshot(orders, shared ? "everyone" : "each");
    for (const order of orders) if (this.#waiting.get(order.terminal) === order) this.#waiting.delete(order.terminal);
    log.info({ terminals: orders.map(({ terminal }) => terminal), shared }, "snapshot.ordered");
  }

  async #tellOf(outgoing: Extract<Outgoing, { kind: "entries" }>, source: LaneName): Promise<void> {
    const { log } = this.#parts;
    const { after, through, entries } = outgoing;
    log.debug({ source, from: after + 1, through, entries: entries.length }, "updates.forwarded");
    for (const [table, changes] of outgoing.unknown) log.warn({ source, table, changes }, "updates.table-unknown");
    if (outgoing.remade.length > 0) log.warn({ tables: outgoing.remade }, "capture.remade");
    for (const row of outgoing.tooLarge)
      await this.#note(
        "update too large",
        `${row} of ${source} holds a value above limits.valueKib; no terminal gets this row`,
      );
  }

  #note(kind: string, detail: string): Promise<void> {
    return this.#parts.ledger.trail.note(kind, null, SYSTEM, detail);
  }
}

const orderOf = ({ id, enrolledAt, rowsOwed }: Terminal): SnapshotOrder => ({
  terminal: id,
  since: rowsOwed ?? String(enrolledAt),
});

/**
 * The ids above the log's head that were given, as the centre was told. None when the centre knows of another history below: then
 * it is not this log's that went on. An empty log is the beginning of every history, as both having no name there says.
 */
function lostIds(state: CentralState, strand: Strand | undefined, head: UpdateId): readonly LostIds[] {
  if (state.strands.findLast(({ first }) => first <= head)?.name !== strand?.name) return [];
  return state.strands.flatMap(({ first, name, through }) => {
    const from = updateId(Math.max(first, head + 1));
    return from <= through ? [{ first: from, name, through }] : [];
  });
}
const audiencesIn = (entries: readonly UpdateEntry[]): string[] => [
  ...new Set(entries.map(({ audience }) => audience)),
];
