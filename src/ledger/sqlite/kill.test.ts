import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { seq } from "../../base/ids.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { Till } from "../contract/till.ts";
import { openSqliteLedger } from "./ledger.ts";

describe("I2: what was acknowledged before a kill is there after it", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "waybill-kill-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test("through eight kills of one ledger at any moment", { timeout: 60_000 }, async () => {
    const path = join(folder, "ledger.db");
    const promised = new Map<string, number>();
    for (let round = 1; round <= 8; round++) {
      await runAndKill(path, 20 + round * 17, promised);
      await check(path, promised);
    }
    expect(promised.get("received t1")).toBeGreaterThan(100);
    expect(promised.get("loaded t1")).toBeGreaterThan(10);
  });
});

/** Lets the fixture run until it has made so many promises, then kills it; remembers the highest of each kind. */
async function runAndKill(path: string, promises: number, promised: Map<string, number>): Promise<void> {
  const fixture = fileURLToPath(new URL("./kill.fixture.ts", import.meta.url));
  const child = spawn(process.execPath, [fixture, path], { stdio: ["ignore", "pipe", "inherit"] });
  let left = promises;
  for await (const line of createInterface({ input: child.stdout })) {
    const [kind, terminal, n] = line.split(" ");
    promised.set(`${kind} ${terminal}`, Math.max(Number(n), promised.get(`${kind} ${terminal}`) ?? 0));
    if (--left === 0) child.kill("SIGKILL");
  }
  expect(left).toBeLessThanOrEqual(0);
}

async function check(path: string, promised: ReadonlyMap<string, number>): Promise<void> {
  const db = new DatabaseSync(path);
  expect(db.prepare("pragma integrity_check").get()).toEqual({ integrity_check: "ok" });
  db.close();
  await using ledger = await openSqliteLedger(path, systemRuntime);
  for (const name of ["t1", "t2", "t3"]) {
    const till = new Till(name);
    const [lane] = await ledger.lanes.of(till.terminal);
    expect(lane!.receivedThrough).toBeGreaterThanOrEqual(promised.get(`received ${name}`) ?? 0);
    expect(lane!.loadedThrough).toBeGreaterThanOrEqual(promised.get(`loaded ${name}`) ?? 0);
    till.write(lane!.receivedThrough);
    const pieces = await ledger.bytes.read(till.lane, seq(1), lane!.receivedThrough, 0, 1_000_000_000);
    expect(pieces.map((piece) => new TextDecoder().decode(piece.bytes)).join("")).toBe(till.text(1, till.last));
  }
}
