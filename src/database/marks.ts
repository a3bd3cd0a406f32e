import { seq, type Epoch, type Seq } from "../base/ids.ts";
import type { Acknowledged } from "./port.ts";

/** Of a position in the lane what the other side's words are about. */
type Standing = {
  readonly epoch: Epoch | null;
  readonly packedThrough: Seq;
  readonly receivedThrough: Seq;
  readonly loadedThrough: Seq;
};

/** Said by the other side and not yet written: it would be a transaction for every answer. Lost in a crash, it is said again. */
export class Marks {
  #said: Acknowledged | null = null;

  /** For `forget`: what was said until now. */
  get said(): Acknowledged | null {
    return this.#said;
  }

  say(marks: Acknowledged): void {
    const before = this.#said?.epoch === marks.epoch ? this.#said : null;
    this.#said = {
      epoch: marks.epoch,
      receivedThrough: higher(before?.receivedThrough, marks.receivedThrough),
      loadedThrough: higher(before?.loadedThrough, marks.loadedThrough),
    };
  }

  /** The position with what the other side has said since it was written. Loaded implies received. */
  readonly on = <P extends Standing>(position: P): P => {
    const upTo = (mark: Seq): Seq => seq(Math.min(mark, position.packedThrough));
    const marks = this.#said;
    if (marks === null || marks.epoch !== position.epoch) return position;
    const loadedThrough = higher(position.loadedThrough, upTo(marks.loadedThrough));
    const receivedThrough = higher(higher(position.receivedThrough, loadedThrough), upTo(marks.receivedThrough));
    return { ...position, receivedThrough, loadedThrough };
  };

  /** Have they anything to say of this position that is not written in it? */
  areNewsFor(position: Standing): boolean {
    const marked = this.on(position);
    return marked.receivedThrough !== position.receivedThrough || marked.loadedThrough !== position.loadedThrough;
  }

  /** They are written, or count no more: all, unless more was said than `said`. */
  forget(said = this.#said): void {
    if (this.#said === said) this.#said = null;
  }
}

/** The position with nothing above this number received. */
export function rewound<P extends Standing>(position: P, receivedThrough: Seq): P {
  const lower = (mark: Seq): Seq => seq(Math.min(mark, receivedThrough));
  return {
    ...position,
    receivedThrough: lower(position.receivedThrough),
    loadedThrough: lower(position.loadedThrough),
  };
}

const higher = (a: Seq | undefined, b: Seq): Seq => (a !== undefined && a > b ? a : b);
