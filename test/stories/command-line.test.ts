import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { main } from "../../src/cli/main.ts";
import type { TraceAnswer } from "../../src/hub/api/trace.ts";
import type { ExceptionRow } from "../../src/ledger/exceptions.ts";
import type { TerminalLine } from "../../src/ledger/fleet.ts";
import { saleLine, TestLane } from "../kit/api.ts";
import { spawnWaybill, type Child } from "../kit/child.ts";
import { freePort } from "../kit/free-port.ts";
import { tempDir, type TempDir } from "../kit/temp-dir.ts";
import { until } from "../kit/until.ts";

/** The command line against the running demo, as support staff use it: text for people, --json for programs, exit codes for scripts. */
const CLUMSY = "till-002"; // the till that sends a sale the centre refuses, a few seconds after its start

type Said = { readonly code: number; readonly out: string; readonly err: string };

/** One command line in this process: the same words and the same code as in a shell, without a second of starting Node each. */
async function waybill(...words: string[]): Promise<Said> {
  let [out, err] = ["", ""];
  const before = process.exitCode;
  process.exitCode = undefined;
  try {
    const code = await main(words, {
      out: (text) => (out += `${text}\n`),
      raw: (text) => (out += text),
      err: (text) => (err += `${text}\n`),
    });
    // Whatever happens, people see words, never where in our code it happened.
    expect(`${out}${err}`, words.join(" ")).not.toMatch(/^\s+at .+:\d+/m);
    return { code, out, err };
  } finally {
    process.exitCode = before;
  }
}

