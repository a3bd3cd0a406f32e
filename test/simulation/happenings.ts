import type { HttpResponse } from "../../src/base/network.ts";
import { laneName, seq, type Epoch, type TerminalId } from "../../src/base/ids.ts";
import { Lines } from "../../src/wire/ndjson.ts";
import type { Change } from "../../src/message/change.ts";
import { HAPPENINGS, type Happening } from "./faults.ts";
import type { Life } from "./life.ts";
import { ITEMS, OPERATOR_TOKEN } from "./shape.ts";
import { prepared, rowsOf } from "./statements.ts";
import type { World } from "./world.ts";

/** Lets everything begin to happen: work, faults, and people. */
export function begin(world: World): void {
  const dice = world.dice.fork("happenings");
  for (const till of world.tills) {
    const meanMs = dice.pick([100, 400, 2_000]);
    const act = (): void => {
      if (world.healing) return;
      const done = till.program.act(world.plan.poison);
      if (done === null) world.counts.locked++;
      else world.tell(`${till.id} ${done}`);
      world.scheduler.in(dice.between(0, 2 * meanMs), `${till.id} cashier`, act);
    };
    world.scheduler.in(dice.between(0, 500), `${till.id} cashier`, act);
    world.startAgent(till);
  }
  const office = (): void => {
    if (world.healing) return;
    changeCentre(world);
    world.scheduler.in(dice.between(0, 4_000), "office", office);
  };
  world.scheduler.in(dice.between(0, 4_000), "office", office);
  for (const kind of HAPPENINGS) {
    const meanMs = world.plan.every[kind];
    if (meanMs === null) continue;
    const again = (): void => void world.scheduler.in(dice.between(0, 2 * meanMs), kind, strike);
    const strike = (): void => {
      if (world.healing) return;
      happen(world, kind);
      again();
    };
    again();
  }
}

function changeCentre(world: World): void {
  const { dice, centre, truth } = world;
  const item = dice.pick(ITEMS);
  const store = dice.pick(["s1", "s2"]);
  try {
    centre.exec("begin immediate");
  } catch {
    return;
  }
  const priced = { price: `${dice.below(90)}.${10 + dice.below(90)}`, rev: (truth.prices.get(item)?.rev ?? 0) + 1 };
  const named = { name: `Store ${dice.below(1_000)}`, rev: (truth.stores.get(store)?.rev ?? 0) + 1 };
  prepared(centre, "update item set price = ?, rev = ? where item_id = ?").run(priced.price, priced.rev, item);
  prepared(centre, "update store set name = ?, rev = ? where store_id = ?").run(named.name, named.rev, store);
  centre.exec("commit");
  truth.prices.set(item, priced);
  truth.stores.set(store, named);
  world.tell(`the office prices ${item} and renames ${store}`);
}

function happen(world: World, kind: Happening): void {
  const { dice, scheduler, network } = world;
  const till = dice.pick(world.tills);
  const back = (fastMs: number): number => (dice.chance(0.7) ? dice.between(0, fastMs) : dice.between(0, 20 * fastMs));
  switch (kind) {
    case "killHub":
      void world.killHub();
      scheduler.in(back(500), "supervisor of the hub", () => void world.startHub());
      return;
    case "killAgent":
      world.killAgent(till);
      scheduler.in(back(500), `supervisor of ${till.id}`, () => world.startAgent(till));
      return;
    case "part":
      if (network.isParted(till.id)) return;
      world.counts.parted++;
      world.tell(`${till.id} is cut off`);
      network.part(till.id);
      scheduler.in(back(1_000), `wire of ${till.id}`, () => network.join(till.id));
      return;
    case "freezeHub":
      world.counts.frozen++;
      world.tell("the hub stands still");
      if (world.hubs.length > 0) dice.pick(world.hubs).life.freeze(dice.between(0, 25_000));
      return;
    case "freezeAgent":
      world.counts.frozen++;
      world.tell(`the agent of ${till.id} stands still`);
      till.agent?.life.freeze(dice.between(0, 25_000));
      return;
    case "jumpClock": {
      world.counts.jumped++;
      const ms = dice.between(-1, 1) * dice.pick([1_000, 60_000, 86_400_000, 400 * 86_400_000]);
      if (dice.chance(0.5)) {
        world.jumpHubs(ms);
      } else {
        till.skewMs += ms;
        if (till.agent) till.agent.life.skewMs += ms;
      }
      world.tell(`a clock jumps by ${Math.round(ms)} ms`);
      return;
    }
    case "restoreLedger":
    case "restoreCentral": {
      const what = kind === "restoreLedger" ? "ledger" : "central";
      if (dice.chance(0.6)) return world.backUp(what);
      void world.restore(what);
      scheduler.in(back(500), "supervisor of the hub", () => void world.startHub());
      return;
    }
    case "restoreBoth":
      // To one moment: nothing that one of the two knows gives the other away.
      if (dice.chance(0.6)) return world.backUpBoth();
      void world.restoreBoth();
      scheduler.in(back(500), "supervisor of the hub", () => void world.startHub());
      return;
    case "operator":
      void operate(world, "now and then");
      return;
    default:
      kind satisfies never;
  }
}

// ── a person at the desk ───────────────────────────────────────────────────────────────────────────────────────────

type Exception = { readonly lane: string; readonly seq: number; readonly state: string; readonly detail: string };

