import { copyFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { folderAt } from "../base/folder.ts";
import { WaybillError } from "../base/errors.ts";
import type { Epoch } from "../base/ids.ts";
import { systemRuntime } from "../base/runtime.ts";
import { openDatabase } from "../database/open.ts";
import type { Database, PackLimits, PackOutcome } from "../database/port.ts";
import { FakeHub } from "../../test/kit/fake-hub.ts";
import { tempDir, type TempDir } from "../../test/kit/temp-dir.ts";
import { startAgent, Till, type TestAgent } from "../../test/kit/till.ts";
import { until } from "../../test/kit/until.ts";
import { readStatus } from "./state.ts";

const UP = { sale: "up", sale_line: "up" } as const;
const times = (n: number, act: () => void): void => {
  for (let i = 0; i < n; i++) act();
};
const arrived = (hub: FakeHub, sales: number): Promise<unknown> =>
  until(() => hub.table("sale").size === sales && hub.table("sale_line").size === sales * 2, {
    what: `${sales} sales at the hub`,
  });
/** Every row of the till is at the hub, as it is. */
function expectSame(till: Till, hub: FakeHub): void {
  expect(hub.table("sale")).toEqual(till.rows("sale", ["id"]));
  expect(hub.table("sale_line")).toEqual(till.rows("sale_line", ["sale_id", "no"]));
}
const loop = async (agent: TestAgent, name: "submit" | "receive" | "hub") =>
  (await agent.terminal.status()).loops[name];

/** The tables as they were before the capture are in the lane. */
const resynchronised = (agent: TestAgent): Promise<unknown> =>
  until(async () => {
    const { loops, up } = await agent.terminal.status();
    return loops.capture.state === "running" && up.resyncing.length === 0;
  });

/** The hub is set back to before the first sale, which the till has heard to be stored. */
async function setBackBeforeItsFirstSale(s: { hub: FakeHub; till: Till }, agent: TestAgent): Promise<void> {
  await resynchronised(agent);
  const early = s.hub.backup();
  s.till.sell();
  await arrived(s.hub, 1);
  await until(async () => (await agent.terminal.status()).up.receivedThrough === s.hub.received);
  s.hub.restore(early);
}

async function scene(
  tables: ConstructorParameters<typeof FakeHub>[0] = UP,
): Promise<AsyncDisposable & { dir: TempDir; hub: FakeHub; till: Till }> {
  const dir = tempDir();
  const hub = new FakeHub(tables);
  const till = new Till(dir.file("till.db"));
  return {
    dir,
    hub,
    till,
    [Symbol.asyncDispose]: async () => {
      till[Symbol.dispose]();
      await dir[Symbol.asyncDispose]();
    },
  };
}

describe("the way up", () => {
  test("rows from before the capture and sales from after it arrive, each sale whole", async () => {
    await using s = await scene();
    times(30, () => s.till.sell());
    await using agent = await startAgent(s.dir, s.hub);
    await arrived(s.hub, 30);
    times(20, () => s.till.sell());
    await arrived(s.hub, 50);
    expectSame(s.till, s.hub);
    const sales = s.hub.messages().filter(({ changes }) => changes.some(({ op }) => op === "insert"));
    for (const { changes } of sales) expect(changes.length % 3).toBe(0);
    await until(async () => (await agent.terminal.status()).up.loadedThrough === s.hub.received);
  });

  test("rows from before the capture arrive though the till sells faster than its hub answers", async () => {
    await using s = await scene();
    times(30, () => s.till.sell());
    const before = s.till.rows("sale", ["id"]);
    let selling = true;
    const open = async (url: string): Promise<Database> => {
      const database = await openDatabase(url, { random: systemRuntime.random });
      // Each look finds a sale that the hub cannot have yet.
      const changed = (): Promise<boolean> => {
        if (selling) s.till.sell();
        return database.capture.changed();
      };
      return { ...database, capture: { ...database.capture, changed } };
    };
    await using _agent = await startAgent(s.dir, s.hub, { open });
    await until(() => [...before.keys()].every((id) => s.hub.table("sale").has(id)), { what: "the first rows" });
    selling = false;
    await arrived(s.hub, s.till.sold);
    expectSame(s.till, s.hub);
  });

  test("an epoch that was begun though its database's answer was lost is gone on with, not asked for anew", async () => {
    await using s = await scene();
    s.till.sell();
    let lost = false;
    const open = async (url: string): Promise<Database> => {
      const database = await openDatabase(url, { random: systemRuntime.random });
      const beginEpoch = async (name: Epoch, from: Epoch | null): Promise<boolean> => {
        const begun = await database.capture.beginEpoch(name, from);
        if (!lost) {
          lost = true;
          throw new WaybillError("DATABASE_UNAVAILABLE", "the connection broke after the commit");
        }
        return begun;
      };
      return { ...database, capture: { ...database.capture, beginEpoch } };
    };
    await using _agent = await startAgent(s.dir, s.hub, { open });
    await arrived(s.hub, 1);
    expect(s.hub.calls.filter(({ path }) => path === "/v1/epochs")).toHaveLength(1);
  });

  test("a sale is sent though the answer to its pack was lost, without waiting for the next sale", async () => {
    await using s = await scene();
    let lost = false;
    const open = async (url: string): Promise<Database> => {
      const database = await openDatabase(url, { random: systemRuntime.random });
      const pack = async (limits: PackLimits): Promise<PackOutcome> => {
        const outcome = await database.capture.pack(limits);
        if (lost || s.till.sold === 0 || outcome.packedMessages === 0) return outcome;
        lost = true;
        throw new WaybillError("DATABASE_UNAVAILABLE", "the connection broke after the commit");
      };
      return { ...database, capture: { ...database.capture, pack } };
    };
    await using agent = await startAgent(s.dir, s.hub, { open });
    await resynchronised(agent);
    s.till.sell();
    await arrived(s.hub, 1);
    expect(lost).toBe(true);
  });

  test("an acknowledgement that could not be noted is asked for again, without waiting for the next sale", async () => {
    await using s = await scene();
    let failed = false;
    const open = async (url: string): Promise<Database> => {
      const database = await openDatabase(url, { random: systemRuntime.random });
      const acknowledge: Database["capture"]["acknowledge"] = async (marks) => {
        if (!failed && marks.receivedThrough > 0) {
          failed = true;
          throw new WaybillError("DATABASE_UNAVAILABLE", "the connection broke");
        }
        return database.capture.acknowledge(marks);
      };
      return { ...database, capture: { ...database.capture, acknowledge } };
    };
    s.till.sell(); // from before the capture: its page waits until all that was sent is acknowledged
    await using agent = await startAgent(s.dir, s.hub, { open });
    await arrived(s.hub, 1);
    await until(async () => (await agent.terminal.status()).up.receivedThrough === s.hub.received);
    await resynchronised(agent);
    expect(failed).toBe(true);
  });

  test("what the hub has stored but not loaded is not taken for loaded", async () => {
    await using s = await scene();
    await using agent = await startAgent(s.dir, s.hub);
    await resynchronised(agent);
    const loaded = s.hub.received;
    s.hub.loading = false;
    s.till.sell();
    await arrived(s.hub, 1);
    await until(async () => (await agent.terminal.status()).up.receivedThrough === s.hub.received);
    expect((await agent.terminal.status()).up.loadedThrough).toBe(loaded);
    s.hub.loading = true;
    s.till.sell();
    await until(async () => (await agent.terminal.status()).up.loadedThrough === s.hub.received);
  });

  test("sales made while the agent is away are packed and sent when it comes back", async () => {
    await using s = await scene();
    {
      await using _agent = await startAgent(s.dir, s.hub);
      s.till.sell();
      await arrived(s.hub, 1);
    }
    times(5, () => s.till.sell());
    await using _agent = await startAgent(s.dir, s.hub);
    await arrived(s.hub, 6);
    expectSame(s.till, s.hub);
  });

  test("lost requests, lost answers and requests that arrive twice change nothing", async () => {
    await using s = await scene();
    let n = 0;
    const kinds = ["lose-answer", "twice", "lose-request", null] as const;
    await using _agent = await startAgent(s.dir, s.hub);
    s.hub.accident = (path) => (path === "/v1/messages" ? (kinds[n++ % kinds.length] ?? null) : null);
    for (let i = 0; i < 20; i++) {
      s.till.sell();
      await arrived(s.hub, i + 1);
    }
    expectSame(s.till, s.hub);
    // Numbered once each, though most came more than once.
    expect(s.hub.lanes[0]?.lines.map((line) => line.seq)).toEqual(s.hub.lanes[0]?.lines.map((_, i) => i + 1));
  });

  test("a hub that asks for time is left alone that long", async () => {
    await using s = await scene();
    await using agent = await startAgent(s.dir, s.hub);
    await until(async () => (await loop(agent, "submit")).state === "running");
    let refused = 0;
    s.hub.accident = (path) =>
      path === "/v1/messages"
        ? (refused++, new WaybillError("OVERLOADED", "later", { facts: { seconds: 3_600 } }))
        : null;
    s.till.sell();
    await until(() => refused > 0);
    times(10, () => s.till.sell());
    const status = await until(async () => {
      const now = await agent.terminal.status();
      return now.up.packedThrough > now.up.receivedThrough && now.up.outboxRows === 0 ? now : null;
    });
    expect(status.loops.submit).toMatchObject({ state: "failing", lastError: { code: "OVERLOADED" } });
    expect(Date.parse(status.loops.submit.nextTryAt ?? "") - Date.now()).toBeGreaterThan(3_500_000);
    expect(refused).toBe(1); // new sales did not call on it
    expect(status.loops.capture.state).toBe("running");
  });

  test("a hub that is away from the first start on is waited for; afterwards the agent captures without it", async () => {
    await using s = await scene();
    s.hub.accident = () => "lose-request";
    await using agent = await startAgent(s.dir, s.hub);
    await until(async () => (await loop(agent, "hub")).failures > 3);
    s.hub.accident = () => null;
    s.till.sell();
    await arrived(s.hub, 1);
    s.hub.accident = () => "lose-request";
    times(50, () => s.till.sell());
    await until(async () => (await agent.terminal.status()).up.packedThrough > s.hub.received);
    s.hub.accident = () => null;
    await arrived(s.hub, 51);
    expectSame(s.till, s.hub);
  });

  test("an agent that starts while the hub is away captures by the manifest it knows", async () => {
    await using s = await scene();
    {
      await using _agent = await startAgent(s.dir, s.hub);
      await arrived(s.hub, 0);
      await until(() => s.hub.lanes.length === 1);
    }
    s.hub.accident = () => "lose-request";
    await using agent = await startAgent(s.dir, s.hub);
    s.till.sell();
    await until(async () => (await agent.terminal.status()).up.packedThrough > 0);
  });

  test("a request that is too large is sent in smaller ones", async () => {
    await using s = await scene();
    await using agent = await startAgent(s.dir, s.hub);
    await until(async () => (await loop(agent, "receive")).state === "running");
    const busy = new WaybillError("UNAVAILABLE", "not now");
    s.hub.accident = (path) => (path === "/v1/messages" ? busy : null);
    for (let i = 0; i < 20; i++) {
      const { packedThrough } = (await agent.terminal.status()).up;
      times(10, () => s.till.sell());
      await until(async () => (await agent.terminal.status()).up.packedThrough > packedThrough);
    }
    const tooLarge = new WaybillError("TOO_LARGE", "no", { facts: { limit: 40_000 } });
    let refused = 0;
    s.hub.accident = (path) => {
      if (path !== "/v1/messages" || (s.hub.calls.at(-1)?.body.length ?? 0) < 40_000) return null;
      refused += 1;
      return tooLarge;
    };
    await arrived(s.hub, 200);
    expect(refused).toBeGreaterThan(0);
    expect((await loop(agent, "submit")).lastError?.code).toBe("UNAVAILABLE"); // being too large is no failure
  });

  test("a message larger than a part travels in parts, also when answers are lost between them", async () => {
    await using s = await scene();
    s.hub.limits = { ...s.hub.limits, partBytes: 16_384, bodyBytes: 65_536 };
    await using _agent = await startAgent(s.dir, s.hub, { config: { batchKib: 16 } });
    await until(() => s.hub.lanes.length === 1);
    let n = 0;
    s.hub.accident = (path) => (path === "/v1/messages" && n++ % 3 === 1 ? "lose-answer" : null);
    s.till.db.exec(`with recursive n (i) as (select 1 union all select i + 1 from n where i < 2000)
      insert into sale select 'B-' || printf('%05d', i), '1.00' from n`);
    await until(() => s.hub.table("sale").size === 2_000);
    expect(s.hub.lanes[0]?.lines.some((line) => line.part > 3)).toBe(true);
    expectSame(s.till, s.hub);
  });

  test("a table that the application makes later is captured with the rows it has by then", async () => {
    await using s = await scene({ sale: "up", note: "up" });
    await using _agent = await startAgent(s.dir, s.hub, { config: { manifestMs: 3_600_000 } });
    s.till.sell();
    await until(() => s.hub.table("sale").size === 1);
    s.till.db.exec(
      "create table note (id integer primary key, text text); insert into note (text) values ('one'), ('two')",
    );
    await until(() => s.hub.table("note").size === 2);
    s.till.db.exec("insert into note (text) values ('three')");
    await until(() => s.hub.table("note").size === 3);
  });

  test("a table that the terminal's own list does not name is not captured, whatever the hub asks", async () => {
    await using s = await scene();
    await using agent = await startAgent(s.dir, s.hub, { config: { tables: ["sale"] } });
    s.till.sell();
    await until(() => s.hub.table("sale").size === 1);
    expect(s.hub.table("sale_line").size).toBe(0);
    expect((await agent.terminal.status()).up.tables).toEqual(["sale"]);
  });
});

describe("restores", () => {
  test("a hub restored from a backup gets again what it lost", async () => {
    await using s = await scene();
    await using _agent = await startAgent(s.dir, s.hub);
    s.till.sell();
    await arrived(s.hub, 1);
    const backup = s.hub.backup();
    for (let i = 2; i <= 10; i++) {
      s.till.sell();
      await arrived(s.hub, i);
    }
    s.hub.restore(backup);
    s.till.sell();
    await arrived(s.hub, 11);
    expectSame(s.till, s.hub);
    expect(s.hub.lanes).toHaveLength(1);
  });

  test("a restored hub gets again what it lost though nothing is sold: the wait for updates tells of it", async () => {
    await using s = await scene();
    await using agent = await startAgent(s.dir, s.hub);
    await setBackBeforeItsFirstSale(s, agent);
    await arrived(s.hub, 1);
    expectSame(s.till, s.hub);
    expect(s.hub.lanes).toHaveLength(1);
  });

  test("a restored hub is noticed at the next start without a sale", async () => {
    await using s = await scene();
    {
      await using agent = await startAgent(s.dir, s.hub);
      await setBackBeforeItsFirstSale(s, agent);
    }
    await using _agent = await startAgent(s.dir, s.hub);
    await arrived(s.hub, 1);
  });

  test("what a restored hub lost and the till no longer keeps is named, and the lane goes on", async () => {
    await using s = await scene();
    const early = await (async () => {
      await using agent = await startAgent(s.dir, s.hub, { config: { keepMessages: 0 } });
      const empty = await until(() => (s.hub.lanes.length === 1 ? s.hub.backup() : null));
      s.till.sell();
      await arrived(s.hub, 1);
      await until(async () => (await agent.terminal.status()).up.loadedThrough === s.hub.received);
      return empty;
    })();
    const oldest = s.hub.received + 1;
    s.hub.restore(early);
    await using _agent = await startAgent(s.dir, s.hub, { config: { keepMessages: 0 } });
    s.till.sell();
    await until(() => s.hub.table("sale").has('{"id":"S-000002"}'));
    expect(s.hub.table("sale").size).toBe(1);
    expect(s.hub.calls.some(({ body }) => body.includes(`"oldest":${oldest}`))).toBe(true);
  });

  test("a till restored from an older copy begins a new epoch and sends its tables as they are", async () => {
    await using s = await scene();
    {
      await using _agent = await startAgent(s.dir, s.hub);
      times(3, () => s.till.sell());
      await arrived(s.hub, 3);
    }
    s.till.db.exec("pragma wal_checkpoint(truncate)");
    copyFileSync(s.dir.file("till.db"), s.dir.file("image.db"));
    {
      await using _agent = await startAgent(s.dir, s.hub);
      times(4, () => s.till.sell());
      await arrived(s.hub, 7);
    }
    s.till[Symbol.dispose]();
    for (const end of ["-wal", "-shm"]) copyFileSync("/dev/null", s.dir.file(`till.db${end}`));
    copyFileSync(s.dir.file("image.db"), s.dir.file("till.db"));
    using restored = new Till(s.dir.file("till.db"));
    expect(restored.sold).toBe(3);
    await using agent = await startAgent(s.dir, s.hub);
    await until(() => s.hub.lanes.length === 2);
    const id = "S-after-the-restore";
    restored.db.prepare("insert into sale (id, total) values (?, '9.00')").run(id);
    await until(() => s.hub.table("sale").size === 8);
    await until(async () => (await agent.terminal.status()).up.resyncing.length === 0);
    // All of the restored till is in the new lane: it may be what it lost that differs, never what it has.
    await until(() => {
      const lane = s.hub.lanes[1]?.lines.map((line) => line.text).join() ?? "";
      return ["S-000001", "S-000002", "S-000003", id].every((sale) => lane.includes(sale));
    });
  });

  test("a till that sold offline on rolled-back numbers loses none of those sales", async () => {
    await using s = await scene();
    {
      await using _agent = await startAgent(s.dir, s.hub);
      s.till.sell();
      await arrived(s.hub, 1);
    }
    s.till.db.exec("pragma wal_checkpoint(truncate)");
    copyFileSync(s.dir.file("till.db"), s.dir.file("image.db"));
    {
      await using _agent = await startAgent(s.dir, s.hub);
      s.till.sell();
      await arrived(s.hub, 2);
    }
    s.till[Symbol.dispose]();
    for (const end of ["-wal", "-shm"]) copyFileSync("/dev/null", s.dir.file(`till.db${end}`));
    copyFileSync(s.dir.file("image.db"), s.dir.file("till.db"));
    using restored = new Till(s.dir.file("till.db"));
    s.hub.accident = () => "lose-request";
    await using agent = await startAgent(s.dir, s.hub);
    for (let i = 0; i < 4; i++) {
      const before = (await agent.terminal.status()).up.packedThrough;
      restored.db.prepare("insert into sale (id, total) values (?, '7.00')").run(`offline-${i}`);
      await until(async () => (await agent.terminal.status()).up.packedThrough > before);
    }
    s.hub.accident = () => null;
    await until(() => [0, 1, 2, 3].every((i) => s.hub.table("sale").has(`{"id":"offline-${i}"}`)));
    expect(s.hub.lanes).toHaveLength(2);
  });

  test("an install whose epoch was closed stops sending, keeps capturing, and says so", async () => {
    await using s = await scene();
    await using agent = await startAgent(s.dir, s.hub);
    s.till.sell();
    await arrived(s.hub, 1);
    s.hub.accident = (path) =>
      path === "/v1/messages" || path === "/v1/epochs"
        ? new WaybillError("EPOCH_CLOSED", "another install took over", { facts: { epoch: "E9" } })
        : null;
    s.till.sell();
    await until(async () => (await loop(agent, "submit")).state === "blocked");
    const { packedThrough } = (await agent.terminal.status()).up;
    s.till.sell();
    await until(async () => (await agent.terminal.status()).up.packedThrough > packedThrough);
    await until(
      async () => (await readStatus(folderAt(s.dir.file("agent"))))?.loops.submit.lastError?.code === "EPOCH_CLOSED",
    );
  });
});

test("a second agent on one database is refused, whatever its state folder", async () => {
  await using s = await scene();
  await using _agent = await startAgent(s.dir, s.hub);
  await expect(startAgent(s.dir, s.hub, { config: { state: s.dir.file("other") } })).rejects.toMatchObject({
    code: "ALREADY_RUNNING",
  });
});
