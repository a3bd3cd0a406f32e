import type { Command } from "commander";
import { WaybillError } from "../../base/errors.ts";
import { systemRuntime } from "../../base/runtime.ts";
import type { Pause, PauseScope } from "../../ledger/pauses.ts";
import { operatorOf, type Operator } from "../operator.ts";
import type { GlobalOptions } from "../options.ts";
import { duration, table, type Output } from "../print.ts";

type Options = GlobalOptions & {
  readonly reason?: string;
  readonly all?: true;
  readonly terminal?: string;
  readonly lane?: string;
  readonly table?: string;
  readonly timeout?: string;
};
type State = { readonly pauses: readonly (Pause & { readonly waiting: number })[]; readonly lanesInWork: number };

/** Between two looks at whether a drain is through. */
const LOOK_MS = 200;
/** Every process has heard of a pause by then, and what forwards the centre's own changes has ended its turn. */
const HEARD_MS = 2_500;

export function addPause(program: Command, output: Output): void {
  scoped(program.command("pause"))
    .description(
      "stop loading of a terminal, a lane, a table or everything; terminals go on sending. Without a scope: list",
    )
    .option("--reason <text>", "why; kept in the audit trail under your name")
    .addHelpText(
      "after",
      '\nExamples:\n  waybill pause\n  waybill pause --table sale --reason "schema change at the centre"',
    )
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      const operator = await operatorOf(options, systemRuntime);
      const scope = scopeOf(options);
      const state = scope
        ? await operator.post<State>("/api/pauses", { ...scope, reason: reasonOf(options) })
        : await operator.get<State>("/api/pauses");
      output.out(options.json ? JSON.stringify(state) : stateText(state));
    });
}

export function addResume(program: Command, output: Output): void {
  scoped(program.command("resume"))
    .description("let a paused terminal, lane, table or everything go on")
    .option("--reason <text>", "why; kept in the audit trail under your name")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      const operator = await operatorOf(options, systemRuntime);
      const scope = scopeOf(options);
      if (!scope) throw new WaybillError("USAGE", "say what goes on: --all, --terminal, --lane or --table");
      const state = await operator.post<State>("/api/pauses/resume", { ...scope, reason: reasonOf(options) });
      output.out(options.json ? JSON.stringify(state) : stateText(state));
    });
}

export function addDrain(program: Command, output: Output): void {
  program
    .command("drain")
    .description("pause everything and wait until nothing is in work: then the central database may be taken down")
    .option("--reason <text>", "why; kept in the audit trail under your name")
    .option("--timeout <seconds>", "how long to wait", "120")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      const operator = await operatorOf(options, systemRuntime);
      const state = await drained(operator, output, reasonOf(options), secondsOf(options) * 1_000);
      output.out(
        options.json
          ? JSON.stringify(state)
          : `${stateText(state)}\nNothing is in work. Go on with: waybill resume --all`,
      );
    });
}

const scoped = (command: Command): Command =>
  command
    .option("--all", "everything")
    .option("--terminal <id>", "all lanes of this terminal")
    .option("--lane <lane>", "this lane only, as terminal/epoch")
    .option("--table <name>", "messages that hold a change of this table");

function scopeOf({ all, terminal, lane, table: route }: Options): PauseScope | null {
  const named: PauseScope[] = [];
  if (all) named.push({ kind: "everything", name: "" });
  if (terminal !== undefined) named.push({ kind: "terminal", name: terminal });
  if (lane !== undefined) named.push({ kind: "lane", name: lane });
  if (route !== undefined) named.push({ kind: "route", name: route });
  if (named.length > 1) throw new WaybillError("USAGE", "name one of --all, --terminal, --lane and --table");
  return named[0] ?? null;
}

function reasonOf({ reason }: Options): string {
  if (reason === undefined) throw new WaybillError("USAGE", "--reason: say why; it is kept in the audit trail");
  return reason;
}

function secondsOf({ timeout }: Options): number {
  const seconds = Number(timeout);
  if (!(seconds > 0)) throw new WaybillError("USAGE", `--timeout: ${timeout} is no number of seconds above 0`);
  return seconds;
}

/** Tells how many lanes are still in work each time that it changes. @throws UNAVAILABLE when the time is over; all stays paused */
async function drained(operator: Operator, output: Output, reason: string, timeoutMs: number): Promise<State> {
  const before = await operator.get<State>("/api/pauses");
  if (!before.pauses.some(({ kind }) => kind === "everything"))
    await operator.post<State>("/api/pauses", { kind: "everything", reason });
  const begun = systemRuntime.clock.elapsed();
  for (let told = 0; ;) {
    const state = await operator.get<State>("/api/pauses");
    const passed = systemRuntime.clock.elapsed() - begun;
    if (state.lanesInWork === 0 && passed >= HEARD_MS) return state;
    if (state.lanesInWork > 0 && state.lanesInWork !== told)
      output.err(`${state.lanesInWork} lane(s) are still in work …`);
    told = state.lanesInWork;
    if (passed > Math.max(timeoutMs, HEARD_MS))
      throw new WaybillError("UNAVAILABLE", `${state.lanesInWork} lane(s) are still in work; everything stays paused`);
    await systemRuntime.timers.sleep(LOOK_MS);
  }
}

function stateText({ pauses }: State): string {
  if (pauses.length === 0) return "Nothing is paused.";
  const now = systemRuntime.clock.now();
  return table(
    ["paused", "name", "for", "by", "messages waiting", "goes on", "why"],
    pauses.map(({ kind, name, since, by, waiting, probeAt, reason }) => [
      kind,
      name,
      duration(now - since),
      by,
      kind === "route" ? waiting : null,
      probeAt === null ? "when resumed" : "by itself, when a probe goes through",
      reason,
    ]),
  );
}
