import { InvalidArgumentError, type Command } from "commander";
import { isoOf, type Instant } from "../../base/clock.ts";
import { systemRuntime } from "../../base/runtime.ts";
import { operatorOf } from "../operator.ts";
import type { GlobalOptions } from "../options.ts";
import type { Output } from "../print.ts";

type EnrollOptions = GlobalOptions & { readonly tag: Readonly<Record<string, string>>; readonly hours: number };

const tag = (text: string, before: Record<string, string>): Record<string, string> => {
  const at = text.indexOf("=");
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('must look like "store=014"');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
};
const hours = (text: string): number => {
  const n = Number(text);
  if (!Number.isFinite(n) || n <= 0 || n > 2160) throw new InvalidArgumentError("must be a number of hours up to 2160");
  return n;
};

export function addEnroll(program: Command, output: Output): void {
  program
    .command("enroll")
    .description("make a token that lets one terminal join, once")
    .argument("<terminal>", "id of the terminal: letters, digits, '.', '_', '-'")
    .option(
      "--tag <name=value>",
      "what the terminal is, such as store=014; repeatable. Its audiences and its rows' owner",
      tag,
      {},
    )
    .option("--hours <n>", "how long the token is valid", hours, 24)
    .addHelpText("after", "\nExample:\n  waybill enroll till-014-1 --tag store=014 --tag region=north")
    .action(async (terminal: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<EnrollOptions>();
      const operator = await operatorOf(options, systemRuntime);
      const answer = await operator.post<{ token: string; expiresAt: Instant }>("/api/enroll-tokens", {
        terminal,
        tags: options.tag,
        validMinutes: Math.max(1, Math.round(options.hours * 60)),
      });
      if (options.json) return output.out(JSON.stringify({ terminal, ...answer, expiresAt: isoOf(answer.expiresAt) }));
      output.out(
        `Token for ${terminal}, valid once until ${isoOf(answer.expiresAt)}:\n\n  ${answer.token}\n\nOn the terminal:\n`,
      );
      output.out(
        `  WAYBILL_ENROLL_TOKEN=${answer.token} waybill terminal --hub ${operator.address} --id ${terminal} --database sqlite:/path/to/its.db`,
      );
    });
}