/** Looks at what is dead and decides about one message ("now and then"), or about all ("until none is left"). */
export async function operate(world: World, how: "now and then" | "until none is left"): Promise<void> {
  const life = world.life("anna", 0);
  const { dice } = world;
  if (how === "now and then" && dice.chance(0.15)) return pause(world, life);
  const list = await ask(
    life,
    "GET",
    `/api/exceptions?states=${how === "now and then" ? "dead,held,retrying" : "dead"}&limit=100`,
  ).catch(() => null);
  if (list?.status !== 200) return;
  const { rows } = jsonOf(list) as { rows: readonly Exception[] };
  for (const row of how === "now and then" ? rows.slice(0, 1 + dice.below(2)) : rows)
    await decide(world, life, row, how);
}

/** Loading of everything, a terminal or a table stands still for a while; sometimes until all is healed. */
async function pause(world: World, life: Life): Promise<void> {
  const { dice, scheduler } = world;
  const scope = dice.pick([
    { kind: "everything", name: "" },
    { kind: "terminal", name: dice.pick(world.tills).id },
    { kind: "route", name: dice.pick(["sale", "item"]) },
  ]);
  world.counts.paused++;
  world.tell(`anna pauses ${scope.kind} ${scope.name}`);
  await ask(life, "POST", "/api/pauses", { ...scope, reason: "schema change" }).catch(() => undefined);
  if (dice.chance(0.2)) return;
  scheduler.in(dice.between(0, 20_000), "anna", () => {
    world.tell(`anna resumes ${scope.kind} ${scope.name}`);
    void ask(life, "POST", "/api/pauses/resume", { ...scope, reason: "done" }).catch(() => undefined);
  });
}

/** What people have paused goes on. */
export async function resumeAll(world: World): Promise<void> {
  const life = world.life("anna", 0);
  for (const { kind, name } of rowsOf(world.onLedger, "select kind, name from pause where fault is null"))
    await ask(life, "POST", "/api/pauses/resume", { kind, name, reason: "done" }).catch(() => undefined);
}

async function decide(
  world: World,
  life: Life,
  row: Exception,
  how: "now and then" | "until none is left",
): Promise<void> {
  const { dice } = world;
  const at = `/api/exceptions/${row.lane}/${row.seq}`;
  const line = await lineOf(world, row);
  if (line === null) {
    // A message in parts cannot be edited as a line: it is given up, and with it whatever it may have touched.
    if (row.state !== "dead" || how === "now and then") return;
    world.truth.loosenAll();
    world.counts.discarded++;
    world.tell(`anna discards ${row.lane}/${row.seq}, which is in parts`);
    await ask(life, "POST", `${at}/discard`, { reason: "rung up twice" }).catch(() => undefined);
    return;
  }
  const act = dice.next();
  if (row.state === "dead" && act < (how === "now and then" ? 0.3 : 0.05)) {
    world.counts.requeued++;
    world.tell(`anna requeues ${row.lane}/${row.seq} as it was`);
    await ask(life, "POST", `${at}/requeue`, { reason: "again" }).catch(() => undefined);
  } else if (row.state === "dead" && act < 0.7) {
    world.counts.edited++;
    world.tell(`anna edits ${row.lane}/${row.seq}`);
    await ask(life, "POST", `${at}/requeue`, { reason: "typing error", payload: mended(line) }).catch(() => undefined);
  } else if (row.state === "dead" || dice.chance(0.1)) {
    loosen(world, line);
    world.counts.discarded++;
    world.tell(`anna discards ${row.lane}/${row.seq}`);
    await ask(life, "POST", `${at}/discard`, { reason: "rung up twice" }).catch(() => undefined);
  }
}

/** The line with every total that the centre refuses made positive. */
function mended(line: string): string {
  return line.replaceAll(/"total":-/g, '"total":');
}

/** From now on nothing is promised about what this message touches: it may be given up. */
export function loosen(world: World, line: string): void {
  const { changes = [] } = JSON.parse(line) as { changes?: readonly Change[] };
  for (const { key } of changes) {
    for (const name of ["sale_id", "item_id"]) {
      const value = (key as Record<string, unknown>)[name];
      if (typeof value === "string") world.truth.loose.add(value);
    }
  }
}

export async function lineOf(
  world: World,
  { lane, seq: number }: Pick<Exception, "lane" | "seq">,
): Promise<string | null> {
  const [terminal = "", epoch = ""] = lane.split("/");
  const pieces =
    (await world.hub?.bytes.read(
      laneName(terminal as TerminalId, epoch as Epoch),
      seq(number),
      seq(number),
      0,
      1 << 20,
    )) ?? [];
  for (const piece of pieces) {
    if (piece.part === 0 && piece.from <= number && number <= piece.through) {
      return Buffer.from(new Lines(piece.bytes, 100_000).at(number - piece.from)).toString("utf8");
    }
  }
  return null;
}

function ask(life: Life, method: "GET" | "POST", path: string, body?: unknown): Promise<HttpResponse> {
  return life.runtime.network.request({
    method,
    url: `http://hub${path}`,
    headers: {
      authorization: `Bearer ${OPERATOR_TOKEN}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) }),
    timeoutMs: 10_000,
  });
}

const jsonOf = ({ body }: HttpResponse): unknown => JSON.parse(Buffer.from(body).toString("utf8"));
