import pc from "picocolors";
import { count, duration } from "../print.ts";

/** What the demo shows; everything comes from the hub's operator API and the tills' own counters. */
export type Picture = {
  /** Where the console is, by a link that signs in once. */
  readonly console: string;
  readonly running: string;
  readonly sold: number;
  readonly salesPerSecond: number;
  readonly messagesPerSecond: number;
  readonly received: number;
  readonly loaded: number;
  readonly backlog: number;
  readonly retrying: number;
  readonly held: number;
  readonly dead: number;
  readonly atCentre: number;
  readonly lastPrices: readonly string[];
  readonly shops: readonly ShopLine[];
};
export type ShopLine = {
  readonly terminal: string;
  readonly name: string;
  readonly received: number;
  readonly waiting: number;
  readonly lagMs: number | null;
  readonly open: number;
  readonly updatesBehind: number;
};

const MOST_SHOPS = 12;
const attention = (n: number, text: string): string => (n > 0 ? pc.yellow(text) : pc.dim(text));

/** The whole screen as lines, calm: what is normal is quiet, what needs a person stands out. */
export function draw(picture: Picture): string[] {
  const open = picture.retrying + picture.held + picture.dead;
  const lines = [
    `${pc.bold("Waybill demo")}  ${pc.dim(`running ${picture.running}`)}   console ${pc.cyan(picture.console)}`,
    "",
    `  sold by tills   ${count(picture.sold).padStart(10)} sales   ${picture.salesPerSecond.toFixed(1).padStart(7)} a second`,
    `  at the centre   ${count(picture.atCentre).padStart(10)} sales   ${picture.messagesPerSecond.toFixed(1).padStart(7)} messages a second`,
    `  in between      ${count(picture.backlog).padStart(10)} messages received and not yet loaded`,
    `  needs a person  ${attention(picture.dead, `${count(picture.dead).padStart(10)} dead`)}   ${attention(open, `${picture.held} held behind them, ${picture.retrying} retrying`)}`,
    `  prices down     ${picture.lastPrices.length > 0 ? pc.dim(`latest: ${picture.lastPrices.join(", ")}`) : pc.dim("none changed yet")}`,
    "",
    pc.dim(
      `  ${"shop".padEnd(24)}${"messages".padStart(10)}${"waiting".padStart(9)}${"lag".padStart(10)}${"open".padStart(6)}${"updates behind".padStart(16)}`,
    ),
  ];
  for (const shop of picture.shops.slice(0, MOST_SHOPS)) {
    const lag = shop.lagMs === null ? "–" : duration(shop.lagMs);
    const label = `${shop.terminal}  ${shop.name}`.slice(0, 23);
    const line = `  ${label.padEnd(24)}${count(shop.received).padStart(10)}${String(shop.waiting).padStart(9)}${lag.padStart(10)}${String(shop.open).padStart(6)}${String(shop.updatesBehind).padStart(16)}`;
    lines.push(shop.open > 0 ? pc.yellow(line) : line);
  }
  if (picture.shops.length > MOST_SHOPS)
    lines.push(pc.dim(`  … and ${picture.shops.length - MOST_SHOPS} more: npx waybill --demo status`));
  lines.push(
    "",
    pc.dim(
      "  Ask in another window:  npx waybill --demo dead list   ·   npx waybill --demo trace till-003 1   ·   Ctrl-C stops",
    ),
  );
  return lines;
}

/** One line for logs and pipes, where nothing can be redrawn. */
export const summary = (picture: Picture): string =>
  `${picture.running}  sold ${picture.sold}  at centre ${picture.atCentre}  backlog ${picture.backlog}  dead ${picture.dead}  held ${picture.held}  retrying ${picture.retrying}  ${picture.messagesPerSecond.toFixed(1)} messages/s`;

/** Redraws in place on a terminal; elsewhere prints a line every few pictures. */
export class Screen {
  #drawn = 0;
  #pictures = 0;
  readonly #write: (text: string) => void;
  readonly #live: boolean;

  constructor(write: (text: string) => void, live: boolean) {
    this.#write = write;
    this.#live = live;
  }

  show(picture: Picture): void {
    if (!this.#live) {
      if (this.#pictures++ % 5 === 0) this.#write(`${summary(picture)}\n`);
      return;
    }
    const lines = draw(picture);
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A` : "";
    this.#write(`${up}${lines.map((line) => `\u001b[2K${line}`).join("\n")}\n\u001b[0J`);
    this.#drawn = lines.length;
  }
}
