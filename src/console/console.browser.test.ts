import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { spawnWaybill, type Child } from "../../test/kit/child.ts";
import { freePort } from "../../test/kit/free-port.ts";
import { describeWith } from "../../test/kit/needs.ts";
import { REPO } from "../../test/kit/repo.ts";
import { tempDir, type TempDir } from "../../test/kit/temp-dir.ts";
import { until } from "../../test/kit/until.ts";

/** Offline and as root, as CI runs it. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const SHOTS = join(REPO, ".screenshots");
const AXE = join(REPO, "node_modules/axe-core/axe.min.js");
const PASSWORD = "correct horse battery";
const MINUTE = { timeout: 60_000 };

/** Needs the built page: `npm ci` makes it, and `npm run build:console` after a change. */
describeWith("browser", "the console in a browser, over the demo", (executablePath) => {
  let dir: TempDir;
  let demo: Child;
  let start: () => Child;
  let address: string;
  let link: string;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  /** Whatever the pages complained of. */
  const complaints: string[] = [];

  beforeAll(async () => {
    dir = tempDir();
    const port = await freePort();
    const args = ["demo", "--data", dir.path, "--port", String(port), "--shops", "3", "--rate", "3"];
    start = () => spawnWaybill(args);
    demo = start();
    [link = ""] = await demo.waitForLine(/http:\S+\/signin#\S+/, { timeoutMs: 30_000 });
    address = new URL("/", link).href;
    browser = await chromium.launch({ executablePath, args: FLAGS });
    context = await browser.newContext({ viewport: { width: 1_280, height: 860 } });
    await context.addInitScript({ path: AXE });
    page = await context.newPage();
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (line) => {
      if (line.type() === "error" || line.type() === "warning") complaints.push(line.text());
    });
    await mkdir(SHOTS, { recursive: true });
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await demo?.kill();
    await demo?.[Symbol.asyncDispose]();
    await dir?.[Symbol.asyncDispose]();
  });

  const token = (): string => readFileSync(dir.file("ledger.db.operator-token"), "utf8").trim();
  const figure = (label: string): Promise<string> =>
    page.locator(".figure", { hasText: label }).locator(".figure-value").innerText();
  const deadLetter = async (): Promise<{ lane: string; seq: number; detail: string } | null> => {
    const answer = await fetch(`${address}api/exceptions?states=dead&limit=1`, {
      headers: { authorization: `Bearer ${token()}` },
    });
    const { rows } = (await answer.json()) as { rows: readonly { lane: string; seq: number; detail: string }[] };
    return rows[0] ?? null;
  };

  const signIn = async (on: Page, name: string, password = PASSWORD): Promise<void> => {
    await on.getByLabel("Name").fill(name);
    await on.getByLabel("Password").fill(password);
    await on.keyboard.press("Enter");
  };

  test("the first operator is made by a link, and comes in again by name and password", MINUTE, async () => {
    await page.goto(link.replace("/signin#", "/setup#"));
    await page.getByRole("heading", { name: "Welcome", level: 1 }).waitFor();
    await page.screenshot({ path: join(SHOTS, "setup.png") });
    await signIn(page, "root");
    await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Name").waitFor();
    await page.screenshot({ path: join(SHOTS, "sign-in.png") });
    await signIn(page, "root", "a wrong password");
    await page.getByRole("alert").waitFor();
    expect(complaints.splice(0)).toEqual([expect.stringContaining("401")]); // the browser's own line about the answer
    await signIn(page, "root");
    await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  });

  test("a viewer who was let in sees no way to act, and loses nothing by asking for one", MINUTE, async () => {
    await page.goto(`${address}#/people`);
    await page.getByLabel("Name").fill("vera");
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByText("vera").waitFor();
    await using other = await browser.newContext();
    const vera = await other.newPage();
    await vera.goto(address);
    await signIn(vera, "vera");
    await vera.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
    expect(await vera.getByRole("link", { name: "People" }).count()).toBe(0);
    await vera.goto(`${address}#/people`);
    await vera.getByText("There is no such screen.").waitFor();
    await vera.goto(`${address}#/terminals/till-001`);
    await vera.getByText("Received through").first().waitFor();
    expect(await vera.getByRole("button", { name: /Revoke|Pause|Resync|Compare|key/ }).count()).toBe(0);
    await vera.goto(`${address}#/comparisons`);
    await vera.getByText("An operator can compare").waitFor();
    expect(await vera.getByRole("button", { name: "Compare a terminal" }).count()).toBe(0);
  });

  test("the overview changes by itself", MINUTE, async () => {
    await page.goto(`${address}#/`);
    await page.locator(".connection.live").waitFor();
    const before = await page.locator(".figure", { hasText: "Loaded" }).locator(".figure-note").innerText();
    await until(
      async () => (await page.locator(".figure", { hasText: "Loaded" }).locator(".figure-note").innerText()) !== before,
      { timeoutMs: 20_000 },
    );
  });

  test("a link signs in once", MINUTE, async () => {
    const made = await fetch(`${address}api/invitations`, {
      method: "POST",
      headers: { authorization: `Bearer ${token()}`, "content-type": "application/json" },
      body: "{}",
    });
    const once = `${address}signin#${((await made.json()) as { invitation: string }).invitation}`;
    await using other = await browser.newContext();
    const guest = await other.newPage();
    await guest.goto(once);
    await guest.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
    expect(guest.url()).not.toContain("signin");
    await using third = await browser.newContext();
    const late = await third.newPage();
    await late.goto(once);
    await late.getByText("was used before").waitFor();
  });

  test(
    "from the overview to why a receipt is not in the centre: three steps, by the keyboard alone",
    MINUTE,
    async () => {
      const letter = await until(deadLetter, { timeoutMs: 60_000, what: "a dead letter of the demo" });
      const [, receipt = ""] = /sale_id="?([0-9-]+)/.exec(letter.detail) ?? [];
      expect(receipt).not.toBe("");
      await page.goto(`${address}#/`);
      // One: ask. The store's number alone is enough to say which.
      await page.getByLabel("Receipt, key or number").waitFor();
      await tabTo(page, "Receipt, key or number");
      await page.keyboard.type(receipt);
      await page.keyboard.press("Tab");
      await page.keyboard.type(receipt.slice(0, 3));
      await page.keyboard.press("Enter");
      // Two: read. The reason stands in the answer.
      await page.getByText("CHECK constraint failed: qty_is_not_zero").first().waitFor();
      await page.screenshot({ path: join(SHOTS, "found.png"), fullPage: true });
      // Three: open it, for the whole waybill.
      await tabTo(page, "refused for good");
      await page.keyboard.press("Enter");
      await page.locator(".verdict.bad").waitFor();
      expect(page.url()).toContain(`/message/${letter.lane}/${letter.seq}`);
      expect(await page.locator(".journey").innerText()).toMatch(/stored at the hub[\s\S]*dead[\s\S]*not yet/i);
      await page.screenshot({ path: join(SHOTS, "dead-letter.png"), fullPage: true });
    },
  );

  test(
    "an act on many: what it would reach is shown first, and what was not begun can be cancelled",
    MINUTE,
    async () => {
      await until(deadLetter, { timeoutMs: 60_000, what: "a dead letter of the demo" });
      await page.goto(`${address}#/dead`);
      await page.getByRole("button", { name: "Requeue all of these…" }).click();
      await page.getByText("Nothing is done yet.").waitFor();
      await page.screenshot({ path: join(SHOTS, "bulk.png"), fullPage: true });
      await page.getByLabel("Reason").fill("not today");
      await page.getByRole("button", { name: "Leave it" }).click();
      await page.getByText("Cancelled", { exact: false }).first().waitFor();
      expect(await page.locator(".act-head .badge").innerText()).toBe("cancelled");
      expect(await page.getByRole("list", { name: "Messages of this act" }).innerText()).toContain("not yet");
    },
  );

  test("an act on many: it runs to its end, and each message says what became of it", MINUTE, async () => {
    await until(deadLetter, { timeoutMs: 60_000, what: "a dead letter of the demo" });
    await page.goto(`${address}#/dead`);
    await page.getByRole("button", { name: "Requeue all of these…" }).click();
    await page.getByLabel("Reason").fill("the constraint was mended");
    await page.getByRole("button", { name: /^Requeue \d/ }).click();
    await page.locator(".act-head .badge.good").waitFor();
    const bar = page.locator("progress");
    expect(await bar.getAttribute("value")).toBe(await bar.getAttribute("max"));
    await page.getByRole("list", { name: "Messages of this act" }).getByText("ordered").first().waitFor();
    await page.getByRole("link", { name: "Acts on many" }).click();
    await page.getByText("the constraint was mended").waitFor();
  });

  test("a dead letter is edited, rehearsed, requeued and loaded, by the keyboard alone", MINUTE, async () => {
    await until(deadLetter, { timeoutMs: 60_000, what: "a dead letter of the demo" });
    await page.goto(`${address}#/`);
    await page.getByText("Open dead letters").waitFor();
    await tabTo(page, "Open dead letters");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Dead letters" }).waitFor();
    await page.getByRole("list", { name: "Groups by fault" }).getByText("qty_is_not_zero").first().waitFor();
    await page.getByRole("list", { name: "Messages" }).getByText("qty_is_not_zero").first().waitFor();
    await tabTo(page, "№");
    await page.keyboard.press("Enter");
    await page.locator(".verdict.bad").waitFor();
    await page.getByRole("button", { name: "Edit the payload" }).waitFor();
    await tabTo(page, "Edit the payload");
    await page.keyboard.press("Enter");
    const payload = page.getByLabel("Payload");
    const text = await payload.inputValue();
    await payload.focus();
    await page.keyboard.press("ControlOrMeta+A");
    await page.keyboard.insertText(text.replaceAll('"qty": 0', '"qty": 1'));
    expect(await page.locator(".diff .added").first().innerText()).toContain('"qty": 1');
    expect(await page.locator(".diff .removed").first().innerText()).toContain('"qty": 0');
    await tabTo(page, "Dry run");
    await page.keyboard.press("Enter");
    await page.getByText("would be loaded").waitFor();
    expect(await page.locator(".tried").innerText()).toContain("sale_line");
    await page.screenshot({ path: join(SHOTS, "dry-run.png"), fullPage: true });
    expect(await page.locator(".verdict.bad").count()).toBe(1); // nothing of the dry run stayed
    await tabTo(page, "Reason");
    await page.keyboard.type("one piece, says the cashier");
    await tabTo(page, "Requeue with the edit");
    await page.keyboard.press("Enter");
    await page.locator(".verdict.good").waitFor({ timeout: 20_000 });
    await page.getByText("one piece, says the cashier").first().waitFor();
    expect(await page.locator(".timeline").innerText()).toContain("loaded late");
  });

  test("a terminal is paused and resumed with a reason, its log says so, and it gets a new key", MINUTE, async () => {
    await page.goto(`${address}#/terminals/till-001`);
    await page.getByRole("button", { name: "Pause", exact: true }).click();
    await page.getByLabel("Reason").fill("the till is being moved");
    await page.keyboard.press("Enter");
    const paused = page.getByRole("list", { name: "What is paused" });
    await paused.getByText("the till is being moved").waitFor();
    await paused.getByRole("button", { name: "Resume" }).click();
    await page.getByLabel("Reason").fill("it stands again");
    await page.keyboard.press("Enter");
    await paused.waitFor({ state: "detached" });
    await page.getByRole("button", { name: "New key" }).click();
    await page.getByText("Put it as").waitFor();
    await page.goto(`${address}#/audit?kind=resumed`);
    await page.getByRole("list", { name: "Events" }).getByText("it stands again").waitFor();
  });

  test("a new terminal is enrolled by a token that is shown once", MINUTE, async () => {
    await page.goto(`${address}#/terminals`);
    await page.getByRole("button", { name: "Enrol a terminal" }).click();
    await page.getByLabel("Name (any when left out)").fill("till-099");
    await page.getByLabel("Tags, such as store:014").fill("store:099");
    await page.getByRole("button", { name: "Make a token" }).click();
    await page.getByText("into the config of till-099").waitFor();
  });

  test("terminals are found by a tag, which leads there from each terminal, and by how they are", MINUTE, async () => {
    await page.goto(`${address}#/terminals/till-002`);
    await page.getByText("Its last 24 hours").waitFor();
    await page.getByRole("link", { name: "store 002" }).click();
    const found = page.getByRole("list", { name: "Terminals" });
    await found.getByText("till-002").waitFor();
    expect(await found.getByRole("link").count()).toBe(1);
    await page.getByLabel("Tag, such as store:014").fill("store:999");
    await page.getByText("No terminal fits.").waitFor();
    await page.getByLabel("Tag, such as store:014").fill("");
    await page.getByLabel("Name of a terminal").fill("001");
    await found.getByText("till-001").waitFor();
    await until(async () => (await found.getByRole("link").count()) === 1);
  });

  test("the messages of a terminal are listed by state and table, once they are loaded too", MINUTE, async () => {
    await page.goto(`${address}#/terminals/till-001`);
    await page.getByRole("link", { name: "Its messages" }).click();
    const messages = page.getByRole("list", { name: "Messages" });
    await messages.getByText("sale, sale_line, stock").first().waitFor();
    await page.getByLabel("State").selectOption("loaded");
    await page.waitForURL(/state=loaded/);
    await messages.locator(".badge.good").first().waitFor();
    await until(async () => (await messages.locator(".badge:not(.good)").count()) === 0);
    await page.getByLabel("Table").fill("voucher");
    await page.getByText("No message of till-001 matches.").waitFor();
    await page.getByLabel("Table").fill("stock");
    await messages.getByRole("link").first().click();
    await page.locator(".verdict.good").waitFor();
  });

  test("a sale that came by SOAP is found by its receipt", MINUTE, async () => {
    await page.goto(`${address}#/messages?what=004-W0000001`);
    await page.getByRole("list", { name: "Messages found" }).getByText("wcf-004").waitFor();
  });

  test(
    "a terminal is compared with the centre: what it will do is said first, then how it went, row by row",
    MINUTE,
    async () => {
      await page.goto(`${address}#/comparisons`);
      await page.getByText("Nothing was compared yet.").waitFor();
      await page.goto(`${address}#/terminals/till-001`);
      await page.getByRole("button", { name: "Resync…" }).click();
      const form = page.getByRole("form", { name: "Resync" });
      await form.getByText("Rows that differ are sent again").waitFor();
      expect(await form.getByRole("button", { name: "Compare and send again" }).isDisabled()).toBe(true); // without a reason
      await form.getByLabel("Send again at once what differs").uncheck();
      await form.getByText("Nothing is changed.").waitFor();
      await form.getByLabel("Reason").fill("the day's sum is wrong, says the shop");
      await form.getByRole("button", { name: "Compare", exact: true }).click();
      await page.getByRole("heading", { name: "till-001", level: 1 }).waitFor();
      await page.locator(".act-head .badge", { hasText: "done" }).waitFor({ timeout: 40_000 });
      await page.getByRole("region", { name: "Table by table" }).getByText("sale_line").waitFor();
      await expectAccessible("comparison");
      await page.getByRole("link", { name: "All comparisons" }).click();
      await page.getByRole("list", { name: "Comparisons" }).getByText("the day's sum is wrong").waitFor();
      await page.goto(`${address}#/terminals/till-001`);
      await page.getByRole("list", { name: "Comparisons of this terminal" }).getByText("done").waitFor();
    },
  );

  test("an update shows how far it has come, and which terminals are slowest", MINUTE, async () => {
    await page.goto(`${address}#/updates`);
    const updates = page.getByRole("list", { name: "Updates" });
    await updates.getByText("applied everywhere").or(updates.getByText("pending")).first().waitFor();
    await updates.getByRole("link").first().click();
    await page.getByRole("heading", { name: /^Update \d+$/ }).waitFor();
    const spread = page.getByRole("list", { name: "Terminals of this update" });
    await spread.getByText("till-001").waitFor();
    // The till that speaks SOAP takes no updates here; the agents' do, and confirm it.
    await spread.getByRole("link", { name: /wcf-\d+ pending/ }).waitFor();
    await spread.getByRole("link", { name: /till-001 (applied|delivered)/ }).waitFor();
  });

  test("no screen breaks a serious rule of accessibility, in light or dark", { timeout: 120_000 }, async () => {
    const screens = [
      ["#/", "Overview"],
      ["#/terminals", "Terminals"],
      ["#/terminals/till-001", "till-001"],
      ["#/dead", "Dead letters"],
      ["#/audit", "Audit"],
      ["#/people", "People"],
      ["#/settings", "Settings"],
      ["#/dead/bulk", "Acts on many"],
      ["#/updates", "Updates"],
      ["#/alerts", "Alerts"],
      ["#/comparisons", "Comparisons"],
      ["#/messages?of=till-001", "Messages"],
      ["#/messages?what=1&at=till-001", "Messages"],
    ] as const;
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      for (const [screen, title] of screens) {
        await page.goto(`${address}${screen}`);
        await page.getByRole("heading", { name: title, level: 1, exact: true }).waitFor();
        await expectAccessible(`${title}-${colorScheme}`);
      }
      await page.locator(".rows .row").first().click();
      await page.locator(".verdict").waitFor();
      await expectAccessible(`message-${colorScheme}`);
    }
  });

  test("what is transferred stays small, and comes from here alone", MINUTE, async () => {
    const html = await (await fetch(address)).text();
    const [, script = ""] = /src="(\/assets\/[^"]+\.js)"/.exec(html) ?? [];
    const answer = await fetch(new URL(script, address), { headers: { "accept-encoding": "gzip" } });
    expect(answer.headers.get("content-encoding")).toBe("gzip");
    expect(answer.headers.get("cache-control")).toContain("immutable");
    expect(Number(answer.headers.get("content-length"))).toBeLessThan(140_000);
    const hosts = (await page.evaluate(
      "performance.getEntriesByType('resource').map((entry) => new URL(entry.name).host)",
    )) as readonly string[];
    expect(new Set(hosts)).toEqual(new Set([new URL(address).host]));
  });

  test("nothing was complained of, and signing out ends it", MINUTE, async () => {
    expect(complaints).toEqual([]);
    expect(await figureOf("Terminals")).toBe("4"); // three shops, and the till that speaks SOAP
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Name").waitFor();
  });

  test("a hub that goes is told of, and one that comes back still knows who is there", MINUTE, async () => {
    await signIn(page, "root");
    await page.locator(".connection.live").waitFor();
    await demo.kill();
    await page.locator(".connection.lost").waitFor();
    demo = start();
    await page.locator(".connection.live").waitFor();
    await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  });

  async function expectAccessible(name: string): Promise<void> {
    await page.locator(".row, .figure, .empty, .verdict, .facts").first().waitFor();
    await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
    const found = (await page.evaluate(
      "axe.run().then(({ violations }) => violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id, nodes }) => id + ': ' + nodes.slice(0, 3).map(({ html }) => html).join(' | ')))",
    )) as readonly string[];
    expect(found, name).toEqual([]);
  }

  async function figureOf(label: string): Promise<string> {
    await page.goto(`${address}#/`);
    await page.locator(".figure").first().waitFor();
    return figure(label);
  }
});

/** Presses Tab until what has the focus says this (its text, or the label it belongs to). */
async function tabTo(page: Page, words: string): Promise<void> {
  const spoken =
    "(() => { const it = document.activeElement; return it === document.body ? '' : [it?.innerText, ...[...(it?.labels ?? [])].map((label) => label.innerText)].join(' '); })()";
  for (let i = 0; i < 80; i++) {
    await page.keyboard.press("Tab");
    if (String(await page.evaluate(spoken)).includes(words)) return;
  }
  throw new Error(`Tab never came to ${JSON.stringify(words)}`);
}
