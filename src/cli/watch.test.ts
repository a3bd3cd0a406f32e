import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { spawnChild } from "../../test/kit/child.ts";
import { openApi, OPERATOR } from "../../test/kit/api.ts";
import { REPO } from "../../test/kit/repo.ts";
import { until } from "../../test/kit/until.ts";
import { instant } from "../base/clock.ts";
import { terminalId, type UpdateId } from "../base/ids.ts";
import type { TerminalLine } from "../ledger/fleet.ts";
import { picture, type Watched } from "./overview.ts";
import { cut, sparkline } from "./screen.ts";

const NOW = Date.UTC(2026, 10, 23, 9, 0);
const line = (n: number, more: Partial<TerminalLine> = {}): TerminalLine => ({
  terminal: terminalId(`till-${String(n).padStart(3, "0")}`),
  tags: {},
  health: "well",
  lane: null,
  ...{ received: 1_000 * n, loaded: 1_000 * n, waiting: 0, retrying: 0, held: 0, dead: 0, lagMs: 340 },
  lastSeenAt: instant(NOW - 2_000),
  appliedThrough: 7 as UpdateId,
  ...more,
});
const watched = (more: Partial<Watched> = {}): Watched => ({
  address: "http://hub.example:8420",
  overview: {
    ...{ terminals: 40, received: 120_000, loaded: 119_000, backlog: 1_000, oldestReceivedAt: instant(NOW - 3_000) },
    ...{ retrying: 0, held: 2, dead: 1, discarded: 0, updatesHead: 9 as UpdateId },
  },
  terminals: Array.from({ length: 40 }, (_, n) => line(n + 1, n === 29 ? { dead: 1, held: 2 } : {})),
  restores: { missing: [], asks: [], restored: [] },
  standstill: { pauses: [], breaker: null },
  rates: { received: [0, 5, 10], loaded: [1, 2, 3] },
  silent: null,
  ...more,
});
const visible = (text: string): number => [...text.replace(/\u001b\[[0-9;]*m/g, "")].length;

describe("the picture", () => {
  test("fits every screen, and says what needs a person first", () => {
    for (const columns of [20, 33, 40, 60, 80, 100, 200]) {
      for (const rows of [6, 10, 24, 50]) {
        const lines = picture(watched(), NOW, { columns, rows });
        expect(lines.length, `${columns}×${rows}`).toBeLessThanOrEqual(rows);
        for (const each of lines) expect(visible(each), each).toBeLessThanOrEqual(columns);
        expect(lines.join("\n")).toContain("1 message");
      }
    }
  });
  test("shows the terminal in trouble at the top, and how many there is no room for", () => {
    const lines = picture(watched(), NOW, { columns: 100, rows: 20 });
    const head = lines.findIndex((each) => each.includes("last seen"));
    expect(lines[head + 1]).toContain("till-030");
    const shown = lines.filter((each) => /till-\d/.test(each)).length;
    expect(shown).toBeGreaterThan(3);
    expect(lines.join("\n")).toContain(`… and ${40 - shown} terminals more`);
  });
  test("a narrow screen does without columns, but not without who and how much waits", () => {
    const lines = picture(watched(), NOW, { columns: 40, rows: 30 });
    const head = lines.find((each) => each.includes("terminal "));
    expect(head).toContain("waiting");
    expect(head).not.toContain("received");
  });
  test("a hub that stopped answering is said at the top, with since when", () => {
    const silent = { since: NOW - 12_000, why: "nobody listens there" };
    expect(picture(watched({ silent }), NOW, { columns: 120, rows: 24 })[1]).toMatch(
      /does not answer since 12 s.*nobody listens/,
    );
  });
});

test("cutting keeps colours and ends them", () => {
  expect(cut("abcdef", 6)).toBe("abcdef");
  expect(cut("abcdef", 4)).toBe("abc…");
  expect(cut("\u001b[31mabcdef\u001b[39m", 4)).toBe("\u001b[31mabc…\u001b[0m");
  expect(cut("\u001b[31mab\u001b[39m", 4)).toBe("\u001b[31mab\u001b[39m");
  expect(cut("😀😀😀", 2)).toBe("😀…");
});

test("bars are as high as their values, the newest at the right", () => {
  expect(sparkline([0, 0], 10)).toBe("▁▁");
  expect(sparkline([0, 4, 8], 10)).toBe("▁▄█");
  expect(sparkline([8, 1, 8], 2)).toHaveLength(2);
  expect(sparkline([], 10)).toBe("");
});

const BIN = join(REPO, "bin/waybill.js");
describe("waybill status --watch", () => {
  test("into a pipe it writes plain blocks, and ends in order when it is told to", async () => {
    await using hub = await openApi();
    await using child = spawnChild(process.execPath, [
      BIN,
      "status",
      "--watch",
      "--every",
      "0.2",
      "--hub",
      hub.address,
      "--token",
      OPERATOR,
    ]);
    await until(() => child.stdout.split("0 terminals").length > 3, { timeoutMs: 20_000, what: "three looks" });
    expect(await child.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    expect(child.stdout).not.toContain("\u001b");
    expect(child.stderr).toBe("");
  });

  test("a hub that is not there is an error at once, and with code 4", async () => {
    await using child = spawnChild(process.execPath, [
      BIN,
      "status",
      "--watch",
      "--hub",
      "http://127.0.0.1:1",
      "--token",
      "t",
    ]);
    expect((await child.ended).code).toBe(4);
    expect(child.stderr).toContain("HUB_UNREACHABLE");
  });

  // Python gives it a real terminal; Debian has one wherever these tests need more than Node.
  test.skipIf(!existsSync("/usr/bin/python3"))(
    "on a terminal it redraws in place, outlives its hub, ends with q, and leaves the terminal as it was",
    async () => {
      const hub = await openApi();
      const words = `${process.execPath} ${BIN} status --watch --every 0.2 --hub ${hub.address} --token ${OPERATOR}`;
      const typed = `stty cols 50 rows 12; ${words}; stty -a | tr ';' '\\n'`;
      await using child = spawnChild("/usr/bin/python3", ["-c", TYPIST, typed], {
        env: { NO_COLOR: undefined, TERM: "xterm" },
      });
      await until(() => child.stdout.split("\u001b[H").length > 3, { timeoutMs: 20_000, what: "redrawn pictures" });
      await hub.close();
      await until(() => child.stdout.includes("does not answer"), {
        timeoutMs: 20_000,
        what: "a word that the hub is gone",
      });
      await child.kill("SIGUSR1");
      const { code } = await child.ended;
      const all = child.stdout;
      expect({ code, said: child.stderr }).toEqual({ code: 0, said: "" });
      expect(all.indexOf("\u001b[?1049h")).toBeGreaterThanOrEqual(0);
      expect(all.indexOf("\u001b[?25h\u001b[?1049l"), "the cursor and the old page are back").toBeGreaterThan(
        all.lastIndexOf("\u001b[H"),
      );
      for (const each of all.split("\u001b[?1049l")[0]?.split(/\r*\n|\u001b\[H/) ?? [])
        expect(visible(each.replace(/\u001b\[[?\d;]*[A-Za-z]/g, ""))).toBeLessThanOrEqual(50);
      expect(all).toMatch(/[^-]icanon/); // the terminal's own line editing is on again
    },
  );
});

/** Runs a command on a terminal of its own, passes on what it writes, and types "q" when it gets SIGUSR1. */
const TYPIST = `
import os, pty, signal, sys
pid, fd = pty.fork()
if pid == 0: os.execvp("/bin/sh", ["sh", "-c", sys.argv[1]])
signal.signal(signal.SIGUSR1, lambda *_: os.write(fd, b"q"))
while True:
    try: data = os.read(fd, 65536)
    except OSError: break
    if not data: break
    sys.stdout.buffer.write(data); sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;
