import { Option, type Command } from "commander";
import { isoOf, type Instant } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import { newUlid, systemRuntime } from "../../base/runtime.ts";
import { ROLES, type ApiToken, type Operator as Person, type Role } from "../../ledger/access.ts";
import { operatorOf } from "../operator.ts";
import type { GlobalOptions } from "../options.ts";
import { duration, table, type Output } from "../print.ts";

type RoleOptions = GlobalOptions & { readonly role: Role; readonly passwordStdin?: boolean };
type TokenOptions = GlobalOptions & { readonly role: Role; readonly days: string };

const roleOption = (preset: Role): Option =>
  new Option("--role <role>", "viewer looks, operator acts, admin says who may").choices(ROLES).default(preset);
const personPath = (name: string, act = ""): string => `/api/operators/${encodeURIComponent(name)}${act}`;

/** Who may sign in, and which programs may call: the same acts as under People in the console. An admin's token is needed. */
export function addOperator(program: Command, output: Output): void {
  const operator = program
    .command("operator")
    .description("people who may sign in, and tokens of programs")
    .addHelpText(
      "after",
      "\nExamples:\n  waybill operator list\n  waybill operator invite anna --role operator\n  waybill operator role anna admin\n  waybill operator disable anna\n  waybill operator tokens make reports --role viewer --days 365\n  waybill operator tokens revoke reports",
    );
  addPeople(operator, output);
  addTokens(operator, output);
}

function addPeople(operator: Command, output: Output): void {
  operator
    .command("list", { isDefault: true })
    .description("people who may sign in")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const hub = await operatorOf(options, systemRuntime);
      const found = await hub.get<{ operators: readonly Person[] }>("/api/operators");
      output.out(options.json ? JSON.stringify(found) : peopleText(found.operators, systemRuntime.clock.now()));
    });
  operator
    .command("invite")
    .description("let a person sign in, with a password that is made here and shown once")
    .argument("<name>", "1–64 letters, digits or . _ @ -")
    .addOption(roleOption("viewer"))
    .option("--password-stdin", "take the password from standard input instead")
    .action(async (name: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<RoleOptions>();
      const hub = await operatorOf(options, systemRuntime);
      const password = await passwordFor(options);
      await hub.post("/api/operators", { name, role: options.role, password: password.text });
      tellPassword(output, options, { name, role: options.role, at: hub.address, ...password });
    });
  operator
    .command("password")
    .description("give a person a new password; ends their sessions")
    .argument("<name>")
    .option("--password-stdin", "take the password from standard input instead")
    .action(async (name: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<RoleOptions>();
      const hub = await operatorOf(options, systemRuntime);
      const password = await passwordFor(options);
      await hub.post(personPath(name), { password: password.text });
      tellPassword(output, options, { name, at: hub.address, ...password });
    });
  operator
    .command("role")
    .description("change what a person may do; ends their sessions")
    .argument("<name>")
    .argument("<role>", ROLES.join(", "))
    .action(async (name: string, role: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      if (!ROLES.some((each) => each === role))
        throw new WaybillError("USAGE", `there is no role ${role}: ${ROLES.join(", ")}`);
      const hub = await operatorOf(options, systemRuntime);
      await hub.post(personPath(name), { role });
      output.out(options.json ? JSON.stringify({ name, role }) : `${name} has the role ${role} now.`);
    });
  operator
    .command("disable")
    .description("a person may not sign in any more; ends their sessions. What they did stays in the audit trail")
    .argument("<name>")
    .action(async (name: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const hub = await operatorOf(options, systemRuntime);
      await hub.post(personPath(name, "/remove"), {});
      output.out(options.json ? JSON.stringify({ name }) : `${name} may not sign in any more.`);
    });
  operator
    .command("link")
    .description("make a link that signs one browser in once, as an admin, within a quarter of an hour")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const hub = await operatorOf(options, systemRuntime);
      const made = await hub.post<{ invitation: string; expiresAt: Instant }>("/api/invitations", {});
      const link = `${hub.address}/signin#${made.invitation}`;
      output.out(options.json ? JSON.stringify({ link, expiresAt: isoOf(made.expiresAt) }) : link);
    });
}