describe("the command line", () => {
  let dir: TempDir;
  let demo: Child;
  let hub: readonly string[] = [];
  const ask = (...words: string[]): Promise<Said> => waybill(...words, ...hub);
  const json = async <T>(...words: string[]): Promise<T> => {
    const { code, out, err } = await ask(...words, "--json");
    expect({ code, err }, words.join(" ")).toEqual({ code: 0, err: "" });
    return JSON.parse(out) as T;
  };
  const dead = async (): Promise<readonly ExceptionRow[]> =>
    (await json<{ rows: readonly ExceptionRow[] }>("dead", "list", "--terminal", CLUMSY)).rows;

  beforeAll(async () => {
    dir = tempDir();
    const port = String(await freePort());
    demo = spawnWaybill(["demo", "--data", dir.file("data"), "--port", port, "--shops", "2", "--rate", "5"]);
    writeFileSync(
      dir.file("waybill.config.json"),
      JSON.stringify({
        ledger: "sqlite:./data/ledger.db",
        central: "sqlite:./data/central.db",
        port: Number(port),
        tables: { sale: { direction: "up", search: ["sale_id"] } },
      }),
    );
    hub = ["--config", dir.file("waybill.config.json")];
    await demo.waitForLine(/sold [1-9]/, { timeoutMs: 30_000 });
  });
  afterAll(async () => {
    await demo.kill("SIGTERM");
    await dir[Symbol.asyncDispose]();
  });

  test("status tells what needs attention, and each terminal's line", async () => {
    const { code, out } = await until(
      async () => {
        const said = await ask("status");
        return said.out.includes("till-002") && said.out.includes("wcf-003") && said;
      },
      { timeoutMs: 20_000, what: "all terminals" },
    );
    expect(code).toBe(0);
    // Two shops with agents, and a till that speaks SOAP.
    expect(out).toMatch(/3 terminals · [\d ]+ messages received/);
    expect(out).toMatch(/^till-001 /m);
    const { overview, terminals } = await json<{ overview: { terminals: number }; terminals: readonly object[] }>(
      "status",
    );
    expect(overview.terminals).toBe(3);
    expect(terminals).toHaveLength(overview.terminals);
  });

  test("restores tells what was set back, what is missing, and who waits for a word", async () => {
    expect(await ask("restores")).toMatchObject({ code: 0, out: expect.stringContaining("nothing is missing") });
    const found = await json<Record<"restored" | "missing" | "asks", readonly object[]>>("restores");
    expect(found).toEqual({ restored: [], missing: [], asks: [] });
    const refused = await ask("restores", "allow", "till-001", "nobody", "--reason", "typing error");
    expect(refused).toMatchObject({ code: 3, err: expect.stringContaining("NOT_FOUND") });
  });

  test("retention says what is kept how long, and takes away on a word, with its progress", async () => {
    const { code, out } = await ask("retention");
    expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/messages, in stored runs +90 days/) });
    const dry = await ask("retention", "run", "--dry-run");
    expect(dry.out).toContain("A pass begins every 60 min");
    const run = await ask("retention", "run");
    expect(run).toMatchObject({ code: 0, out: expect.stringMatching(/took .*: nothing was beyond its time/) });
    expect(await json<{ pass: { by: string } }>("retention")).toMatchObject({ pass: { failed: null } });
  });

  test("reconcile compares both sides, shows what differs, and repairs it", { timeout: 60_000 }, async () => {
    expect(await ask("reconcile")).toMatchObject({ code: 0, out: expect.stringContaining("Nothing was compared yet") });
    await until(async () => (await ask("status")).out.includes("till-001"), { timeoutMs: 20_000, what: "the till" });
    const { code, out, err } = await ask("reconcile", "till-001");
    expect(out, err).toMatch(/^sale .* up /m);
    expect(out).toMatch(/Both sides of till-001 are equal|What was compared of till-001 is equal|not at centre/);
    expect([0, 1]).toContain(code);
    const { reconciles } = await json<{ reconciles: readonly { id: string; state: string }[] }>("reconcile");
    expect(reconciles).toMatchObject([{ state: "done" }]);
    expect(await ask("reconcile", "show", "nothing")).toMatchObject({ code: 3 });
    expect(await ask("reconcile", "till-001", "--table", "nowhere")).toMatchObject({
      code: 1,
      err: expect.stringContaining("TABLE_UNKNOWN"),
    });
  });

  test(
    "a refused sale: listed, shown, traced by receipt, requeued as edited, and gone",
    { timeout: 60_000 },
    async () => {
      const [row] = await until(async () => ((await dead()).length > 0 ? dead() : null), {
        timeoutMs: 30_000,
        what: "a dead letter",
      });
      const seq = String(row?.seq);
      expect(row).toMatchObject({ state: "dead", fault: "CHECK_VIOLATED" });
      const listed = await ask("dead", "list");
      expect(listed).toMatchObject({ code: 0, err: "" });
      expect(listed.out).toMatch(new RegExp(`^${CLUMSY} +${seq} +dead .*CHECK_VIOLATED`, "m"));
      expect((await ask("dead", "list", "--fault", "ROW_EXISTS")).out).toBe("No message is dead.\n");

      const shown = await ask("dead", "show", CLUMSY, seq);
      expect(shown.code).toBe(0);
      expect(shown.out).toContain("CHECK_VIOLATED");
      expect(shown.out).toMatch(/insert +sale_line/);
      const { exception, payload } = await json<{ exception: ExceptionRow; payload: { lines: readonly string[] } }>(
        "dead",
        "show",
        CLUMSY,
        seq,
      );
      expect(exception).toMatchObject({ seq: row?.seq, state: "dead" });

      const line = JSON.parse(payload.lines[0] ?? "") as {
        changes: { table: string; row?: { sale_id?: string; qty?: number } }[];
      };
      const mistake = line.changes.find(({ table, row: sold }) => table === "sale_line" && sold?.qty === 0)?.row;
      const receipt = mistake?.sale_id ?? "";
      const traced = await ask("trace", CLUMSY, receipt);
      expect(traced).toMatchObject({ code: 0, err: "" });
      expect(traced.out).toMatch(new RegExp(`/${seq} +dead: `));
      expect(traced.out).toMatch(/received .*\n.*dead /);
      const told = await json<TraceAnswer>("trace", CLUMSY, seq);
      expect(told.messages[0]).toMatchObject({ seq: row?.seq, state: "dead" });

      const noReason = await ask("dead", "requeue", CLUMSY, seq);
      expect(noReason.code).toBe(2);
      expect(noReason.err).toContain("--reason");
      const noFile = await ask("dead", "requeue", CLUMSY, seq, "--reason", "x", "--payload", dir.file("none.json"));
      expect(noFile).toMatchObject({ code: 2, err: expect.stringContaining("cannot be read") as string });
      writeFileSync(dir.file("broken.json"), "{");
      const broken = await ask("dead", "requeue", CLUMSY, seq, "--reason", "x", "--payload", dir.file("broken.json"));
      expect(broken).toMatchObject({ code: 1, err: expect.stringMatching(/^REQUEST_INVALID: /) as string });

      if (mistake) mistake.qty = 1;
      writeFileSync(dir.file("mended.json"), JSON.stringify(line));
      const requeued = await ask(
        "dead",
        "requeue",
        CLUMSY,
        seq,
        "--reason",
        "typing error",
        "--payload",
        dir.file("mended.json"),
      );
      expect(requeued).toMatchObject({ code: 0, err: "" });
      expect(requeued.out).toMatch(/^Queued again: /);
      const state = async (): Promise<string | undefined> =>
        (await json<TraceAnswer>("trace", CLUMSY, seq)).messages[0]?.state;
      await until(async () => (await state()) === "loaded", { timeoutMs: 15_000, what: "the mended sale" });
      expect((await ask("trace", CLUMSY, seq)).out).toContain("typing error");
      const again = await ask("dead", "discard", CLUMSY, seq, "--reason", "too late");
      expect([1, 3]).toContain(again.code);
      expect(again.err).not.toBe("");
    },
  );

  test("a message that nobody wants is discarded for good", async () => {
    const address = (await ask("enroll", "till-008")).out.match(/http:\S+/)?.[0] ?? "";
    const { token } = await json<{ token: string }>("enroll", "till-008");
    const post = async (
      path: string,
      body: string | Uint8Array<ArrayBuffer>,
      headers: Record<string, string>,
    ): Promise<{ key?: string }> => {
      const answer = await fetch(`${address}${path}`, { method: "POST", headers, body });
      expect(answer.ok).toBe(true);
      return (await answer.json()) as { key?: string };
    };
    const { key } = await post("/v1/enroll", JSON.stringify({ token, terminal: "till-008" }), {
      "content-type": "application/json",
    });
    const lane = new TestLane("E1", 1, saleLine); // no such columns at the centre
    await post("/v1/messages", lane.body(1, 1), {
      "content-type": "application/x-ndjson",
      authorization: `Bearer ${key}`,
    });
    const state = async (): Promise<string | undefined> =>
      (await json<TraceAnswer>("trace", "till-008", "1")).messages[0]?.state;
    await until(async () => (await state()) === "dead", { timeoutMs: 10_000, what: "the dead letter" });

    expect((await ask("dead", "discard", "till-008", "1", "--reason", "nothing was sold")).out).toMatch(/^Given up: /);
    await until(async () => (await state()) === "discarded", { timeoutMs: 15_000, what: "the discard" });
    expect((await ask("trace", "till-008", "1")).out).toMatch(/ discarded: .*nothing was sold/);
    const listed = await ask("dead", "list", "--states", "discarded");
    expect(listed.out).toMatch(/^till-008 +1 +discarded/m);
    const undone = await ask("dead", "requeue", "till-008", "1", "--reason", "after all");
    expect(undone).toMatchObject({ code: 1, out: "", err: expect.stringMatching(/^STATE_CONFLICT: /) as string });
  });

  test(
    "pause stops what is named, drain everything and says when; resume lets it go on",
    { timeout: 60_000 },
    async () => {
      expect(await ask("pause")).toMatchObject({ code: 0, out: "Nothing is paused.\n" });
      const why = ["--reason", "schema change"];
      const paused = await ask("pause", "--table", "sale", ...why);
      expect(paused).toMatchObject({ code: 0, out: expect.stringMatching(/^route +sale +.*schema change/m) });
      // A sale rung up now waits, and the trace says why.
      const newest = async (): Promise<TraceAnswer["messages"][number] | undefined> => {
        const { terminals } = await json<{ terminals: readonly TerminalLine[] }>("status");
        const received = terminals.find(({ terminal }) => terminal === "till-001")?.received;
        return (await json<TraceAnswer>("trace", "till-001", String(received))).messages[0];
      };
      const waits = async (): Promise<boolean> =>
        (await newest())?.waits.some((wait) => wait.kind === "paused" && wait.reason === "schema change") ?? false;
      await until(waits, { timeoutMs: 20_000, what: "a sale that waits" });
      const shown = await json<{ pauses: readonly { waiting: number }[] }>("pause");
      expect(shown.pauses).toMatchObject([{ kind: "route", name: "sale", waiting: expect.any(Number) }]);
      expect((await ask("pause")).out).toMatch(/^route +sale /m);

      const drained = await ask("drain", ...why);
      expect(drained).toMatchObject({
        code: 0,
        out: expect.stringContaining("Nothing is in work. Go on with: waybill resume --all"),
      });
      expect((await json<{ lanesInWork: number }>("pause")).lanesInWork).toBe(0);

      expect((await ask("resume", "--all", ...why)).out).not.toMatch(/^everything/m);
      expect((await ask("resume", "--table", "sale", ...why)).out).toBe("Nothing is paused.\n");
      const loaded = async (): Promise<boolean> => (await newest())?.state === "loaded";
      await until(loaded, { timeoutMs: 20_000, what: "the sales to be loaded" });

      for (const [words, complaint] of [
        [["pause", "--all"], /--reason/],
        [["resume", ...why], /say what goes on/],
        [["pause", "--all", "--table", "sale", ...why], /name one of/],
        [["drain", "--timeout", "soon", ...why], /no number of seconds/],
      ] as const)
        expect(await ask(...words), words.join(" ")).toMatchObject({ code: 2, err: expect.stringMatching(complaint) });
    },
  );

  test("enroll makes a token and says how to use it", async () => {
    const { code, out } = await ask("enroll", "till-009", "--tag", "store=009", "--hours", "2");
    expect(code).toBe(0);
    expect(out).toMatch(/Token for till-009, valid once until 20\d\d-/);
    expect(out).toContain("waybill terminal --hub http://127.0.0.1:");
    expect(await json<object>("enroll", "till-010")).toMatchObject({
      terminal: "till-010",
      token: expect.any(String) as string,
    });
  });

  test("doctor and config look at what this folder has", async () => {
    expect(await ask("doctor")).toMatchObject({ code: 0, err: "" });
    expect(await json<readonly object[]>("doctor")).toEqual([]);
    expect(await ask("config", "--check")).toMatchObject({
      code: 0,
      out: expect.stringContaining("is right: 1 table") as string,
    });
    expect(await json<object>("config", "--check")).toEqual({ ok: true, tables: ["sale"] });
    const settings = await json<readonly { path: string; meaning: string }[]>("config");
    expect(settings.find(({ path }) => path === "retry.attempts")?.meaning).not.toBe("");
    expect((await ask("config")).out).toMatch(/^port .*8420/m);
    expect((await ask("config", "--terminal")).out).toMatch(/^waitSeconds /m);
  });

  test("version and help need nothing", async () => {
    expect((await waybill("version")).out).toMatch(/^waybill \d+\.\d+\.\d+, node /);
    expect(JSON.parse((await waybill("version", "--json")).out)).toMatchObject({ node: process.versions.node });
    for (const words of [["--help"], ["help"], ["help", "dead"], ["dead", "requeue", "--help"], ["trace", "--help"]]) {
      const said = await waybill(...words);
      expect({ code: said.code, err: said.err }, words.join(" ")).toEqual({ code: 0, err: "" });
      expect(said.out, words.join(" ")).toContain("Usage: waybill");
    }
  });

  test.each([
    [2, ["nonsense"]],
    [2, ["status", "--nonsense"]],
    [2, ["trace"]],
    [2, ["dead", "nonsense"]],
    [2, ["enroll", "till-011", "--tag", "nonsense"]],
    [2, ["enroll", "till-011", "--hours", "-1"]],
  ])("wrong words end with %i and say which: %j", async (code, words) => {
    const said = await ask(...words);
    expect({ ...said, err: "" }).toEqual({ code, out: "", err: "" });
    expect(said.err).toMatch(/^error: /m);
    expect(said.err).toContain("waybill help");
  });

  test.each([
    [3, "NOT_FOUND", ["trace", "nobody", "1"]],
    [3, "NOT_FOUND", ["trace", "till-001", "999999999"]],
    [3, "NOT_FOUND", ["trace", "no-such-receipt"]],
    [3, "NOT_FOUND", ["dead", "show", "nobody", "1"]],
    [3, "NOT_FOUND", ["dead", "show", "till-001", "1"]],
    [1, "REQUEST_INVALID", ["enroll", "no such name!"]],
    [1, "REQUEST_INVALID", ["dead", "list", "--states", "nonsense"]],
    [1, "REQUEST_INVALID", ["status", "--limit", "many"]],
  ])("what is not there ends with %i %s: %j", async (code, fault, words) => {
    const said = await ask(...words);
    expect({ ...said, err: "" }).toEqual({ code, out: "", err: "" });
    expect(said.err).toMatch(new RegExp(`^${fault}: .+\\n→ .+\\n$`, "s"));
    const { code: again, out, err } = await ask(...words, "--json");
    expect({ code: again, out }).toEqual({ code, out: "" });
    expect(JSON.parse(err)).toMatchObject({ code: fault, hint: expect.any(String) as string });
  });

  test("a hub that is not there, a config that is wrong, a token that is none", async () => {
    const nobody = `http://127.0.0.1:${await freePort()}`;
    const gone = await waybill("status", "--hub", nobody, "--token", "x".repeat(20));
    expect(gone).toMatchObject({ code: 4, out: "", err: expect.stringMatching(/^HUB_UNREACHABLE: .*\n→ /) as string });
    const address = (await ask("enroll", "till-012")).out.match(/http:\S+/)?.[0] ?? "";
    const stranger = await waybill("status", "--hub", address, "--token", "x".repeat(20));
    expect(stranger).toMatchObject({ code: 1, err: expect.stringMatching(/^UNAUTHENTICATED: /) as string });

    expect(await waybill("status", "--config", dir.file("none.json"))).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^CONFIG_NOT_FOUND: /) as string,
    });
    writeFileSync(dir.file("wrong.json"), JSON.stringify({ port: "many", retry: { attempts: 0 }, tables: {} }));
    const wrong = await waybill("config", "--check", "--config", dir.file("wrong.json"));
    expect(wrong.code).toBe(2);
    for (const path of ["port", "retry.attempts", "tables"]) expect(wrong.err).toContain(`${path}: `);
    writeFileSync(
      dir.file("fresh.json"),
      JSON.stringify({ ledger: "sqlite:./none/l.db", tables: { sale: { direction: "up" } } }),
    );
    expect(await waybill("status", "--config", dir.file("fresh.json"))).toMatchObject({
      code: 1,
      err: expect.stringContaining("start the hub once") as string,
    });
    expect(await waybill("terminal", "status", "--state", dir.file("nowhere"))).toMatchObject({
      code: 3,
      err: expect.stringMatching(/^NOT_FOUND: /) as string,
    });
    expect(await waybill("doctor", "--database", `sqlite:${dir.file("none.db")}`)).toMatchObject({
      code: 4,
      err: expect.stringMatching(/^DATABASE_UNAVAILABLE: /) as string,
    });
  });

  test("a shell sees the same: output, error and code of a real process", async () => {
    expect(demo.stderr).not.toMatch(/^\s+at .+:\d+/m);
    await using fine = spawnWaybill(["status", "--json", ...hub]);
    expect(await fine.ended).toEqual({ code: 0, signal: null });
    expect(JSON.parse(fine.stdout)).toHaveProperty("overview");
    await using lost = spawnWaybill(["trace", "nobody", "1", ...hub]);
    expect(await lost.ended).toEqual({ code: 3, signal: null });
    expect(lost.stderr).toMatch(/^NOT_FOUND: there is no terminal nobody\n→ /);
    expect(lost.stdout).toBe("");
  });
});
