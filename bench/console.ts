import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { parseArgs } from "node:util";
import { zstdCompressSync } from "node:zlib";
import { chromium, type Page } from "playwright-core";
import { chainHex } from "../src/message/chain.ts";
import { find } from "../test/kit/needs.ts";
import { furnish } from "./scale/furnish.ts";
import { startBenchHub, type BenchHub } from "./hub.ts";
import { machine, percentile } from "./machine.ts";
import { generate, PER_REQUEST, Sender, storeOf, type Size } from "./scale/generate.ts";

const HELP = `npm run bench:console -- [--ledger sqlite:/path] [--messages N] [--terminals N] [--rate N] [--turns N]

Opens each screen of the console, and uses each filter, in Chromium over a hub with a large ledger, while messages come in and are loaded.

  --ledger URL     a ledger that bench:scale made; without it one is made (a copy is used, the given one stays as it is)
  --messages N     messages in the ledger (default 5000000)
  --terminals N    terminals that sent them (default 10000)
  --rate N         messages a second that come in meanwhile (default 2000)
  --turns N        how often each is measured (default 5)
  --only TEXT      only screens and filters whose name holds this
`;
const { values } = parseArgs({
  options: {
    ledger: { type: "string" },
    messages: { type: "string", default: "5000000" },
    terminals: { type: "string", default: "10000" },
    rate: { type: "string", default: "2000" },
    turns: { type: "string", default: "5" },
    only: { type: "string", default: "" },
    help: { type: "boolean", default: false },
  },
});
const isMeant = ({ what }: Screen): boolean => what.includes(values.only);
const FIRST_PAINT_MS = 1_000;
const FILTER_MS = 500;
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
/** What `main` holds when there is something to read, and nothing is waited for. */
const USEFUL = `(() => {
  const main = document.querySelector("main#main"); // not the sign-in
  return main && main.querySelector("h1") && !main.querySelector(".waiting") && main.innerText.length > 60 && performance.now();
})()`;

type Screen = { readonly what: string; readonly hash: string };
const SCREENS: readonly Screen[] = [
  { what: "overview", hash: "#/" },
  { what: "terminals", hash: "#/terminals" },
  { what: "one terminal", hash: "#/terminals/till-05000" },
  { what: "messages, found by receipt", hash: "#/messages/till-05000/125" },
  { what: "one message", hash: "#/message/till-05000/e1/125" },
  { what: "messages of a terminal", hash: "#/messages?of=till-05000" },
  { what: "dead letters", hash: "#/dead" },
  { what: "updates", hash: "#/updates" },
  { what: "one update", hash: "#/updates/900" },
  { what: "alerts", hash: "#/alerts" },
  { what: "comparisons", hash: "#/comparisons" },
  { what: "one comparison", hash: "#/comparisons/bench-7" },
  { what: "audit", hash: "#/audit" },
  { what: "people", hash: "#/people" },
  { what: "settings", hash: "#/settings" },
];
type Filter = Screen & {
  /** Does it, and gives what the page shows when it is done. */
  readonly use: (page: Page, turn: number) => Promise<string>;
};
/** True in the page when the list shows rows, and only such as hold the text. */
const onlyRows = (text: string): string => `(() => {
  const rows = [...document.querySelectorAll("main .row")];
  return rows.length > 0 && rows.every((row) => row.innerText.includes(${JSON.stringify(text)}));
})()`;
const FILTERS: readonly Filter[] = [
  {
    what: "terminals by name",
    hash: "#/terminals",
    use: async (page, turn) => {
      const name = `till-0${4_000 + turn}`;
      await page.locator('main input[type="search"]').first().fill(name);
      return onlyRows(name);
    },
  },
  {
    what: "terminals in trouble",
    hash: "#/terminals",
    use: async (page) => {
      await page.evaluate(`location.hash = "#/terminals?health=trouble"`);
      return onlyRows("trouble");
    },
  },
  {
    what: "terminals by tag",
    hash: "#/terminals",
    use: async (page, turn) => {
      await page.getByLabel("Tag, such as store:014").fill(`store:${storeOf(5_000 + 5 * turn)}`);
      return onlyRows(storeOf(5_000 + 5 * turn));
    },
  },
  {
    what: "messages of a terminal by state, those loaded",
    hash: "#/messages?of=till-05000",
    use: async (page) => {
      await page.getByLabel("State").selectOption("loaded");
      return onlyRows("loaded");
    },
  },
  {
    what: "messages of a terminal by table that none has",
    hash: "#/messages?of=till-05000",
    use: async (page) => {
      await page.getByLabel("Table").fill("voucher");
      return `document.querySelector("main").innerText.includes("No message of till-05000 matches")`;
    },
  },
  {
    what: "updates by audience",
    hash: "#/updates",
    use: async (page, turn) => {
      await page.getByLabel("Audience, such as store:014").fill(`store:${storeOf(10 * (3 * turn + 1))}`);
      return onlyRows(`store:${storeOf(10 * (3 * turn + 1))}`);
    },
  },
  {
    what: "alerts that are over",
    hash: "#/alerts",
    use: async (page) => {
      await page.evaluate(`location.hash = "#/alerts?state=past"`);
      return `[...document.querySelectorAll("main .row .badge")].some((badge) => badge.innerText === "over")`;
    },
  },
  {
    what: "audit by kind",
    hash: "#/audit",
    use: async (page) => {
      await page.evaluate(`location.hash = "#/audit?kind=published"`);
      // A page looks at a stretch of the trail; when much came in since, its answer is that there may be some further back.
      return `(() => {
        const kinds = [...document.querySelectorAll("main .event-grid strong")];
        return kinds.length > 0
          ? kinds.every((kind) => kind.innerText === "published")
          : document.querySelector("main").innerText.includes("There may be something further back");
      })()`;
    },
  },
  {
    what: "find a receipt, from the overview to the answer",
    hash: "#/",
    use: async (page, turn) => {
      await page.getByLabel("Receipt, key or number").fill(String(300 + turn));
      await page.getByLabel("Store or terminal").fill(storeOf(3_000 + 10 * turn));
      await page.keyboard.press("Enter");
      return onlyRows("loaded");
    },
  },
  {
    what: "dead letters by fault",
    hash: "#/dead",
    use: async (page) => {
      await page.locator("main select").first().selectOption("CHECK_VIOLATED");
      return onlyRows("Check violated");
    },
  },
  {
    what: "dead letters by terminal",
    hash: "#/dead",
    use: async (page, turn) => {
      const name = `till-0${2_000 + 2 * turn}`;
      await page.locator('main input[type="search"]').first().fill(name);
      return `(() => {
        const rows = [...document.querySelectorAll('main ul[aria-label="Messages"] .row')];
        if (rows.length > 0) return rows.every((row) => row.innerText.includes("${name}"));
        return document.querySelector("main").innerText.includes("No message matches");
      })()`;
    },
  },
];

