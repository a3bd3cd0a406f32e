import { settingsOf } from "../src/cli/commands/config.ts";
import { hubConfig } from "../src/hub/config.ts";
import { LOG_EVENTS } from "../src/observe/log-events.ts";
import { METRICS } from "../src/observe/metrics.ts";
import { terminalConfig } from "../src/terminal/config.ts";

const cell = (text: string): string => text.replaceAll("|", "\\|");
const table = (schema: Parameters<typeof settingsOf>[0]): string =>
  [
    "| setting | type | default | meaning |",
    "|---|---|---|---|",
    ...settingsOf(schema).map(
      ({ path, type, default: preset, meaning }) =>
        `| \`${path}\` | ${cell(type)} | ${preset === "" ? "" : `\`${cell(preset)}\``} | ${cell(meaning)} |`,
    ),
  ].join("\n");

/** docs/configuration.md: every setting, from the schemas that check them. */
export const settingsPage = (): string => `# Configuration

<!-- Made from src/hub/config.ts and src/terminal/config.ts by \`npm run docs\`; change it there. -->

A hub reads \`waybill.config.ts\` (or \`.js\`, \`.yaml\`, \`.json\`) of its folder, a terminal \`waybill.terminal.ts\` of its own.
\`waybill config --check\` names everything that is wrong, all at once. A value \`"\${NAME}"\` comes from the environment, so that
secrets stay out of files; relative SQLite paths start from the folder of the file. [getting-started.md](getting-started.md) has a worked example.

## The hub

${table(hubConfig)}

## A terminal

${table(terminalConfig)}
`;

/** docs/observability.md: every event of the log and every metric, from their catalogues. */
export const observabilityPage = (): string => `# Log events and metrics

<!-- Made from src/observe/log-events.ts and src/observe/metrics.ts by \`npm run docs\`; change it there. -->

Log lines are JSON (text for people on a terminal): a dotted \`event\` and facts, no prose to parse. Programs may rely on the names.

| event | meaning |
|---|---|
${Object.entries(LOG_EVENTS)
  .map(([name, meaning]) => `| \`${name}\` | ${cell(meaning)} |`)
  .join("\n")}

## Metrics

The hub serves them as Prometheus text at \`/metrics\`.

| metric | kind | unit | meaning |
|---|---|---|---|
${Object.entries(METRICS)
  .map(([name, metric]) => `| \`${name}\` | ${metric.kind} | ${metric.unit} | ${cell(metric.meaning)} |`)
  .join("\n")}
`;
