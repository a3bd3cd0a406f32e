import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CHAIN_START, chainHex, chainNext } from "../../src/message/chain.ts";
import { submissionBody } from "../../src/wire/submission.ts";
import { spawnChild, type Child } from "../kit/child.ts";
import { REPO } from "../kit/repo.ts";
import { tempDir } from "../kit/temp-dir.ts";
import { Chain, type ChainShape } from "./chain.ts";

/** `WAYBILL_CHANGES=500000` is the long form. */
const CHANGES = Number(process.env["WAYBILL_CHANGES"] ?? 50_000);
/** A hub holds parts of a message, never the whole: this covers Node, its threads and SQLite's caches, whatever the size. */
const HUB_MIB = 512;
const LINES_A_PART = 2_500;

const TABLES = `
  create table delivery (delivery_id text primary key, lines integer not null) without rowid;
  create table delivery_line (delivery_id text not null references delivery (delivery_id), line_no integer not null, sku text not null,
    name text not null, qty integer not null, primary key (delivery_id, line_no)) without rowid;`;
const SHAPE: ChainShape = {
  till: TABLES,
  central: TABLES,
  config: { tables: { delivery: { direction: "up" }, delivery_line: { direction: "up" } }, limits: { partKib: 256 } },
};
const NAME = "a thing with a name of ordinary length, 24 pieces";

type Seen = { readonly deliveries: number; readonly lines: number };

/** Everything that a reader of the centre saw, from before until the whole message was there. */
async function watched(chain: Chain, whole: Seen, act: () => Promise<void>): Promise<{ seen: Seen[]; looks: number }> {
  const query = "select (select count(*) from delivery) as deliveries, (select count(*) from delivery_line) as lines";
  await using watcher: Child = spawnChild(process.execPath, [
    join(REPO, "test/stories/central-watcher.ts"),
    chain.centralPath,
    query,
  ]);
  await watcher.waitForLine(/^saw/);
  await act();
  await watcher.waitForLine(new RegExp(`^saw .*"lines":${whole.lines}\\}`), { timeoutMs: 60_000 });
  await watcher.kill("SIGTERM");
  const lines = watcher.stdout.split("\n");
  const looks = Number(/^looked (\d+)/m.exec(watcher.stdout)?.[1]);
  return {
    looks,
    seen: lines.filter((line) => line.startsWith("saw")).map((line) => JSON.parse(line.slice(4)) as Seen),
  };
}

/** The most memory the process ever had in RAM, in MiB (Linux only, else 0). */
function peakMib(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
  } catch {
    return 0;
  }
}

test(
  "I4: of a message of 50,000 changes no reader sees a part, from a till's transaction or by raw HTTP",
  {
    timeout: 120_000,
  },
  async ({ annotate }) => {
    await using dir = tempDir();
    const chain = await Chain.make(dir.path, 1, SHAPE);
    try {
      await chain.startHub();
      await chain.enrollAll();
      chain.startAgent("till-1");
      const idleMib = peakMib(chain.hub.pid);
      using till = chain.till("till-1");
      till.exec("insert into delivery values ('small', 0)");
      await chain.until("the first small message", () => chain.central("select 1 from delivery").length === 1);

      const byTill = await watched(chain, { deliveries: 2, lines: CHANGES }, () => {
        till.exec(`begin immediate;
        insert into delivery values ('D-1', ${CHANGES});
        with recursive n (i) as (select 1 union all select i + 1 from n where i < ${CHANGES})
          insert into delivery_line select 'D-1', i, 'A-' || (i % 97), '${NAME}', 1 + i % 9 from n;
        commit`);
        return Promise.resolve();
      });
      expect(byTill.seen).toEqual([
        { deliveries: 1, lines: 0 },
        { deliveries: 2, lines: CHANGES },
      ]);
      const rows = "select * from delivery_line where delivery_id = 'D-1' order by line_no";
      expect(chain.central(rows)).toEqual(till.prepare(rows).all());

      const key = await chain.enrolRaw("raw");
      const byHttp = await watched(chain, { deliveries: 3, lines: 2 * CHANGES }, () => inParts(chain, key));
      expect(byHttp.seen).toEqual([
        { deliveries: 2, lines: CHANGES },
        { deliveries: 3, lines: 2 * CHANGES },
      ]);
      expect(chain.central("select * from waybill_passed")).toEqual([]);
      const most = peakMib(chain.hub.pid);
      await annotate(
        `2 × ${CHANGES} changes in parts of 256 KiB; the reader looked ${byTill.looks} and ${byHttp.looks} times; ` +
          `the hub had at most ${most.toFixed(0)} MiB in RAM (${idleMib.toFixed(0)} when started)`,
      );
      expect(most).toBeLessThan(HUB_MIB);
    } finally {
      await chain.stop();
    }
  },
);

/** One message as another language's terminal would send it: a request for each few parts, the last one twice. */
async function inParts(chain: Chain, key: string): Promise<void> {
  const change = (lineNo: number): object => {
    const id = { delivery_id: "D-2", line_no: lineNo };
    return {
      table: "delivery_line",
      op: "insert",
      key: id,
      row: { ...id, sku: `A-${lineNo % 97}`, name: NAME, qty: 1 },
    };
  };
  const header = {
    table: "delivery",
    op: "insert",
    key: { delivery_id: "D-2" },
    row: { delivery_id: "D-2", lines: CHANGES },
  };
  let chainNow: Uint8Array = CHAIN_START;
  for (let part = 1, done = 0; done < CHANGES; part++) {
    const lines = Array.from({ length: Math.min(LINES_A_PART, CHANGES - done) }, (_, i) => change(done + i + 1));
    done += lines.length;
    const more = done < CHANGES;
    const changes = part === 1 ? [header, ...lines] : lines;
    const text = JSON.stringify({ seq: 1, part, ...(more ? { more } : {}), at: "2026-11-23T09:14:07Z", changes });
    const head = { epoch: "E1", after: 0, chain: chainHex(chainNow), ...(part > 1 ? { part: part - 1 } : {}) };
    const body = submissionBody(head, [Buffer.from(text)]);
    const answer = await chain.submit<Answer>(key, body);
    expect(answer).toMatchObject(more ? { receivedThrough: 0, partial: { seq: 1, part } } : { receivedThrough: 1 });
    // The answer was lost on the way, and the terminal sends the part again.
    if (part % 7 === 0 || !more) expect(await chain.submit<Answer>(key, body)).toMatchObject({ chain: answer.chain });
    chainNow = chainNext(chainNow, Buffer.from(text));
  }
}
type Answer = { readonly receivedThrough: number; readonly chain: string };
