import { asWaybillError, WaybillError } from "../../base/errors.ts";
import { laneName, type LaneName } from "../../base/ids.ts";
import type { Acknowledgement, Lanes, Refused, Submission } from "../../ledger/port.ts";

/** Submissions and bytes of one ledger transaction. More waits for the next one. */
const GROUP_SUBMISSIONS = 256;
const GROUP_BYTES = 16 * 1024 * 1024;
/** Bytes that may wait here; above it callers are told to come back. */
const WAITING_BYTES = 64 * 1024 * 1024;

type Waiting = {
  readonly submission: Submission;
  readonly resolve: (acknowledgement: Acknowledgement) => void;
  readonly reject: (error: WaybillError) => void;
};

/**
 * Group commit: what arrives while one ledger transaction runs goes into the next one together. A lone submission waits for
 * nothing; a hundred at once share one flush of the disk. Nobody is answered before the commit that holds their lines (I2).
 */
export class Intake {
  readonly #lanes: Lanes;
  readonly #stored: (lanes: readonly LaneName[]) => void;
  #waiting: Waiting[] = [];
  #bytes = 0;
  #running = false;
  #seenBytes = 0;
  #seenLines = 0;

  /** @param stored called after each transaction that may have stored something of these lanes */
  constructor(lanes: Lanes, stored: (lanes: readonly LaneName[]) => void) {
    this.#lanes = lanes;
    this.#stored = stored;
  }

  /** Of the messages since the start; 1 KiB until there was one. */
  get meanLineBytes(): number {
    return this.#seenLines === 0 ? 1024 : this.#seenBytes / this.#seenLines;
  }

  /** @throws what the ledger refused it with; OVERLOADED; a ledger's fault, after which it may or may not be stored: resending finds out */
  submit(submission: Submission): Promise<Acknowledgement> {
    if (this.#bytes > WAITING_BYTES) {
      return Promise.reject(
        new WaybillError("OVERLOADED", "too many submissions wait to be stored", { facts: { retryAfterSeconds: 1 } }),
      );
    }
    this.#bytes += submission.body.byteLength;
    this.#seenBytes += submission.body.byteLength;
    this.#seenLines += submission.lines.length;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ submission, resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  /** Never rejects: each group's failure goes to those who wait for it. */
  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) await this.#store(this.#nextGroup());
    this.#running = false;
  }

  #nextGroup(): readonly Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const { submission } of this.#waiting) {
      if (count === GROUP_SUBMISSIONS || (count > 0 && bytes + submission.body.byteLength > GROUP_BYTES)) break;
      bytes += submission.body.byteLength;
      count++;
    }
    this.#bytes -= bytes;
    return this.#waiting.splice(0, count);
  }

  async #store(group: readonly Waiting[]): Promise<void> {
    try {
      const answers = await this.#lanes.append(group.map(({ submission }) => submission));
      this.#stored(group.map(({ submission: { terminal, epoch } }) => laneName(terminal, epoch)));
      group.forEach((waiting, index) => answer(waiting, answers[index]));
    } catch (thrown) {
      const error = asWaybillError(thrown);
      // A fault of ours that one submission brought about must not keep its neighbours out for ever: each alone, then.
      if (error.code === "INTERNAL" && group.length > 1) {
        for (const each of group) await this.#store([each]);
      } else {
        for (const { reject } of group) reject(error);
      }
    }
  }
}

function answer({ resolve, reject }: Waiting, given: Acknowledgement | Refused | undefined): void {
  if (given === undefined) reject(new WaybillError("INTERNAL", "the ledger left a submission unanswered"));
  else if ("refused" in given) reject(new WaybillError(given.refused, given.what, { facts: given.facts }));
  else resolve(given);
}