async function main(executablePath: string): Promise<number> {
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  const size: Size = { terminals: Number(values.terminals), messages: Number(values.messages) };
  const folder = mkdtempSync(join(tmpdir(), "waybill-bench-"));
  try {
    const ledger = join(folder, "ledger.db");
    const given = values.ledger?.replace(/^sqlite:/, "");
    if (given !== undefined && existsSync(given)) copyFileSync(given, ledger);
    else await generate(`sqlite:${ledger}`, size, say);
    await furnish(ledger, size.terminals);
    const central = join(folder, "central.db");
    makeCentre(central, ledger);
    const tables = { sale: { direction: "up", search: ["receipt"] } };
    await using hub = await startBenchHub(
      folder,
      { ledger: `sqlite:${ledger}`, central: `sqlite:${central}` },
      { tables },
    );
    using ingest = await startIngest(hub, Number(values.rate));
    await using browser = await chromium.launch({ executablePath, args: FLAGS });
    // The conditions that are waited for are text, which the page itself would not run.
    const page = await browser.newPage({ viewport: { width: 1_280, height: 860 }, bypassCSP: true });
    await signIn(page, hub, folder);
    process.stdout.write(
      `${new Date().toISOString().slice(0, 10)}, ${machine()}; SQLite ledger of ${size.messages} messages, ${size.terminals} terminals, ${values.rate} messages/s asked for\n\n`,
    );
    const script = await transferredScript(page, hub);
    const rows: string[] = [];
    let late = 0;
    const tell = (what: string, took: readonly number[], limit: number): void => {
      const sorted = took.toSorted((a, b) => a - b);
      const [p50, worst] = [percentile(sorted, 50), sorted.at(-1) ?? Number.NaN];
      if (!(p50 <= limit)) late++;
      rows.push(`| ${what} | ${p50.toFixed(0)} | ${worst.toFixed(0)} | ${limit} |`);
      say(rows.at(-1) ?? "");
    };
    const turns = Array.from({ length: Number(values.turns) }, (_, i) => i);
    for (const { what, hash } of SCREENS.filter(isMeant)) {
      const took: number[] = [];
      for (const _ of turns) took.push(await paint(page, hub, hash));
      tell(`${what}: first useful paint`, took, FIRST_PAINT_MS);
    }
    for (const filter of FILTERS.filter(isMeant)) {
      const took: number[] = [];
      for (const turn of turns) took.push(await filtered(page, hub, filter, turn));
      tell(`${filter.what}: filter`, took, FILTER_MS);
    }
    process.stdout.write(`| | p50 ms | worst ms | wanted |\n|---|---:|---:|---:|\n${rows.join("\n")}\n\n`);
    process.stdout.write(
      `JavaScript transferred: ${(script / 1_000).toFixed(0)} kB. Taken meanwhile: ${ingest.perSecond().toFixed(0)} messages/s.\n`,
    );
    if (late > 0) process.stdout.write(`${late} later than wanted.\n`);
    return late > 0 ? 1 : 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A centre that has loaded what the ledger says it has; without the rows, which no screen shows. */
function makeCentre(central: string, ledger: string): void {
  using file = new DatabaseSync(central);
  file.exec(`pragma journal_mode = wal;
    create table sale (sale_id text primary key, receipt text, store_id text, sold_at text, cashier text, total text) without rowid;
    create table waybill_lane (lane text not null primary key, loaded_through integer not null check (loaded_through >= 0),
      version integer not null check (version >= 1)) without rowid;
    create table waybill_passed (lane text not null, number integer not null check (number >= 1),
      state text not null check (state in ('retrying', 'held', 'dead', 'discarded')), fault text,
      attempts integer not null check (attempts >= 0), primary key (lane, number)) without rowid;
    attach '${ledger}' as ledger;
    insert into waybill_lane select l.terminal || '/' || l.epoch, o.loaded_through, o.version
      from ledger.lane l join ledger.lane_out o on o.lane = l.id where o.version > 0;
    insert into waybill_passed select l.terminal || '/' || l.epoch, e.seq, e.state, e.fault, e.attempts
      from ledger.exception e join ledger.lane l on l.id = e.lane where e.closed_at is null;
    detach ledger`);
}

/** Messages of fifty terminals at a steady rate, as their agents would send them. */
async function startIngest(hub: BenchHub, rate: number): Promise<Disposable & { perSecond(): number }> {
  const tills: { readonly sender: Sender; readonly key: string }[] = [];
  for (let i = 0; i < 50; i++) tills.push({ sender: new Sender(`busy-${i}`), key: await hub.key(`busy-${i}`) });
  const began = performance.now();
  let sent = 0;
  const stopped = new AbortController();
  const send = async (): Promise<void> => {
    for (let turn = 0; !stopped.signal.aborted; turn++) {
      const till = tills[turn % tills.length];
      if (!till) return;
      const { after, chain, body, epoch } = till.sender.next(PER_REQUEST, Date.now());
      const head = Buffer.from(`${JSON.stringify({ epoch, stream: "main", after, chain: chainHex(chain) })}\n`);
      const answer = await hub.post("/v1/messages", till.key, zstdCompressSync(Buffer.concat([head, body])), {
        "content-type": "application/x-ndjson",
        "content-encoding": "zstd",
      });
      if (answer.status !== 200) throw new Error(answer.body.toString());
      sent += PER_REQUEST;
      const ahead = (sent / rate) * 1_000 - (performance.now() - began);
      if (ahead > 0) await new Promise((resolve) => setTimeout(resolve, ahead));
    }
  };
  send().catch((thrown: unknown) => {
    if (!stopped.signal.aborted) process.stderr.write(`ingest: ${String(thrown)}\n`);
  });
  return {
    perSecond: () => (sent * 1_000) / (performance.now() - began),
    [Symbol.dispose]: () => stopped.abort(),
  };
}

async function signIn(page: Page, hub: BenchHub, folder: string): Promise<void> {
  const token = readFileSync(join(folder, "ledger.db.operator-token"), "utf8").trim();
  const answer = await fetch(`${hub.address}/api/operators`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "bench", role: "admin", password: "correct horse battery" }),
  });
  if (!answer.ok) throw new Error(await answer.text());
  await page.goto(hub.address);
  await page.getByLabel("Name").fill("bench");
  await page.getByLabel("Password").fill("correct horse battery");
  await page.keyboard.press("Enter");
  await page.waitForFunction(USEFUL, undefined, { timeout: 30_000 });
}

