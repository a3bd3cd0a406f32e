import { actor, laneName, seq, type LaneName, type Seq, type TerminalId } from "../../base/ids.ts";
import type { Instant } from "../../base/clock.ts";
import { WaybillError, type FaultCode, type ErrorFacts } from "../../base/errors.ts";
import { CHAIN_START, sameChain } from "../../message/chain.ts";
import type { Acknowledgement, Refused, Submission } from "../port.ts";
import { chainAfter, cutIntoRuns, isAfter, placeOf, type Place } from "../sqlite/runs.ts";
import { searchKey } from "../search-key.ts";
import { beginLane } from "./epochs.ts";
import { record } from "./events.ts";
import { BLOCKED } from "./due.ts";
import { nameOf, SELECT_LANE, type LaneRow, type OpenCounts } from "./lane-row.ts";
import { countKnown, firstDisorder, skipOf } from "./order.ts";
import { chainAt, firstDifference, storeGap, storeRuns, type LaneRun } from "./runs.ts";
import { storable, type Tx } from "./tx.ts";

/** A lane as it stands in this transaction: what was read of it, with what this group has added. */
type Standing = {
  readonly row: LaneRow;
  readonly blocked: boolean;
  readonly open: OpenCounts;
  receivedThrough: Seq;
  chain: Uint8Array;
  part: number;
  partChain: Uint8Array | null;
  moved: boolean;
};
type ReadRow = LaneRow & { readonly blocked: boolean } & OpenCounts;
type NewKey = { readonly terminal: TerminalId; readonly value: string; readonly lane: number; readonly seq: Seq };

const refused = (code: FaultCode, what: string, facts: ErrorFacts): Refused => ({ refused: code, what, facts });

/** Judges and stores submissions in order, each alone, within the caller's transaction. */
export async function appendAll(
  tx: Tx,
  submissions: readonly Submission[],
): Promise<readonly (Acknowledgement | Refused)[]> {
  const group = new Group(tx, await lockLanes(tx, submissions));
  const answers: (Acknowledgement | Refused)[] = [];
  for (const submission of submissions) answers.push(await group.append(submission));
  await group.write();
  return answers;
}

/**
 * Locks both rows of every lane concerned, then reads them: what is read after the locks is what stands. Settlements lock
 * lane_out in the same order, so a message never arrives unseen between a settlement's look and its word "nothing to do".
 */
async function lockLanes(tx: Tx, submissions: readonly Submission[]): Promise<readonly ReadRow[]> {
  const terminals = submissions.map(({ terminal }) => terminal);
  const epochs = submissions.map(({ epoch }) => epoch);
  const concerned = `l.terminal = any ($1::text[]) and (l.ended_at is null or (l.terminal, l.epoch) in
    (select * from unnest($1::text[], $2::text[])))`;
  const lock = (table: "lane_in" | "lane_out"): Promise<unknown> =>
    tx.run(
      `select from ${table} t join lane l on l.id = t.lane where ${concerned} order by t.lane for update of t`,
      terminals,
      epochs,
    );
  const [, , rows] = await Promise.all([
    lock("lane_in"),
    lock("lane_out"),
    tx.all<ReadRow>(
      `select p.*, ${BLOCKED("p.terminal", "p.ordinal")} as blocked, c.retrying, c.held, c.dead
       from (${SELECT_LANE} where ${concerned}) p
       cross join lateral (
         select count(*) filter (where state in ('retrying', 'received')) as retrying,
                count(*) filter (where state = 'held') as held, count(*) filter (where state = 'dead') as dead
         from exception where lane = p.id and closed_at is null) c`,
      terminals,
      epochs,
    ),
  ]);
  return rows;
}

/** The submissions of one transaction. Writes gather here and go out together. */
class Group {
  readonly #tx: Tx;
  readonly #now: Instant;
  readonly #byName = new Map<LaneName, Standing>();
  readonly #current = new Map<TerminalId, Standing>();
  #runs: LaneRun[] = [];
  #keys: NewKey[] = [];

  constructor(tx: Tx, lanes: readonly ReadRow[]) {
    this.#tx = tx;
    this.#now = tx.now();
    for (const row of lanes) this.#remember(row);
  }

