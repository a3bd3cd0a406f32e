import { FAULTS, type Blame, type FaultCode } from "../src/base/errors.ts";

const BLAME: Readonly<Record<Blame, { readonly title: string; readonly says: string }>> = {
  caller: {
    title: "Whoever asked must change something",
    says: "Repeating the same request unchanged cannot help. Nothing of it was stored.",
  },
  target: {
    title: "A database or peer is ill",
    says: "Waybill waits and tries again by itself, behind growing pauses. No attempt is counted and no message is judged.",
  },
  message: {
    title: "The message can never pass as it is",
    says: "It becomes a dead letter at once and waits for a person; messages that do not need its rows go on.",
  },
  either: {
    title: "A refusal that may pass later",
    says: "It is tried again by the table's retry policy, and becomes a dead letter when the attempts are spent.",
  },
};

/** docs/errors.md: every code of the catalogue, by who can mend it. */
export function errorsPage(): string {
  const codes = Object.keys(FAULTS) as FaultCode[];
  const sections = (Object.keys(BLAME) as Blame[]).map((blame) => {
    const rows = codes
      .filter((code) => FAULTS[code].blame === blame)
      .map((code) => `| \`${code}\` | ${FAULTS[code].status} | ${FAULTS[code].hint.replaceAll("|", "\\|")} |`);
    const { title, says } = BLAME[blame];
    return `## ${title}\n\n${says}\n\n| code | status | what to do |\n|---|---|---|\n${rows.join("\n")}\n`;
  });
  return `# Errors

<!-- Made from src/base/errors.ts by \`npm run docs\`; change it there. -->

Every error of Waybill carries one of these codes: on the command line, in the log, at a dead letter, and over HTTP as
\`code\` of a problem document (RFC 9457) with the status given here. Programs may rely on the code; the text beside it
names the thing and its value and is for people. The headings say who can mend it, and so what Waybill does next.

${sections.join("\n")}`;
}