/** Milliseconds from the beginning of the navigation until the screen can be read; the page is loaded anew. */
async function paint(page: Page, hub: BenchHub, hash: string): Promise<number> {
  await page.goto("about:blank");
  await page.goto(`${hub.address}/${hash}`, { waitUntil: "commit" });
  try {
    const handle = await page.waitForFunction(USEFUL, undefined, { timeout: 30_000, polling: "raf" });
    return (await handle.jsonValue()) as number;
  } catch (cause) {
    throw new Error(`${hash} shows nothing useful: ${await page.locator("main").innerHTML()}`, { cause });
  }
}

async function filtered(page: Page, hub: BenchHub, filter: Filter, turn: number): Promise<number> {
  await paint(page, hub, filter.hash);
  const began = performance.now();
  const done = await filter.use(page, turn);
  await page.waitForFunction(done, undefined, { timeout: 30_000, polling: "raf" });
  return performance.now() - began;
}

/** Bytes of all scripts, as they come over the wire to a browser that has none of them. */
async function transferredScript(page: Page, hub: BenchHub): Promise<number> {
  const html = await (await fetch(hub.address)).text();
  let bytes = 0;
  for (const [, path] of html.matchAll(/(?:src|href)="(\/assets\/[^"]+\.js)"/g)) {
    const answer = await page.request.get(`${hub.address}${path}`, { headers: { "accept-encoding": "gzip" } });
    bytes += Number(answer.headers()["content-length"] ?? Number.NaN);
  }
  return bytes;
}

if (values.help) process.stdout.write(HELP);
else {
  const browser = find("browser");
  if ("missing" in browser) {
    process.stderr.write(`${browser.missing}\n`);
    process.exitCode = 2;
  } else process.exitCode = await main(browser.at);
}
