import { statfsSync, writeFileSync } from "node:fs";
import { describe, expect, onTestFinished, test } from "vitest";
import { hurried, openApi, saleLine, TestLane, type ApiStation } from "../../test/kit/api.ts";
import { describeFound } from "../../test/kit/needs.ts";
import { findSmallDisks, SmallDisk } from "../../test/kit/small-disk.ts";
import { tempDir } from "../../test/kit/temp-dir.ts";
import { until } from "../../test/kit/until.ts";
import { ledgerCapacity } from "./api/capacity.ts";

const MIB = 1 << 20;

describeFound("ramdisk", findSmallDisks(), "a real disk that fills up", () => {
  async function onSmallDisk(
    mib: number,
    freeDiskBytes: number,
  ): Promise<{ readonly station: ApiStation; readonly disk: SmallDisk }> {
    const dir = tempDir();
    const disk = new SmallDisk(dir.file("disk"), mib);
    const station = await openApi({ folder: disk.at, runtime: hurried, limits: { freeDiskBytes } });
    onTestFinished(async () => {
      await station.close();
      disk[Symbol.dispose]();
      await dir[Symbol.asyncDispose]();
    });
    return { station, disk };
  }
  const free = (at: string): number => {
    const { bavail, bsize } = statfsSync(at);
    return bavail * bsize;
  };
  const wide = (seq: number): string => saleLine(seq).replace('"12.50"', `"${"9".repeat(50_000)}"`);
  /** Sends messages of 50 kB one after the other until one is refused. */
  async function fill(
    station: ApiStation,
    key: string,
    lane: TestLane,
  ): Promise<{ readonly stored: number; readonly code: unknown }> {
    for (let n = 1; ; n++) {
      const answer = await station.call("POST", "/v1/messages", { key, body: lane.body(n, n) });
      if (answer.status === 503) return { stored: n - 1, code: answer.json["code"] };
      expect(answer).toMatchObject({ status: 200, json: { receivedThrough: n } });
    }
  }

  test("ingest answers 503 while there is still room, and goes on by itself when there is more", async () => {
    const { station, disk } = await onSmallDisk(24, 8 * MIB);
    writeFileSync(`${disk.at}/ballast`, Buffer.alloc(6 * MIB));
    const key = await station.enrol("t1");
    const lane = new TestLane("E1", 400, wide);
    const { stored, code } = await fill(station, key, lane);
    expect([stored > 3, code]).toEqual([true, "UNAVAILABLE"]);
    expect(free(disk.at)).toBeGreaterThan(4 * MIB);
    const metrics = (await station.call("GET", "/metrics")).text;
    expect(metrics).toContain('waybill_ingest_refusing{why="disk"} 1');
    disk.free();
    const again = () => station.call("POST", "/v1/messages", { key, body: lane.body(stored + 1, stored + 1) });
    await until(async () => (await again()).status === 200, { what: "ingest resumed" });
  });

  test("where nothing holds it back, a full disk refuses with 503, half-writes nothing, and passes", async () => {
    const { station, disk } = await onSmallDisk(8, 0);
    const key = await station.enrol("t1");
    const lane = new TestLane("E1", 400, wide);
    const { stored, code } = await fill(station, key, lane);
    expect(code).toBe("UNAVAILABLE");
    expect((await station.ledger.trail.overview()).received).toBe(stored);
    disk.grow(24);
    const next = await station.call("POST", "/v1/messages", { key, body: lane.body(stored + 1, stored + 1) });
    expect(next).toMatchObject({ status: 200, json: { receivedThrough: stored + 1 } });
  });
});

describe("what the ledger may still take", () => {
  const capacityOf = (ledgerUrl: string, freeBytes: number, space = { usedBytes: 70, reusableBytes: 30 }) => {
    let sized = 0;
    const retention = { space: async () => ({ ...space, usedBytes: space.usedBytes + sized++ }) };
    const trail = { overview: async () => ({ backlog: 4 }) };
    const clock = { elapsed: () => 1 };
    return ledgerCapacity({
      ledgerUrl,
      ledger: { retention, trail } as never,
      clock,
      meanBytes: () => 10,
      freeBytes: async () => freeBytes,
    });
  };

  test("of a file: the disk's room and that within the file, as long as the disk has some", async () => {
    expect(await capacityOf("sqlite:/srv/ledger.db", 100)()).toMatchObject({ backlogBytes: 40, freeDiskBytes: 130 });
    expect(await capacityOf("sqlite:/srv/ledger.db", 2)()).toMatchObject({ freeDiskBytes: 16 });
  });

  test("of a server: its size, looked at now and then; no disk", async () => {
    const capacity = capacityOf("postgres://host/waybill", Infinity);
    expect([await capacity(), await capacity()]).toEqual(
      [70, 70].map((ledgerBytes) => ({ backlogBytes: 40, freeDiskBytes: Infinity, ledgerBytes })),
    );
  });

  test("a ledger at its size is refused with 503 until there is a twentieth of room again", async () => {
    const size = { ledgerBytes: 101 };
    await using station = await openApi({
      runtime: hurried,
      limits: { ledgerBytes: 100 },
      parts: { capacity: async () => ({ backlogBytes: 0, freeDiskBytes: Infinity, ...size }) },
    });
    const key = await station.enrol("t1");
    const body = new TestLane("E1", 2).body(1, 2);
    const send = () => station.call("POST", "/v1/messages", { key, body });
    await until(async () => (await send()).status === 503);
    expect((await send()).json["detail"]).toMatch(/ledger has reached its size/);
    let looks = 0;
    Object.defineProperty(size, "ledgerBytes", { get: () => (looks++, 99), enumerable: true });
    await until(() => looks > 3);
    expect((await send()).status).toBe(503);
    Object.defineProperty(size, "ledgerBytes", { get: () => 90, enumerable: true });
    await until(async () => (await send()).status === 200);
  });
});
