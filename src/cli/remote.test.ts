import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Command } from "commander";
import { SmallChain } from "../../test/kit/small-chain.ts";
import { main, program } from "./main.ts";

/** Commands of a machine's own: they run something here, or look at files and databases that are here. */
const LOCAL = new Set([
  "demo",
  "hub",
  "terminal",
  "terminal status",
  "capture on",
  "capture off",
  "capture remove",
  "soap dry-run",
  "doctor",
  "config",
  "version",
]);

type Remote = { readonly words: readonly string[]; readonly code?: number; readonly out?: RegExp };
/** Every other command, as support staff far away call it. Code 3: the hub answered that there is no such thing. */
const REMOTE: Readonly<Record<string, Remote>> = {
  enroll: { words: ["enroll", "t9", "--tag", "store=014"], out: /Token for t9/ },
  status: { words: ["status"], out: /terminals · / },
  trace: { words: ["trace", "t1", "4711"], code: 3 },
  "dead list": { words: ["dead", "list"] },
  "dead groups": { words: ["dead", "groups"] },
  "dead show": { words: ["dead", "show", "t1", "1"], code: 3 },
  "dead edit": { words: ["dead", "edit", "t1", "1", "--payload", "package.json", "--reason", "a test"], code: 3 },
  "dead requeue": { words: ["dead", "requeue", "t1", "1", "--reason", "a test"], code: 3 },
  "dead discard": { words: ["dead", "discard", "t1", "1", "--reason", "a test"], code: 3 },
  "dead bulk list": { words: ["dead", "bulk", "list"] },
  "dead bulk show": { words: ["dead", "bulk", "show", "1"], code: 3 },
  "dead bulk requeue": { words: ["dead", "bulk", "requeue"] },
  "dead bulk discard": { words: ["dead", "bulk", "discard"] },
  "dead bulk start": { words: ["dead", "bulk", "start", "99", "--reason", "a test"], code: 3 },
  "dead bulk cancel": { words: ["dead", "bulk", "cancel", "99", "--reason", "a test"], code: 3 },
  alerts: { words: ["alerts"] },
  "alerts rules": { words: ["alerts", "rules"] },
  "alerts see": { words: ["alerts", "see", "01JDCW0000000000000000000A", "--note", "a test"], code: 3 },
  "alerts test": { words: ["alerts", "test"] },
  restores: { words: ["restores"], out: /nothing is missing/ },
  "restores allow": { words: ["restores", "allow", "t1", "01JDCW0000000000000000000A", "--reason", "a test"], code: 3 },
  "restores settle": { words: ["restores", "settle", "t1", "--reason", "a test"], code: 1 },
  reconcile: { words: ["reconcile"] },
  "reconcile show": { words: ["reconcile", "show", "1"], code: 3 },
  "reconcile repair": { words: ["reconcile", "repair", "1", "--reason", "a test"], code: 3 },
  "reconcile cancel": { words: ["reconcile", "cancel", "1", "--reason", "a test"], code: 3 },
  pause: { words: ["pause", "--table", "sale", "--reason", "a test"] },
  resume: { words: ["resume", "--table", "sale", "--reason", "a test"] },
  drain: { words: ["drain", "--reason", "a test"] },
  retention: { words: ["retention"] },
  "retention run": { words: ["retention", "run"] },
  "operator list": { words: ["operator", "list"], out: /Nobody can sign in by name yet/ },
  "operator invite": {
    words: ["operator", "invite", "anna", "--role", "admin"],
    out: /anna, admin, can sign in at http.*\n\n {2}[0-9a-z]{26}/,
  },
  "operator password": { words: ["operator", "password", "anna"], out: /[0-9a-z]{26}/ },
  "operator role": { words: ["operator", "role", "anna", "viewer"], code: 1 }, // the only admin stays one
  "operator disable": { words: ["operator", "disable", "bert"], code: 3 },
  "operator link": { words: ["operator", "link"], out: /\/signin#/ },
  "operator tokens list": { words: ["operator", "tokens"], out: /no tokens/ },
  "operator tokens make": {
    words: ["operator", "tokens", "make", "reports", "--days", "365"],
    out: /Token reports \(viewer\), valid until/,
  },
  "operator tokens revoke": { words: ["operator", "tokens", "revoke", "reports"], out: /good for nothing/ },
  "audit export": { words: ["audit", "export"], out: /operator added/ },
};

type Said = { readonly code: number; readonly out: string; readonly err: string };
async function waybill(...words: string[]): Promise<Said> {
  let [out, err] = ["", ""];
  const before = process.exitCode;
  process.exitCode = undefined;
  try {
    const write = (text: string): void => void (out += text);
    const code = await main(words, {
      out: (text) => write(`${text}\n`),
      raw: write,
      err: (text) => void (err += text),
    });
    return { code, out, err };
  } finally {
    process.exitCode = before;
  }
}

/** Commands that do something by themselves, by the words that call them. */
function leaves(command: Command, path: readonly string[] = []): string[] {
  const own = command as Command & { readonly _actionHandler?: unknown };
  const below = command.commands
    .filter((each) => each.name() !== "help")
    .flatMap((each) => leaves(each, [...path, each.name()]));
  return [...(path.length > 0 && own._actionHandler ? [path.join(" ")] : []), ...below];
}

describe("against a hub far away, by --hub and --token alone", () => {
  let chain: SmallChain;
  const ask = async (...words: string[]): Promise<Said> =>
    waybill(...words, "--hub", chain.address, "--token", await chain.token());
  const requests = async (): Promise<number> =>
    [
      ...(await (await fetch(`${chain.address}/metrics`)).text()).matchAll(
        /^waybill_requests_total\{route="\/api.*\} (\d+)$/gm,
      ),
    ].reduce((sum, [, n]) => sum + Number(n), 0);
  beforeAll(async () => {
    chain = await SmallChain.start({});
  }, 30_000);
  afterAll(() => chain[Symbol.asyncDispose]());

  test("every command is either of this machine or in the table", async () => {
    const all = leaves(await program([], { out: () => undefined, raw: () => undefined, err: () => undefined }));
    expect(all.toSorted()).toEqual([...LOCAL, ...Object.keys(REMOTE)].toSorted());
  });

  for (const [name, { words, code = 0, out }] of Object.entries(REMOTE)) {
    test(name, { timeout: 20_000 }, async () => {
      const before = await requests();
      const said = await ask(...words);
      expect({ ...said, code: said.code }, said.err).toMatchObject({ code });
      if (code === 3) expect(said.err).toContain("NOT_FOUND");
      if (out) expect(said.out).toMatch(out);
      expect(await requests(), "the hub was asked").toBeGreaterThan(before);
    });
  }

  test("who was let in can sign in with the password that was shown, and not after having been disabled", async () => {
    const made = await ask("operator", "invite", "carl", "--role", "operator", "--json");
    expect(made).toMatchObject({ code: 0, err: "" });
    const { password } = JSON.parse(made.out) as { password: string };
    expect(password).toMatch(/^[0-9a-z]{26}$/);
    expect((await ask("operator", "list", "--json")).out).toContain('"carl"');
    expect((await ask("operator", "invite", "carl")).err).toContain("NAME_TAKEN");
    expect((await ask("operator", "role", "carl", "king")).code).toBe(2);
    expect((await ask("operator", "disable", "carl")).code).toBe(0);
    expect((await ask("operator", "list", "--json")).out).not.toContain('"carl"');
  });

  test("a token that may only look is told so, and one that is nobody's too", async () => {
    const made = await ask("operator", "tokens", "make", "viewer-of-the-test", "--json");
    const { token } = JSON.parse(made.out) as { token: string };
    const as = (secret: string, ...words: string[]): Promise<Said> =>
      waybill(...words, "--hub", chain.address, "--token", secret);
    expect(await as(token, "status")).toMatchObject({ code: 0, err: "" });
    expect(await as(token, "operator", "list")).toMatchObject({ code: 1, err: expect.stringContaining("FORBIDDEN") });
    expect(await as("nobodys-token-at-all", "status")).toMatchObject({
      code: 1,
      err: expect.stringContaining("UNAUTHENTICATED"),
    });
  });
});
