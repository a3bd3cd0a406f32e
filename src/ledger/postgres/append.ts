import { actor, seq, type Epoch, type Seq, type TerminalId } from "../../base/ids.ts";
import type { Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { CHAIN_START } from "../../message/chain.ts";
import { acknowledgement, judge, tipAfter, UNBEGUN, type Accepted, type Tip } from "../judge.ts";
import type { Imprint } from "../imprints.ts";
import { cutIntoRuns } from "../lines.ts";
import type { Acknowledgement, Refused, Submission } from "../port.ts";
import { searchKey } from "../search-key.ts";
import { beginLane } from "./epochs.ts";
import { record } from "./events.ts";
import { BLOCKED } from "./due.ts";
import { SELECT_LANE, type LaneRow, type OpenCounts } from "./lane-row.ts";
import { chainAt, storeGap, storeRuns, type LaneRun } from "./runs.ts";
import { storable, type Tx } from "./tx.ts";

/** A lane as it stands in this transaction: what was read of it, with what this group has added. */
type Standing = {
  readonly row: LaneRow;
  readonly epoch: Epoch;
  readonly blocked: boolean;
  readonly open: OpenCounts;
  tip: Tip;
  moved: boolean;
};
type ReadRow = LaneRow & { readonly blocked: boolean } & OpenCounts;
type NewImprint = Imprint & { readonly lane: number; readonly seq: Seq };
type NewKey = { readonly terminal: TerminalId; readonly value: string; readonly lane: number; readonly seq: Seq };

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
 * Locks both rows of every open lane concerned, then reads them: what is read after the locks is what stands. Settlements lock
 * lane_out in the same order, so a message never arrives unseen between a settlement's look and its word "nothing to do".
 */
async function lockLanes(tx: Tx, submissions: readonly Submission[]): Promise<readonly ReadRow[]> {
  const terminals = submissions.map(({ terminal }) => terminal);
  const concerned = "l.terminal = any ($1::text[]) and l.ended_at is null";
  const lock = (table: "lane_in" | "lane_out"): Promise<unknown> =>
    tx.run(
      `select from ${table} t join lane l on l.id = t.lane where ${concerned} order by t.lane for update of t`,
      terminals,
    );
  const [, , rows] = await Promise.all([
    lock("lane_in"),
    lock("lane_out"),
    tx.all<ReadRow>(
      `select p.*, ${BLOCKED("p")} as blocked,
              coalesce(c.retrying, 0) as retrying, coalesce(c.held, 0) as held, coalesce(c.dead, 0) as dead
       from (${SELECT_LANE} where ${concerned}) p left join lane_open c on c.lane = p.id`,
      terminals,
    ),
  ]);
  return rows;
}

/** The submissions of one transaction. Writes gather here and go out together. */
class Group {
  readonly #tx: Tx;
  readonly #now: Instant;
  readonly #current = new Map<TerminalId, Standing>();
  #runs: LaneRun[] = [];
  #keys: NewKey[] = [];
  #imprints: NewImprint[] = [];

  constructor(tx: Tx, lanes: readonly ReadRow[]) {
    this.#tx = tx;
    this.#now = tx.now();
    for (const row of lanes) this.#remember(row);
  }

  #remember(row: ReadRow): Standing {
    const { epoch, receivedThrough, chain, part, partChain, blocked, retrying, held, dead } = row;
    const tip = { receivedThrough, chain, part, partChain };
    const standing = { row, epoch, blocked, open: { retrying, held, dead }, tip, moved: false };
    this.#current.set(row.terminal, standing);
    return standing;
  }

  /** A refusal has written nothing. */
  async append(submission: Submission): Promise<Acknowledgement | Refused> {
    const current = this.#current.get(submission.terminal) ?? null;
    const judged = await this.#judge(submission, current);
    if ("refused" in judged) return judged;
    const { duplicates, known, skipTo } = judged;
    if (!judged.isNews && !current) return acknowledgement(UNBEGUN, { duplicates, loadedThrough: seq(0), open: NONE });
    const lane = current ?? (await this.#begin(submission));
    if (skipTo !== null) await this.#skip(lane, skipTo, submission.chain);
    if (submission.lines.length > known) this.#store(lane, submission, known);
    return acknowledgement(lane.tip, { duplicates, loadedThrough: lane.row.loadedThrough, open: lane.open });
  }

  async #judge(submission: Submission, current: Standing | null): Promise<Accepted | Refused> {
    const judging = judge(submission, current && { epoch: current.epoch, ...current.tip });
    let step = judging.next();
    while (!step.done) {
      await this.write(); // what this group stored is looked at too
      step = judging.next(current ? await chainAt(this.#tx, current.row.id, step.value) : null);
    }
    return step.value;
  }

  /** @throws SQLSTATE 23505 when another process has begun it at the same moment: the whole group is then judged again. */
  async #begin({ terminal, epoch }: Submission): Promise<Standing> {
    const id = await beginLane(this.#tx, terminal, epoch);
    const row = await this.#tx.get<LaneRow>(`${SELECT_LANE} where l.id = $1`, id);
    if (!row) throw new WaybillError("INTERNAL", `the lane of terminal ${terminal} was not stored`);
    return this.#remember({ ...row, blocked: false, retrying: 0, held: 0, dead: 0 });
  }

  #store(lane: Standing, submission: Submission, known: number): void {
    const { id, terminal } = lane.row;
    for (const run of cutIntoRuns(submission, known)) this.#runs.push({ ...run, lane: id });
    for (const line of submission.lines.slice(known)) {
      for (const value of line.search) {
        this.#keys.push({ terminal, value: storable(searchKey(value)), lane: id, seq: line.seq });
      }
      if (line.imprint) this.#imprints.push({ ...line.imprint, lane: id, seq: line.seq });
    }
    const from = seq(lane.tip.receivedThrough + 1);
    const { isWhole, ...tip } = tipAfter(lane.tip, submission, known);
    Object.assign(lane, { tip, moved: true });
    if (!isWhole) return;
    const by = actor(`terminal:${terminal}`);
    record(this.#tx, { lane: id, from, through: tip.receivedThrough, kind: "received", by, detail: "" });
  }

  /** Notes that (received, through] will never come. An unfinished message among them is given up with the rest. */
  async #skip(lane: Standing, through: Seq, chain: Uint8Array): Promise<void> {
    const tx = this.#tx;
    await this.write();
    const { id, terminal, loadedThrough } = lane.row;
    const from = seq(lane.tip.receivedThrough + 1);
    await tx.run("delete from run where lane = $1 and through_seq > $2", id, lane.tip.receivedThrough);
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
      record(tx, { lane: id, from: lost, through, kind: "missing", by, detail });
    }
    Object.assign(lane, { tip: { receivedThrough: through, chain, part: 0, partChain: null }, moved: true });
  }

  /** Sends out what has gathered: runs, search keys, the lanes' new tips, and their claim to be looked at. */
  async write(): Promise<void> {
    const tx = this.#tx;
    const runs = this.#runs;
    const keys = this.#keys;
    const imprints = this.#imprints;
    const moved = [...this.#current.values()].filter((lane) => lane.moved);
    this.#runs = [];
    this.#keys = [];
    this.#imprints = [];
    for (const lane of moved) lane.moved = false;
    const due = moved.filter(
      // A restored ledger that gets again what the centre has loaded: late messages among it may be tried now.
      ({ row, blocked, tip }) =>
        row.leasedBy === null &&
        !blocked &&
        (tip.receivedThrough > row.loadedThrough || row.receivedThrough < row.loadedThrough),
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
      imprints.length > 0 &&
        tx.run(
          `insert into imprint (lane, id, seq, content)
           select lane, decode(id, 'hex'), seq, decode(content, 'hex')
           from unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[]) as n (lane, id, seq, content)
           on conflict do nothing`,
          imprints.map(({ lane }) => lane),
          imprints.map(({ id }) => id),
          imprints.map((imprint) => imprint.seq),
          imprints.map(({ content }) => content),
        ),
      moved.length > 0 &&
        tx.run(
          `update lane_in i
           set sent_after = i.received_through, received_through = n.received, part = n.part, received_at = $4,
               chain = substring($5::bytea from (n.place::int - 1) * 32 + 1 for 32),
               part_chain = case when n.part > 0 then substring($6::bytea from (n.place::int - 1) * 32 + 1 for 32) end
           from unnest($1::bigint[], $2::bigint[], $3::bigint[]) with ordinality as n (lane, received, part, place)
           where i.lane = n.lane`,
          moved.map(({ row }) => row.id),
          moved.map(({ tip }) => tip.receivedThrough),
          moved.map(({ tip }) => tip.part),
          this.#now,
          Buffer.concat(moved.map(({ tip }) => tip.chain)),
          Buffer.concat(moved.map(({ tip }) => tip.partChain ?? CHAIN_START)),
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

const NONE: OpenCounts = { retrying: 0, held: 0, dead: 0 };
