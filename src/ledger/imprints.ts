import { hash } from "node:crypto";
import type { Epoch, Seq } from "../base/ids.ts";

/**
 * By what a message is known again whose sender does not number like an agent (SOAP, documents). Stored with its line, kept for ever:
 * the line goes by retention, and a resend is a duplicate all the same. 40 to 50 bytes a message in SQLite, 110 to 150 in PostgreSQL.
 */
export type Imprint = {
  /** The sender's own name for it within the lane, as 2–32 hexadecimal digits: its number, or a hash. */
  readonly id: string;
  /** Hash of what it says, as 32 hexadecimal digits: the same id with another one is another message. */
  readonly content: string;
};
export type Imprinted = Imprint & { readonly epoch: Epoch; readonly seq: Seq };

/** 32 hexadecimal digits of SHA-256: nobody finds a second text for one that is given. */
export const imprintOf = (text: string): string => hash("sha256", text, "hex").slice(0, 32);
/** A number as an id: ids are in the order of their numbers. */
export const imprintOfNumber = (n: number): string => n.toString(16).padStart(14, "0");
