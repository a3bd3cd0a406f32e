import { expect, onTestFinished, test } from "vitest";
import { hurried, openApi, VIEWER, OPERATOR } from "../../../test/kit/api.ts";
import { tempDir } from "../../../test/kit/temp-dir.ts";
import { instant, later, type Instant } from "../../base/clock.ts";
import { actor, terminalId, workerId } from "../../base/ids.ts";
import { systemRuntime, type Runtime } from "../../base/runtime.ts";
import { behind, drain, send, Till } from "../../ledger/contract/till.ts";
import type { Ledger, UpkeepFacts } from "../../ledger/port.ts";
import { openSqliteLedger } from "../../ledger/sqlite/ledger.ts";
import { createLog } from "../../observe/log.ts";
import type { BreakerState } from "../breaker.ts";
import { alertsConfig, alertSettings } from "./config.ts";
import { breakerLook, diskLook, pauseLook, snapshotLook } from "./looks.ts";
import { headerOf, smtpSink, webhookReceiver } from "./receivers.test-kit.ts";
import { ALERT_RULE_NAMES, type AlertRuleName } from "./rules.ts";
import type { AlertSettings } from "./settings.ts";
import { AlertWatch } from "./watch.ts";

const SECRET = "a-secret-of-the-webhook";
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const T1 = terminalId("t1");
const ANNA = actor("operator:anna");

/** A ledger with a hand on its clock, a receiver of each kind, and a hub's watch over them. */
class Site implements AsyncDisposable {
  now: Instant = instant(1_700_000_000_000);
  breaker: BreakerState = { kind: "closed" };
  freeBytes = 1e12;
  upkeep: UpkeepFacts = {
    oldestSnapshot: null,
    deadRows: [],
    partitionsEndInSeconds: 1e9,
    rowsOutsidePartitions: false,
    replicationLagSeconds: null,
  };
  readonly lines: string[] = [];
  readonly #stack = new AsyncDisposableStack();
  readonly #path: string;
  readonly hook: Awaited<ReturnType<typeof webhookReceiver>>;
  readonly sink: Awaited<ReturnType<typeof smtpSink>>;
  ledger!: Ledger;
  watch!: AlertWatch;

  private constructor(path: string, hook: Site["hook"], sink: Site["sink"]) {
    this.#path = path;
    this.hook = this.#stack.use(hook);
    this.sink = this.#stack.use(sink);
  }

  static async open(): Promise<Site> {
    const dir = tempDir();
    const site = new Site(dir.file("ledger.db"), await webhookReceiver(SECRET), await smtpSink());
    site.#stack.use(dir);
    await site.start();
    onTestFinished(() => site[Symbol.asyncDispose]());
    return site;
  }

  get settings(): AlertSettings {
    const config = alertsConfig.parse({
      hub: "chain",
      rules: { terminalSilent: { newMinutes: 60 } },
      webhooks: [{ name: "pager", url: this.hook.url, secret: SECRET }],
      email: [
        { name: "mail", server: `smtp://127.0.0.1:${this.sink.port}`, from: "hub@example.org", to: ["a@example.org"] },
      ],
    });
    return alertSettings(config);
  }