  #remember(row: ReadRow): Standing {
    const { receivedThrough, chain, part, partChain, blocked, retrying, held, dead } = row;
    const open = { retrying, held, dead };
    const standing = { row, blocked, open, receivedThrough, chain, part, partChain, moved: false };
    this.#byName.set(nameOf(row), standing);
    if (row.endedAt === null) this.#current.set(row.terminal, standing);
    return standing;
  }

  /** A refusal has written nothing. */
  async append(submission: Submission): Promise<Acknowledgement | Refused> {
    const { terminal, epoch } = submission;
    const name = laneName(terminal, epoch);
    const known = this.#byName.get(name);
    const current = this.#current.get(terminal);
    if (current && current !== known) {
      const what = `epoch ${epoch} of terminal ${terminal} has ended, ${current.row.epoch} has begun`;
      return refused("EPOCH_CLOSED", what, { epoch: current.row.epoch });
    }
    const disorder = firstDisorder(submission);
    if (disorder !== null) {
      const what = `the lines of ${terminal}/${epoch} do not follow each other at number ${disorder}`;
      return refused("SEQUENCE_GAP", what, { expected: disorder });
    }
    const standing = current ?? { ...UNBEGUN };
    const skipTo = skipOf(submission, standing);
    const tip = skipTo ?? { seq: standing.receivedThrough, part: standing.part };
    const start: Place = { seq: submission.after, part: submission.part };
    if (isAfter(start, tip)) {
      const expected = tip.seq + 1;
      const what = `${name} is stored through ${tip.seq}; the request begins behind ${start.seq}`;
      return refused("SEQUENCE_GAP", what, tip.part > 0 ? { expected, part: tip.part + 1 } : { expected });
    }
    const overlap = countKnown(submission.lines, tip);
    const broken = skipTo ? null : await this.#firstBroken(standing, current?.row.id ?? null, submission, tip, overlap);
    if (broken !== null) {
      return refused("CHAIN_BROKEN", `${name}/${broken} is known with other content`, { seq: broken });
    }
    const duplicates = submission.lines.slice(0, overlap).filter((line) => !line.more).length;
    if (submission.lines.length === overlap && !skipTo) return acknowledgementOf(standing, current, duplicates);
    const lane = current ?? (await this.#begin(submission));
    if (skipTo) await this.#skip(lane, skipTo.seq, submission.chain);
    this.#store(lane, submission, overlap);
    return acknowledgementOf(lane, lane, duplicates);
  }

  /**
   * The first number that has come with other content than is stored; null when all agree. Since each chain covers all that
   * came before, one comparison, at the last known line, is enough while all is well.
   */
  async #firstBroken(
    standing: Pick<Standing, "chain" | "partChain">,
    lane: number | null,
    submission: Submission,
    tip: Place,
    overlap: number,
  ): Promise<Seq | null> {
    const start: Place = { seq: submission.after, part: submission.part };
    const ours = async (place: Place): Promise<Uint8Array | null> => {
      if (place.seq === tip.seq && place.part === tip.part) return standing.partChain ?? standing.chain;
      if (place.seq === tip.seq && place.part === 0) return standing.chain;
      if (lane === null) return null;
      await this.write(); // what this group stored is looked at too
      return chainAt(this.#tx, lane, place);
    };
    const agrees = async (place: Place, chain: Uint8Array): Promise<boolean> => {
      const stored = await ours(place);
      return stored !== null && sameChain(stored, chain);
    };
    const last = submission.lines[overlap - 1];
    const joint = last ? placeOf(last) : start;
    const hasFresh = submission.lines.length > overlap;
    // A message that began in parts goes on with the next part; nothing else may follow what is stored of it.
    if (hasFresh && (joint.seq !== tip.seq || joint.part !== tip.part)) return seq(tip.seq + 1);
    const lastChain = last ? chainAfter(submission, overlap - 1) : submission.chain;
    if (await agrees(joint, lastChain)) return null;
    if (!last || lane === null || !(await agrees(start, submission.chain)))
      return start.part > 0 ? seq(start.seq + 1) : start.seq;
    return firstDifference(this.#tx, lane, submission, overlap);
  }

  /** @throws SQLSTATE 23505 when another process has begun it at the same moment: the whole group is then judged again. */
  async #begin({ terminal, epoch }: Submission): Promise<Standing> {
    const id = await beginLane(this.#tx, terminal, epoch);
    const row = await this.#tx.get<LaneRow>(`${SELECT_LANE} where l.id = $1`, id);
    if (!row) throw new WaybillError("INTERNAL", `the lane of terminal ${terminal} was not stored`);
    return this.#remember({ ...row, blocked: false, retrying: 0, held: 0, dead: 0 });
  }

  #store(lane: Standing, submission: Submission, overlap: number): void {
    const { id, terminal } = lane.row;
    const last = submission.lines.at(-1);
    if (!last || submission.lines.length === overlap) return;
    for (const run of cutIntoRuns(submission, overlap)) this.#runs.push({ ...run, lane: id });
    for (const line of submission.lines.slice(overlap)) {
      for (const value of line.search) {
        this.#keys.push({ terminal, value: storable(searchKey(value)), lane: id, seq: line.seq });
      }
    }
    const before = lane.receivedThrough;
    const lastWhole = submission.lines.findLastIndex((line) => !line.more);
    const end = placeOf(last);
    if (lastWhole >= overlap) lane.chain = chainAfter(submission, lastWhole);
    lane.receivedThrough = end.seq;
    lane.part = end.part;
    lane.partChain = end.part > 0 ? chainAfter(submission, submission.lines.length - 1) : null;
    lane.moved = true;
    if (lastWhole < overlap) return;
    record(this.#tx, {
      lane: id,
      from: seq(before + 1),
      through: end.seq,
      kind: "received",
      actor: actor(`terminal:${terminal}`),
      detail: "",
    });
  }

  /** Notes that (received, through] will never come. An unfinished message among them is given up with the rest. */
  async #skip(lane: Standing, through: Seq, chain: Uint8Array): Promise<void> {
    const tx = this.#tx;
    await this.write();
    const { id, terminal, loadedThrough } = lane.row;
    const from = seq(lane.receivedThrough + 1);
    await tx.run("delete from run where lane = $1 and through_seq > $2", id, lane.receivedThrough);
    await storeGap(tx, id, from, through, chain, this.#now);
    // What the centre is known to have loaded is not missing, even when this ledger never had it or has lost it.
    const lost = seq(Math.max(from, loadedThrough + 1));
    if (lost <= through) {
      await tx.run(
        "insert into missing (lane, from_seq, through_seq, noted_at) values ($1, $2, $3, $4)",
        id,
        lost,
        through,
        this.#now,
      );
      const by = actor(`terminal:${terminal}`);
      const detail = "the terminal no longer has these messages";
      record(tx, { lane: id, from: lost, through, kind: "missing", actor: by, detail });
    }
    Object.assign(lane, { receivedThrough: through, chain, part: 0, partChain: null, moved: true });
  }

  /** Sends out what has gathered: runs, search keys, the lanes' new tips, and their claim to be looked at. */
  async write(): Promise<void> {
    const tx = this.#tx;
    const runs = this.#runs;
    const keys = this.#keys;
    const moved = [...this.#byName.values()].filter((lane) => lane.moved);
    this.#runs = [];
    this.#keys = [];
    for (const lane of moved) lane.moved = false;
    const due = moved.filter(
      ({ row, blocked, receivedThrough }) => row.leasedBy === null && !blocked && receivedThrough > row.loadedThrough,
    );
    await Promise.all([
      storeRuns(tx, runs, this.#now),
      keys.length > 0 &&
        tx.run(
          `insert into message_key (terminal, value, lane, seq)
           select * from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) on conflict do nothing`,
          keys.map(({ terminal }) => terminal),
          keys.map(({ value }) => value),
          keys.map(({ lane }) => lane),
          keys.map((key) => key.seq),
        ),
      moved.length > 0 &&
        tx.run(
          `update lane_in i
           set received_through = n.received, part = n.part, received_at = $4,
               chain = substring($5::bytea from (n.place::int - 1) * 32 + 1 for 32),
               part_chain = case when n.part > 0 then substring($6::bytea from (n.place::int - 1) * 32 + 1 for 32) end
           from unnest($1::bigint[], $2::bigint[], $3::bigint[]) with ordinality as n (lane, received, part, place)
           where i.lane = n.lane`,
          moved.map(({ row }) => row.id),
          moved.map(({ receivedThrough }) => receivedThrough),
          moved.map(({ part }) => part),
          this.#now,
          Buffer.concat(moved.map(({ chain }) => chain)),
          Buffer.concat(moved.map(({ partChain }) => partChain ?? CHAIN_START)),
        ),
      due.length > 0 &&
        tx.run(
          `update lane_out set work_at = greatest($2, not_before)
           where lane = any ($1) and (work_at is null or work_at > greatest($2, not_before))`,
          due.map(({ row }) => row.id),
          this.#now,
        ),
    ]);
  }
}

/** The lane a terminal's first request would begin; it is begun only if the request is stored. */
const UNBEGUN = { receivedThrough: seq(0), chain: CHAIN_START, part: 0, partChain: null } as const;

function acknowledgementOf(
  { receivedThrough, chain, part }: Pick<Standing, "receivedThrough" | "chain" | "part">,
  lane: Standing | undefined,
  duplicates: number,
): Acknowledgement {
  return {
    receivedThrough,
    chain,
    duplicates,
    loadedThrough: lane?.row.loadedThrough ?? seq(0),
    open: lane?.open ?? { retrying: 0, held: 0, dead: 0 },
    partial: part > 0 ? { seq: seq(receivedThrough + 1), part } : null,
  };
}
