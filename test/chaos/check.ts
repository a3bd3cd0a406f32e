import { setTimeout as pause } from "node:timers/promises";
import { until } from "../kit/until.ts";
import { COMPARED } from "./shops.ts";
import type { World } from "./world.ts";

/** What was seen that must never be; empty is the good verdict. */
export type Findings = string[];

/** Looks at the centre as its own readers do, all the time. */
export class Watcher {
  looks = 0;
  readonly findings: Findings = [];
  readonly #world: World;
  readonly #tallies = new Map<string, number>();

  constructor(world: World) {
    this.#world = world;
  }

  async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await this.#look();
      await pause(100);
    }
  }

  /** One statement is one snapshot: what it shows was there together. */
  async #look(): Promise<void> {
    const rows = await this.#world.central(
      `select t.till, t.sales, coalesce((select max(n) from sale s where s.till = t.till), 0),
         (select count(*) from sale s where s.till = t.till and s.n > t.sales - 20
            and s.lines <> (select count(*) from sale_line l where l.sale_id = s.sale_id)),
         (select 5 * 1000 - sum(on_hand) from stock k where k.till = t.till),
         (select sum(lines) from sale s where s.till = t.till)
       from tally t`,
    );
    this.looks += 1;
    for (const [till = "", sales, newest, torn, taken, lines] of rows) {
      if (torn !== "0") this.findings.push(`I4: ${torn} sale(s) of ${till} were seen without all their lines`);
      if (sales !== newest) this.findings.push(`I4: ${till} was seen with tally ${sales} beside sale number ${newest}`);
      if (sales !== "0" && taken !== lines)
        this.findings.push(`I3: ${till} was seen with ${lines} lines sold and ${taken} taken from stock`);
      const before = this.#tallies.get(till) ?? 0;
      if (Number(sales) < before) this.findings.push(`I5: the tally of ${till} went from ${before} back to ${sales}`);
      this.#tallies.set(till, Number(sales));
    }
  }
}

/** Waits until all that was committed at the tills is at the centre, and all prices at the tills. @throws what is missing when it does not come */
export async function healed(world: World, timeoutMs: number): Promise<void> {
  const sold = world.tills.reduce((sum, { shop }) => sum + shop.committed, 0);
  await until(async () => (await world.central("select count(*) from sale"))[0]?.[0] === String(sold), {
    timeoutMs,
    what: `${sold} sales at the centre`,
  });
  const wanted = JSON.stringify(await world.central("select sku, pence from price order by sku"));
  for (const { shop } of world.tills) {
    await until(async () => JSON.stringify(await shop.rows("select sku, pence from price order by sku")) === wanted, {
      timeoutMs: 60_000,
      what: `the centre's prices at ${shop.till}`,
    });
  }
  // Loaded messages are settled a moment after the centre has them.
  const unsettled = `select count(*) from lane_in i join lane_out o using (lane)
    where i.received_through <> o.loaded_through or o.leased_by is not null`;
  await until(async () => (await world.ledger(unsettled))[0]?.[0] === "0", {
    timeoutMs: 60_000,
    what: "all lanes settled",
  });
}

/** Everything that must hold once all is well again. */
export async function verdict(world: World): Promise<Findings> {
  const findings: Findings = [];
  const expect = (what: string, found: unknown, wanted: unknown): void => {
    if (JSON.stringify(found) !== JSON.stringify(wanted))
      findings.push(
        `${what}: ${JSON.stringify(found).slice(0, 300)}, should be ${JSON.stringify(wanted).slice(0, 300)}`,
      );
  };
  for (const { shop } of world.tills) {
    for (const [table, of] of Object.entries(COMPARED)) {
      const own = table === "sale_line" ? `where s.till = '${shop.till}'` : `where till = '${shop.till}'`;
      expect(`I3: ${table} of ${shop.till} at the centre`, await world.central(of(own)), await shop.rows(of(own)));
    }
  }
  expect("I3: messages passed over", await world.central("select lane, number, state from waybill_passed"), []);
  expect(
    "I7: open exceptions",
    await world.ledger("select lane, seq, state from exception where closed_at is null"),
    [],
  );
  expect(
    "I1: lanes whose stored lines are not exactly 1…received_through",
    await world.ledger(
      `with run_of as (select lane, from_seq, through_seq,
           lag(through_seq, 1, 0::bigint) over (partition by lane order by from_seq, part) as before, part from run)
       select lane, from_seq from run_of where part <= 1 and from_seq <> before + 1
       union all
       select i.lane, i.received_through from lane_in i
       where i.received_through <> coalesce((select max(through_seq) from run r where r.lane = i.lane), 0)`,
    ),
    [],
  );
  expect("I8: numbers without exactly one event that says loaded", await world.ledger(TOLD_ONCE), []);
  expect("a till that began a second epoch", await world.ledger("select terminal from lane where ordinal > 1"), []);
  return findings;
}

/** The events that say that messages are in the centre must tile each lane: none twice, none missing. */
const TOLD_ONCE = `
  with told as (
    select lane, from_seq, through_seq, lag(through_seq, 1, 0::bigint) over (partition by lane order by from_seq) as before
    from event where kind in ('loaded', 'adopted'))
  select lane, from_seq, before from told where from_seq <> before + 1
  union all
  select o.lane, o.loaded_through, 0 from lane_out o
  where o.loaded_through <> coalesce((select max(through_seq) from told t where t.lane = o.lane), 0)`;
