import { fork, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { InvalidArgumentError, type Command } from "commander";
import { isoOf } from "../../base/clock.ts";
import { systemRuntime } from "../../base/runtime.ts";
import type { Stop } from "../../base/stop.ts";
import type { TerminalLine } from "../../ledger/fleet.ts";
import type { Overview } from "../../ledger/trail.ts";
import { serveConsole } from "../../console/console.ts";
import { createLog } from "../../observe/log.ts";
import { startHub } from "../../hub/hub.ts";
import { readOperatorToken } from "../../hub/operator-token.ts";
import { Centre } from "../demo/centre.ts";
import { Screen, type Picture } from "../demo/screen.ts";
import { shopAt, tillPath, type Shop } from "../demo/shop.ts";
import { SoapTill } from "../demo/soap-till.ts";
import type { AgentsOrder } from "../demo/agents.ts";
import type { TillsOrder, TillsReport } from "../demo/tills.ts";
import { operatorAt, type Operator } from "../operator.ts";
import { demoSource, type GlobalOptions } from "../options.ts";
import { duration, type Output } from "../print.ts";
import { untilStopped } from "../process.ts";

type DemoOptions = GlobalOptions & {
  readonly shops: number;
  readonly rate: number;
  readonly data: string;
  readonly port: number;
  readonly seconds?: number;
  readonly mistakes: boolean;
};

const AGENTS_TOGETHER = 10;
const positive = (text: string): number => {
  const n = Number(text);
  if (!Number.isFinite(n) || n <= 0) throw new InvalidArgumentError("must be a number above 0");
  return n;
};

export function addDemo(program: Command, output: Output): void {
  program
    .command("demo")
    .description("run a hub and a small retail chain on SQLite files, and watch it synchronise")
    .option("--shops <n>", "how many shops", positive, 5)
    .option("--rate <n>", "sales a second in each shop", positive, 1)
    .option("--data <folder>", "where its databases are kept", "data")
    .option("--port <n>", "port of the hub", positive, 8420)
    .option("--seconds <n>", "stop by itself after so long", positive)
    .option("--no-mistakes", "no till sends a sale that the centre refuses")
    .addHelpText(
      "after",
      "\nExamples:\n  waybill demo                        five shops\n  waybill demo --shops 50 --rate 20   a thousand sales a second\n\nCtrl-C stops in order; the next start goes on where it was. Delete the data folder to start afresh.",
    )
    .action((_: unknown, command: Command) => runDemo(command.optsWithGlobals<DemoOptions>(), output));
}

async function runDemo(options: DemoOptions, output: Output): Promise<void> {
  const { clock, timers, random } = systemRuntime;
  const folder = resolve(options.data);
  await mkdir(folder, { recursive: true });
  const log = createLog({ level: "error", form: "auto" });
  const { stop, end, ended } = untilStopped(log);

  const centre = new Centre(
    join(folder, "central.db"),
    options.shops + 1, // the last one's till speaks SOAP
    () => random.next(),
    () => isoOf(clock.now()),
  );
  stop.onClose("centre", () => centre.close());
  const source = demoSource(folder, { port: options.port });
  const hub = await startHub({ source, runtime: systemRuntime, log, stop, browser: serveConsole });
  const operator = operatorAt(
    hub.address,
    (await readOperatorToken(`sqlite:${join(folder, "ledger.db")}`)) ?? "",
    systemRuntime,
  );

  let sold: TillsReport = { sales: 0, rows: 0 };
  const open = Promise.withResolvers<void>();
  const tills = child("tills", stop, (report) => {
    sold = report as TillsReport;
    open.resolve(); // every till has made its database
  });
  tills.send({
    folder,
    shops: options.shops,
    salesPerSecond: options.shops * options.rate,
    mistakes: options.mistakes,
  } satisfies TillsOrder);
  await Promise.race([open.promise, ended]);
  if (stop.requested) return;
  const tokens = await tokensFor(operator, folder, options.shops);
  const children: [string, ChildProcess][] = [["tills", tills]];
  for (let first = 0; first < options.shops; first += AGENTS_TOGETHER) {
    const agents = child("agents", stop, () => undefined);
    agents.send({
      folder,
      hub: hub.address,
      first,
      shops: Math.min(AGENTS_TOGETHER, options.shops - first),
      tokens,
    } satisfies AgentsOrder);
    children.push(["agents", agents]);
  }
  for (const [name, started] of children) {
    started.once("exit", (code) => {
      if (stop.requested) return;
      output.err(`The demo's ${name} ended by themselves (code ${code}); stopping.`);
      process.exitCode = 1;
      end();
    });
  }

  const soapTill = await openSoapTill(hub.address, operator, folder, shopAt(options.shops));
  const soapSales = timers.every(
    1_000 / options.rate,
    () => soapTill.sell(),
    (thrown) => log.warn({ error: thrown }, "request.failed"),
  );
  let lastPrices: readonly string[] = [];
  const prices = timers.every(
    5_000,
    () => void (lastPrices = centre.changePrices()),
    (thrown) => log.warn({ error: thrown }, "close.failed"),
  );
  const live = process.stdout.isTTY && options.json !== true;
  if (!live) output.err(`The console, signed in: ${await hub.signInLink()}`);
  const screen = new Screen(output.raw, live);
  const began = clock.elapsed();
  let before: { at: number; loaded: number; sold: number } | null = null;
  const paint = timers.every(
    1_000,
    async () => {
      const [overview, terminals] = await Promise.all([
        operator.get<Overview>("/api/overview"),
        operator.get<{ terminals: readonly TerminalLine[] }>("/api/terminals", { limit: 500 }),
      ]);
      const now = clock.elapsed();
      const seconds = before ? (now - before.at) / 1000 : 1;
      screen.show({
        console: (await hub.signInLink()) ?? hub.address,
        running: duration(now - began),
        sold: sold.sales + soapTill.sold,
        salesPerSecond: before ? (sold.sales + soapTill.sold - before.sold) / seconds : 0,
        messagesPerSecond: before ? (overview.loaded - before.loaded) / seconds : 0,
        ...overview,
        atCentre: centre.sales(),
        lastPrices,
        shops: terminals.terminals.map((line) => shopLine(line, overview)),
      });
      before = { at: now, loaded: overview.loaded, sold: sold.sales + soapTill.sold };
    },
    (thrown) => {
      if (!stop.requested) log.warn({ error: thrown }, "request.failed");
    },
  );
  stop.onClose("screen", () => {
    prices[Symbol.dispose]();
    soapSales[Symbol.dispose]();
    paint[Symbol.dispose]();
  });
  if (options.seconds !== undefined) void timers.sleep(options.seconds * 1_000, stop.signal).then(end);
  await ended;
  output.out("Stopped in order; the next start goes on from here.");
}

function shopLine(line: TerminalLine, overview: Overview): Picture["shops"][number] {
  const index = Number(line.terminal.split("-")[1] ?? "1") - 1;
  return {
    terminal: line.terminal,
    name: shopAt(index).name,
    received: line.received,
    waiting: line.waiting,
    lagMs: line.lagMs,
    open: line.retrying + line.held + line.dead,
    updatesBehind: Math.max(0, overview.updatesHead - line.appliedThrough),
  };
}

/** Its key is kept beside the databases, as a till keeps the password it was installed with. */
async function openSoapTill(hub: string, operator: Operator, folder: string, shop: Shop): Promise<SoapTill> {
  const terminal = `wcf-${shop.store}`;
  const file = join(folder, `${terminal}.key`);
  if (!existsSync(file)) {
    const tags = { store: shop.store, region: shop.region };
    const { token } = await operator.post<{ token: string }>("/api/enroll-tokens", { terminal, tags });
    const answer = await systemRuntime.network.request({
      method: "POST",
      url: `${hub}/v1/enroll`,
      headers: { "content-type": "application/json" },
      body: Buffer.from(JSON.stringify({ token, terminal })),
      timeoutMs: 10_000,
    });
    const { key } = JSON.parse(Buffer.from(answer.body).toString("utf8")) as { key: string };
    await writeFile(file, key, { mode: 0o600 });
  }
  return new SoapTill(hub, terminal, shop, await readFile(file, "utf8"), systemRuntime);
}

/** Agents that have a key already need no token. */
async function tokensFor(operator: Operator, folder: string, shops: number): Promise<Record<string, string>> {
  const tokens: Record<string, string> = {};
  for (let i = 0; i < shops; i++) {
    const shop = shopAt(i);
    if (existsSync(`${tillPath(folder, shop.terminal).replace(/\.db$/, "")}.agent/terminal.key`)) continue;
    const answer = await operator.post<{ token: string }>("/api/enroll-tokens", {
      terminal: shop.terminal,
      tags: { store: shop.store, region: shop.region },
    });
    tokens[shop.terminal] = answer.token;
  }
  return tokens;
}

/** A process of the demo's own that ends when its channel to us closes, so that none is ever left behind. */
function child(name: "tills" | "agents", stop: Stop, onMessage: (message: unknown) => void): ChildProcess {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const started = fork(fileURLToPath(new URL(`../demo/${name}.${extension}`, import.meta.url)), {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  started.on("message", onMessage);
  stop.onClose(name, async () => {
    if (started.exitCode !== null || !started.connected) return;
    const gone = new Promise<void>((done) => started.once("exit", () => done()));
    started.disconnect();
    await gone;
  });
  return started;
}
