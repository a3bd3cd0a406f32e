import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { holdLock } from "./lock.ts";

describe("a lock on a path", () => {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "waybill-lock-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test("has one holder; the second hears the path and who holds it", () => {
    const path = join(folder, "ledger.db");
    using _ = holdLock(path, "the ledger");
    expect(() => holdLock(path, "the ledger")).toThrow(
      expect.objectContaining({
        code: "ALREADY_RUNNING",
        what: expect.stringContaining(path),
        facts: expect.objectContaining({ path, pid: process.pid, since: expect.stringMatching(/^20\d\d-/) }),
      }),
    );
  });

  test("is free again when disposed, and disposing twice does no harm to the next holder", () => {
    const path = join(folder, "ledger.db");
    const first = holdLock(path, "the ledger");
    first[Symbol.dispose]();
    using _ = holdLock(path, "the ledger");
    first[Symbol.dispose]();
    expect(() => holdLock(path, "the ledger")).toThrow(expect.objectContaining({ code: "ALREADY_RUNNING" }));
  });

  test("is the same for every spelling of the path", () => {
    mkdirSync(join(folder, "data"));
    symlinkSync(join(folder, "data"), join(folder, "link"));
    using _ = holdLock(join(folder, "data", "till.db"), "the till");
    for (const other of [join(folder, "link", "till.db"), join(folder, "data", "..", "data", "till.db")]) {
      expect(() => holdLock(other, "the till")).toThrow(expect.objectContaining({ code: "ALREADY_RUNNING" }));
    }
    using __ = holdLock(join(folder, "data", "other.db"), "another");
  });

  test("of a kind is the same for a link to the file itself, and another than those of other kinds", () => {
    const path = join(folder, "till.db");
    writeFileSync(path, "");
    symlinkSync(path, join(folder, "linked.db"));
    using _ = holdLock(path, "the till", "-agent");
    expect(() => holdLock(join(folder, "linked.db"), "the till", "-agent")).toThrow(
      expect.objectContaining({ code: "ALREADY_RUNNING" }),
    );
    using __ = holdLock(path, "the till");
  });

  test("in a folder that is not there cannot be made", () => {
    expect(() => holdLock(join(folder, "none", "till.db"), "the till")).toThrow(
      expect.objectContaining({ code: "DATABASE_UNAVAILABLE" }),
    );
  });

  test("is dropped by the system when its process is killed", async () => {
    const path = join(folder, "ledger.db");
    const script = `import { holdLock } from ${JSON.stringify(new URL("./lock.ts", import.meta.url).href)};
      holdLock(${JSON.stringify(path)}, "the ledger");
      setTimeout(() => { gc(); console.log("held"); }, 1); // also when whoever took it keeps no hand on it
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--expose-gc", "--input-type=module-typescript", "--eval", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const gone = new Promise((resolve) => child.once("exit", resolve));
    try {
      await new Promise((resolve) => child.stdout.once("data", resolve));
      expect(() => holdLock(path, "the ledger")).toThrow(
        expect.objectContaining({ code: "ALREADY_RUNNING", facts: expect.objectContaining({ pid: child.pid }) }),
      );
    } finally {
      child.kill("SIGKILL");
      await gone;
    }
    using _ = holdLock(path, "the ledger");
  });
});
