import { existsSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { spawnChild } from "./child.ts";
import { freePort } from "./free-port.ts";
import { describeWith } from "./needs.ts";
import { REPO } from "./repo.ts";
import { csvRecords, generatedRetail, readRetail } from "./retail.ts";
import { tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

describe("until", () => {
  test("gives what the condition gives as soon as it holds", async () => {
    let asked = 0;
    expect(await until(() => ++asked === 3 && "held")).toBe("held");
    expect(asked).toBe(3);
  });
  test("a condition that throws does not hold yet, and its last error is kept", async () => {
    const refused = new Error("refused");
    const waiting = until(() => Promise.reject(refused), { timeoutMs: 20, what: "the port" });
    await expect(waiting).rejects.toMatchObject({ message: "the port did not come true within 20 ms", cause: refused });
  });
  test("a condition that never answers runs into the limit", async () => {
    await expect(until(() => new Promise<boolean>(() => undefined), { timeoutMs: 20 })).rejects.toThrow("within 20 ms");
  });
});

test("a temporary folder is gone with all it holds at the end of its scope", async () => {
  let path = "";
  {
    await using dir = tempDir();
    path = dir.path;
    writeFileSync(dir.file("till.db"), "x");
    expect(existsSync(path)).toBe(true);
  }
  expect(existsSync(path)).toBe(false);
});

test("a free port refuses connections until somebody listens", async () => {
  const socket = connect(await freePort(), "127.0.0.1");
  const error = await new Promise((resolve) => socket.once("error", resolve));
  expect(error).toMatchObject({ code: "ECONNREFUSED" });
});

describe("a child process", () => {
  const node = (code: string) => spawnChild(process.execPath, ["-e", code]);

  test("gives lines already written, lines to come, and a last line without a newline", async () => {
    await using child = node(
      `console.log("one"); console.error("two"); setImmediate(() => process.stdout.write("three"))`,
    );
    expect((await child.waitForLine(/^t(wo)$/))[1]).toBe("wo");
    expect((await child.waitForLine(/^three$/))[0]).toBe("three");
    expect((await child.waitForLine(/^one$/))[0]).toBe("one");
    expect(await child.ended).toEqual({ code: 0, signal: null });
  });
  test("an awaited line fails with the output when the process ends without it", async () => {
    await using child = node(`console.log("only this"); process.exit(3)`);
    await expect(child.waitForLine(/never/)).rejects.toThrow(/it ended \(3\)[^]*only this/);
  });
  test("is killed at the end of the scope", async () => {
    const child = node(`console.log("up"); setInterval(() => {}, 1000)`);
    await child.waitForLine(/up/);
    await child[Symbol.asyncDispose]();
    expect(await child.ended).toEqual({ code: null, signal: "SIGKILL" });
  });
  test("a program that is not there says so", async () => {
    await using child = spawnChild("/nowhere/at/all", []);
    await expect(child.waitForLine(/x/)).rejects.toThrow("ENOENT");
    await expect(child.ended).rejects.toThrow("ENOENT");
  });
});

describe("retail", () => {
  test("CSV fields may hold commas, newlines and quotes", () => {
    expect(csvRecords('a,"b,c"\r\n"d ""e""\nf",\n,g\n')).toEqual([
      ["a", "b,c"],
      ['d "e"\nf', ""],
      ["", "g"],
    ]);
    expect(csvRecords("a,")).toEqual([["a", ""]]);
    expect(() => csvRecords('a,"b')).toThrow("offset 2");
  });
  test("the generated set is the same every time and as dirty as the real one", () => {
    const { invoices, facts, source } = generatedRetail();
    expect(generatedRetail().invoices).toEqual(invoices);
    const lines = invoices.flatMap((sale) => sale.lines);
    expect(facts).toMatchObject({ invoices: 60, lines: lines.length });
    expect(source).toBe("generated");
    expect(lines.some((line) => line.unitPrice === "0")).toBe(true);
    expect(invoices.some((sale) => sale.invoice.startsWith("C"))).toBe(true);
    expect(invoices.some((sale) => sale.customer === null)).toBe(true);
    expect(invoices.some((sale) => new Set(sale.lines.map((line) => line.stockCode)).size < sale.lines.length)).toBe(
      true,
    );
  });
  describeWith("retail", "the data set", (path) => {
    test("has the facts that are known of it", () => {
      expect(readRetail(path).facts).toEqual({ invoices: 512, lines: 10_000, total: "180667.75" });
    });
  });
});

test("a process's clock can be set while it runs, in its threads too", async () => {
  await using dir = tempDir();
  const clock = dir.file("clock");
  writeFileSync(clock, "3600000");
  const told = `const { Worker, isMainThread } = require("node:worker_threads");
    setInterval(() => console.log(isMainThread ? "main" : "thread", Math.round((Date.now() - performance.timeOrigin) / 3.6e6), new Date().getTime() - Date.now() < 1000), 20);
    if (isMainThread) new Worker(__filename);`;
  writeFileSync(dir.file("told.cjs"), told);
  await using child = spawnChild(process.execPath, [dir.file("told.cjs")], {
    env: { NODE_OPTIONS: `--import=${join(REPO, "test/kit/skewed-clock.ts")}`, SKEWED_CLOCK: clock },
  });
  await Promise.all([child.waitForLine(/^main 1 true$/), child.waitForLine(/^thread 1 true$/)]);
  writeFileSync(clock, "-7200000");
  await Promise.all([child.waitForLine(/^main -2 true$/), child.waitForLine(/^thread -2 true$/)]);
});