function addTokens(operator: Command, output: Output): void {
  const tokens = operator.command("tokens").description("programs that may use the operator API");
  tokens
    .command("list", { isDefault: true })
    .description("tokens without their secrets, which nobody keeps")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const hub = await operatorOf(options, systemRuntime);
      const found = await hub.get<{ tokens: readonly ApiToken[] }>("/api/tokens");
      output.out(options.json ? JSON.stringify(found) : tokensText(found.tokens));
    });
  tokens
    .command("make")
    .description("make a token; its secret is shown once")
    .argument("<name>", "what uses it; stands in the audit trail")
    .addOption(roleOption("viewer"))
    .option("--days <n>", 'how long it is valid, or "ever"', "90")
    .action(async (name: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<TokenOptions>();
      const validDays = options.days === "ever" ? null : Number(options.days);
      const hub = await operatorOf(options, systemRuntime);
      const call = { name, role: options.role, validDays };
      const made = await hub.post<{ token: string; expiresAt: Instant | null }>("/api/tokens", call);
      const until = made.expiresAt === null ? null : isoOf(made.expiresAt);
      if (options.json) return output.out(JSON.stringify({ ...call, token: made.token, expiresAt: until }));
      output.out(
        `Token ${name} (${options.role}), ${until === null ? "until it is revoked" : `valid until ${until}`}:\n\n  ${made.token}`,
      );
    });
  tokens
    .command("revoke")
    .description("end a token at once")
    .argument("<name>")
    .action(async (name: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const hub = await operatorOf(options, systemRuntime);
      await hub.post(`/api/tokens/${encodeURIComponent(name)}/revoke`, {});
      output.out(options.json ? JSON.stringify({ name }) : `The token ${name} is good for nothing any more.`);
    });
}

type Password = { readonly text: string; readonly made: boolean };

/** 26 letters with 80 random bits in them: nobody guesses it, and it can be read out over the telephone. */
async function passwordFor({ passwordStdin }: RoleOptions): Promise<Password> {
  if (!passwordStdin)
    return { text: newUlid(systemRuntime.clock.now(), systemRuntime.random).toLowerCase(), made: true };
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk as Uint8Array));
  return {
    text: Buffer.concat(chunks)
      .toString("utf8")
      .replace(/\r?\n$/, ""),
    made: false,
  };
}

function tellPassword(
  output: Output,
  options: GlobalOptions,
  { name, role, at, text, made }: Password & { readonly name: string; readonly role?: Role; readonly at: string },
): void {
  const shown = made ? { password: text } : {};
  if (options.json) return output.out(JSON.stringify({ name, ...(role === undefined ? {} : { role }), ...shown }));
  output.out(
    `${name}${role === undefined ? "" : `, ${role},`} can sign in at ${at}${made ? ` with this password, shown once:\n\n  ${text}` : "."}`,
  );
}

const peopleText = (people: readonly Person[], now: number): string =>
  people.length === 0
    ? "Nobody can sign in by name yet: waybill operator invite <name> --role admin"
    : table(
        ["name", "role", "signed in"],
        people.map(({ name, role, signedInAt }) => [
          name,
          role,
          signedInAt === null ? "never" : `${duration(now - signedInAt)} ago`,
        ]),
      );

const tokensText = (tokens: readonly ApiToken[]): string =>
  tokens.length === 0
    ? "There are no tokens but those of the config."
    : table(
        ["name", "role", "valid until", "made by"],
        tokens.map(({ name, role, expiresAt, madeBy }) => [
          name,
          role,
          expiresAt === null ? "it is revoked" : isoOf(expiresAt),
          madeBy,
        ]),
      );