  /** A hub begins, as after a crash of the one before: nothing was closed in order. */
  async start(): Promise<void> {
    await this.ledger?.[Symbol.asyncDispose]();
    const clock = { now: () => this.now, elapsed: () => this.now };
    const runtime: Runtime = { ...systemRuntime, clock };
    this.ledger = await openSqliteLedger(this.#path, runtime);
    const { settings } = this;
    this.watch = new AlertWatch({
      ledger: this.ledger,
      settings,
      runtime,
      log: createLog({ level: "debug", form: "json", to: { write: (line) => this.lines.push(line) } }),
      process: workerId("hub-1"),
      own: [
        breakerLook(settings.rules["breaker-open"], () => this.breaker, runtime),
        diskLook(settings.rules["disk-low"], "host-1", async () => this.freeBytes),
      ],
      shared: {
        "route-paused": pauseLook(settings.rules["route-paused"], this.ledger.pauses, runtime),
        "snapshot-held": snapshotLook(settings.rules["snapshot-held"], { look: async () => this.upkeep }),
      },
    });
  }

  /** Time goes on, and the hub looks and tells as it would. */
  async go(ms: number): Promise<void> {
    for (let gone = 0; gone < ms; gone += this.settings.policy.lostMs) {
      this.now = later(this.now, Math.min(ms - gone, this.settings.policy.lostMs));
      await this.watch.report();
      await this.watch.look();
    }
    await this.watch.deliver();
  }

  /** `raised dead-letters` and the like, as each receiver got it. */
  told(): { hook: string[]; mail: string[]; log: string[] } {
    const ofHook = this.hook.got.map(({ kind, body }) => `${kind} ${(JSON.parse(body) as Body).alert.rule}`);
    const ofLog = this.lines
      .map((line) => JSON.parse(line) as { event: string; rule?: string })
      .filter(({ event }) => /^alert\.(raised|grown|cleared)$/.test(event))
      .map(({ event, rule }) => `${event.slice("alert.".length)} ${rule}`);
    const ofMail = this.sink.mails.map((mail) => headerOf(mail, "subject") ?? "");
    return { hook: ofHook, mail: ofMail, log: ofLog };
  }

  async enrol(name = T1): Promise<void> {
    const hash = new Uint8Array(32).fill(name.length);
    await this.ledger.terminals.createToken(hash, { terminal: name, tags: {}, validMs: DAY_MS, by: ANNA });
    await this.ledger.terminals.enroll(hash, name, {}, hash);
  }
  seen(skewMs = 0): Promise<void> {
    return this.ledger.terminals.seen([{ terminal: T1, at: this.now, skewMs, version: null, deliveredThrough: null }]);
  }
  async load(): Promise<void> {
    await drain(this.ledger);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ledger[Symbol.asyncDispose]();
    await this.#stack.disposeAsync();
  }
}
type Body = { readonly alert: { readonly rule: string; readonly what: string; readonly clearedAt: string | null } };

const till = () => new Till("t1").write(3);
/** Message 1 is dead, and 2 waits behind it. */
async function laneInTrouble(site: Site): Promise<Till> {
  const lane = till();
  await send(site.ledger, lane.request());
  await drain(site.ledger, (n) => (n === 1 ? {} : n === 2 ? { state: "held", behind: behind(lane.lane, 1) } : null));
  return lane;
}
async function mendLane(site: Site): Promise<void> {
  const { exceptions } = site.ledger;
  await exceptions.requeue(
    till().lane,
    (await exceptions.list({ states: ["dead"] }, 1, null)).rows[0]!.seq,
    ANNA,
    "mended",
    null,
  );
  await site.load();
  await site.load();
}

/** For every rule: what makes it speak, and what ends it. */
const CASES: Record<
  AlertRuleName,
  { title: string; cause: (site: Site) => Promise<void>; mend: (site: Site) => Promise<void> }
> = {
  "dead-letters": {
    title: "Dead letters",
    cause: async (site) => {
      const lane = till();
      await send(site.ledger, lane.request());
      await drain(site.ledger, (n) => (n === 1 ? {} : null));
    },
    mend: mendLane,
  },
  "lane-held": {
    title: "Lane held",
    cause: async (site) => {
      await laneInTrouble(site);
      await site.go(HOUR_MS);
    },
    mend: mendLane,
  },
  "terminal-silent": {
    title: "Terminal silent",
    cause: async (site) => {
      await site.enrol();
      await site.go(1_000);
      await site.seen();
      await site.go(2 * HOUR_MS);
    },
    mend: (site) => site.seen(),
  },
  "backlog-old": {
    title: "Backlog old",
    cause: async (site) => {
      await send(site.ledger, till().request());
      await site.go(HOUR_MS);
    },
    mend: (site) => site.load(),
  },
  "breaker-open": {
    title: "Centre away",
    cause: async (site) => {
      const retryAt = site.now;
      site.breaker = { kind: "open", since: site.now, failures: 3, retryAt, fault: "CENTRAL_UNAVAILABLE" };
      await site.go(HOUR_MS);
    },
    mend: async (site) => {
      site.breaker = { kind: "closed" };
    },
  },
  "route-paused": {
    title: "Paused",
    cause: async (site) => {
      const by = actor("worker:w");
      for (let met = 0; met < 3; met++) await site.ledger.pauses.trip("sale", "COLUMN_UNKNOWN", "no column total", by);
    },
    mend: async (site) => site.ledger.pauses.resume({ kind: "route", name: "sale" }, ANNA, "the column is back"),
  },
  "disk-low": {
    title: "Disk nearly full",
    cause: async (site) => {
      site.freeBytes = 1e9;
    },
    mend: async (site) => {
      site.freeBytes = 1e12;
    },
  },
  "clock-skew": {
    title: "Clock wrong",
    cause: async (site) => {
      await site.enrol();
      await site.seen(-HOUR_MS);
    },
    mend: (site) => site.seen(1_000),
  },
  "snapshot-held": {
    title: "Transaction held open",
    cause: async (site) => {
      site.upkeep = { ...site.upkeep, oldestSnapshot: { seconds: 3_600, by: "session 7 of report" } };
    },
    mend: async (site) => {
      site.upkeep = { ...site.upkeep, oldestSnapshot: null };
    },
  },
  restored: {
    title: "Set back to an older copy",
    cause: async (site) => {
      const { lanes } = site.ledger;
      const { epoch } = await lanes.openEpoch(T1, null, "install-1", "first");
      await lanes.openEpoch(T1, epoch, "install-1", "restored").catch(() => undefined);
    },
    mend: async (site) => {
      await site.ledger.restores.settled(T1, ANNA, "compared");
    },
  },
  "messages-lost": {
    title: "Messages lost",
    cause: async (site) => {
      await send(site.ledger, new Till("t1").write(9).request({ seq: 5, part: 0 }, { seq: 9, part: 0 }, 6));
      await site.load();
    },
    mend: async (site) => site.go(DAY_MS),
  },
};

test.each(ALERT_RULE_NAMES)(
  "%s: each receiver is told once, over restarts, and once more when it is over",
  { timeout: 60_000 },
  async (rule) => {
    const site = await Site.open();
    const { cause, mend, title } = CASES[rule];
    const others = new Set<string>();
    const mine = ({ hook, mail, log }: ReturnType<Site["told"]>) => {
      for (const word of hook) if (!word.endsWith(rule)) others.add(word);
      return {
        hook: hook.filter((word) => word.endsWith(` ${rule}`)),
        mail: mail.filter((word) => word.includes(title)),
        log: log.filter((word) => word.endsWith(` ${rule}`)),
      };
    };
    await site.go(1_000);
    expect(site.told()).toEqual({ hook: [], mail: [], log: [] });
    await cause(site);
    await site.go(15_000);
    await site.start();
    await site.go(15_000);
    const raised = mine(site.told());
    expect(raised.hook).toEqual([`raised ${rule}`]);
    expect(raised.log).toEqual([`raised ${rule}`]);
    expect(raised.mail).toEqual([expect.stringMatching(new RegExp(`^\\[chain\\] ${title}`))]);
    await mend(site);
    await site.go(15_000);
    await site.start();
    await site.go(120_000);
    await site.go(120_000);
    expect(mine(site.told()).hook).toEqual([`raised ${rule}`, `cleared ${rule}`]);
    expect(mine(site.told()).log).toEqual([`raised ${rule}`, `cleared ${rule}`]);
    expect(mine(site.told()).mail).toEqual([
      ...raised.mail,
      expect.stringMatching(new RegExp(`^\\[chain\\] Over: ${title}`)),
    ]);
    // What causes a rule to speak may well be a reason for another: a held lane has a dead letter at its head.
    expect([...others].filter((word) => !/ (dead-letters|backlog-old|restored)$/.test(word))).toEqual([]);
    expect(new Set(site.hook.got.map(({ key }) => key)).size).toBe(site.hook.got.length);
    // By the key a line of the log and what a receiver got are known to be the same.
    for (const { key } of site.hook.got)
      expect(site.lines.filter((text) => text.includes(key)).join()).toMatch(/alert\.(raised|cleared)/);
    const [first] = site.hook.got.filter(({ body }) => (JSON.parse(body) as Body).alert.rule === rule);
    expect((JSON.parse(first!.body) as Body).alert.what).toMatch(/^[A-Z0-9].*\.$/);
  },
);

test("an install that asks for a terminal is told of until a person has said which is the real one", async () => {
  const site = await Site.open();
  const { lanes, restores } = site.ledger;
  await lanes.openEpoch(T1, null, "install-1", "first");
  await expect(lanes.openEpoch(T1, null, "install-2", "restored")).rejects.toMatchObject({ code: "EPOCH_WAITS" });
  await site.go(15_000);
  await restores.allow(T1, "install-2", ANNA, "the new disk");
  await site.go(15_000);
  await site.go(120_000);
  expect(site.told().mail).toEqual([
    "[chain] Set back to an older copy (installs)",
    "[chain] Over: Set back to an older copy (installs)",
  ]);
});

test("a receiver that is away for a while gets everything in order, with the keys of the first try", async () => {
  const site = await Site.open();
  site.hook.answer(503);
  site.sink.refuse(true);
  await CASES["disk-low"].cause(site);
  await site.go(15_000);
  const key = site.hook.got[0]!.key;
  await CASES["disk-low"].mend(site);
  await site.go(HOUR_MS);
  expect(site.hook.got.every((post) => post.key === key)).toBe(true); // the recovery waits behind what it ends
  expect(site.told().mail).toEqual([]);
  expect(site.told().log).toEqual(["raised disk-low", "cleared disk-low"]); // one channel does not wait for another
  const tries = site.hook.got.length;
  expect(tries).toBeGreaterThan(1);
  const states = await site.ledger.alerts.channels();
  expect(states.find(({ channel }) => channel === "pager")).toMatchObject({
    waiting: 2,
    fault: expect.stringMatching(/answered 503/),
  });
  expect(states.find(({ channel }) => channel === "mail")).toMatchObject({
    fault: expect.stringMatching(/did not take it: \w+ 452/),
  });
  site.hook.answer(200);
  site.sink.refuse(false);
  await site.start();
  await site.go(HOUR_MS);
  expect(site.hook.got.slice(tries).map(({ kind }) => kind)).toEqual(["raised", "cleared"]);
  expect(site.hook.got[tries]?.key).toBe(key);
  expect(site.told().mail).toEqual(["[chain] Disk nearly full (host-1)", "[chain] Over: Disk nearly full (host-1)"]);
  const [raised, cleared] = site.sink.mails as [string, string];
  expect(headerOf(raised, "message-id")).toBe(`<${key.replace("/", ".")}@waybill>`);
  expect(headerOf(cleared, "in-reply-to")).toBe(headerOf(raised, "message-id"));
});

test("a hub that dies between telling and saying so tells again with the same key: at least once, never unseen", async () => {
  const site = await Site.open();
  await CASES["disk-low"].cause(site);
  const { delivered } = site.ledger.alerts;
  (site.ledger.alerts as { delivered: typeof delivered }).delivered = async () => {
    throw new Error("the process died here");
  };
  await site.go(15_000).catch(() => undefined);
  await site.start();
  await site.go(15_000);
  expect(site.hook.got).toHaveLength(2);
  expect(new Set(site.hook.got.map(({ key }) => key)).size).toBe(1);
});

test("a redirect is not followed, and what is logged of a receiver holds no secret", async () => {
  const site = await Site.open();
  site.hook.answer(302);
  await CASES["disk-low"].cause(site);
  await site.go(15_000);
  await using dead = await smtpSink({ user: "u", pass: "the-right-password" });
  const settings: AlertSettings = {
    ...site.settings,
    channels: [
      {
        kind: "email",
        name: "m",
        server: `smtp://u:wrong-password@127.0.0.1:${dead.port}`,
        from: "a@b.c",
        to: ["d@e.f"],
      },
      { kind: "webhook", name: "gone", url: "http://127.0.0.1:1/hidden-path?hidden=1", secret: SECRET },
    ],
  };
  const { ledger, lines } = site;
  const log = createLog({ level: "debug", form: "json", to: { write: (line) => lines.push(line) } });
  const watch = new AlertWatch({
    ledger,
    settings,
    runtime: hurried,
    log,
    process: workerId("w"),
    own: [],
    shared: {},
  });
  await expect(watch.test("m")).rejects.toMatchObject({
    code: "NOTICE_UNDELIVERED",
    what: expect.stringMatching(/EAUTH 535/),
  });
  await expect(watch.test("gone")).rejects.toMatchObject({
    what: expect.stringMatching(/127\.0\.0\.1:1 did not take it: ECONNREFUSED/),
  });
  await expect(watch.test("who")).rejects.toMatchObject({
    code: "NOT_FOUND",
    what: expect.stringMatching(/there are m, gone/),
  });
  await site.watch.test("log");
  const everything = [
    ...lines,
    JSON.stringify(await ledger.alerts.channels()),
    JSON.stringify(await ledger.trail.recent(100, null)),
  ].join("\n");
  expect(everything).toMatch(/answered 302/);
  expect(everything).toMatch(/alert\.test/);
  expect(everything).not.toMatch(/wrong-password|right-password|very-secret-path|in-the-query|hidden|a-secret-of/);
});

test("mails go by a server that asks for a password", async () => {
  await using sink = await smtpSink({ user: "hub@example.org", pass: "p@ss/word" });
  const site = await Site.open();
  const server = `smtp://hub%40example.org:p%40ss%2Fword@127.0.0.1:${sink.port}`;
  const channels = [
    {
      kind: "email" as const,
      name: "mail",
      server,
      from: "Waybill <hub@example.org>",
      to: ["a@example.org", "b@example.org"],
    },
  ];
  const watch = new AlertWatch({
    ledger: site.ledger,
    settings: { ...site.settings, channels },
    runtime: hurried,
    log: createLog({ level: "silent", form: "json" }),
    process: workerId("w"),
    own: [],
    shared: {},
  });
  const { key } = await watch.test("mail");
  expect(sink.mails).toHaveLength(1);
  expect(headerOf(sink.mails[0]!, "subject")).toBe("[chain] Test: test");
  expect(headerOf(sink.mails[0]!, "to")).toBe("a@example.org, b@example.org");
  expect(headerOf(sink.mails[0]!, "x-waybill-key")).toBe(key);
});

test("what is wrong in the config is said with its place, and no secret", () => {
  const read = alertsConfig.safeParse({
    each: 0,
    rules: { laneHeld: { afterMinutes: -1 }, terminalSilent: true, clockSkew: { above: 1 }, nothing: {} },
    webhooks: [
      { name: "a", url: "ftp://host", secret: "short-secret" },
      { name: "a", url: "https://host", secret: "long-enough-secret" },
    ],
    email: [{ name: "log", server: "mail.example.org", from: "nobody", to: [] }],
  });
  const issues = (read.error?.issues ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`);
  const text = issues.join("\n");
  for (const wrong of [
    /^each: /m,
    /^rules\.laneHeld/m,
    /^rules\.terminalSilent: must be `false`, or an object/m,
    /^rules\.clockSkew/m,
    /^rules: .*nothing/m,
    /^webhooks\.0\.url: must look like/m,
    /^webhooks\.0\.secret: must have at least 16/m,
    /^email\.0\.name: "log" is the name/m,
    /^email\.0\.server: must look like "smtp/m,
    /^email\.0\.from: must be an e-mail address/m,
    /^email\.0\.to: name at least one/m,
  ])
    expect(text).toMatch(wrong);
  expect(text).not.toMatch(/short-secret|long-enough/);
  const twice = alertsConfig.safeParse({
    webhooks: [{ name: "a", url: "https://h", secret: "long-enough-secret" }],
    email: [{ name: "a", server: "smtp://h", from: "a@b.c", to: ["d@e.f"] }],
  });
  expect(twice.error?.issues.map(({ path, message }) => `${path.join(".")}: ${message}`)).toEqual([
    'email.0.name: another channel is called "a" too',
  ]);
});

test("rules that are switched off say nothing", async () => {
  const rules = Object.fromEntries(Object.keys(alertsConfig.parse({}).rules).map((name) => [name, false]));
  const settings = alertSettings(alertsConfig.parse({ rules }));
  expect(Object.values(settings.rules).every((rule) => rule === null)).toBe(true);
});

test("the API lists, tells rules and channels without secrets, takes notes of who saw what, and tries a channel", async () => {
  const settings = alertSettings(
    alertsConfig.parse({ webhooks: [{ name: "pager", url: "https://hooks.example/secret-path", secret: SECRET }] }),
  );
  const tried: string[] = [];
  const alerts = { settings, test: async (channel: string) => (tried.push(channel), { channel, key: "k/1" }) };
  await using hub = await openApi({ parts: { alerts } });
  const get = (path: string) => hub.call("GET", path, { key: VIEWER });
  const { policy } = settings;
  for (const subject of ["a/E1", "b/E1"])
    await hub.ledger.alerts.observe(
      [],
      [{ rule: "lane-held", subject, what: `${subject} is held.`, count: null, facts: { lane: subject } }],
      policy,
    );
  const page = (await get("/api/alerts?limit=1")).json as { alerts: { id: string }[]; next: string };
  expect(page).toMatchObject({ alerts: [{ rule: "lane-held", subject: "b/E1", clearedAt: null, seen: null }] });
  expect((await get(`/api/alerts?limit=5&before=${page.next}`)).json).toMatchObject({
    alerts: [{ subject: "a/E1" }],
    next: null,
  });
  expect((await get("/api/alerts?state=past")).json).toEqual({ alerts: [], next: null });
  expect((await get("/api/alerts?rule=nonsense")).status).toBe(400);
  const { text, json } = await get("/api/alerts/rules");
  expect(json).toMatchObject({
    rules: expect.arrayContaining([expect.objectContaining({ name: "lane-held", limits: { afterMs: 1_800_000 } })]),
    channels: [
      { name: "log" },
      { name: "pager", kind: "webhook", target: "https://hooks.example", waiting: 2, fault: null },
    ],
  });
  expect(text).not.toMatch(/secret-path|a-secret-of/);
  const see = (id: string, key: string) => hub.call("POST", `/api/alerts/${id}/see`, { key, json: { note: "on it" } });
  expect((await see(page.alerts[0]!.id, VIEWER)).status).toBe(403);
  expect((await see(page.alerts[0]!.id, OPERATOR)).json).toMatchObject({ seen: { by: "token:anna", note: "on it" } });
  expect((await see("nothing", OPERATOR)).status).toBe(404);
  expect((await hub.call("POST", "/api/alerts/test", { key: OPERATOR, json: { channel: "pager" } })).json).toEqual({
    channel: "pager",
    key: "k/1",
  });
  expect(tried).toEqual(["pager"]);
});
