import { settingsOf } from "../src/cli/commands/config.ts";
import { hubConfig } from "../src/hub/config.ts";
import { LOG_EVENTS } from "../src/observe/log-events.ts";
import { METRICS } from "../src/observe/metric-list.ts";
import { namesOf } from "../src/observe/metrics.ts";
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

/** docs/observability.md: every event of the log, from its catalogue. */
export const observabilityPage = (): string => `# Log events

<!-- Made from src/observe/log-events.ts by \`npm run docs\`; change it there. -->

Log lines are JSON (text for people on a terminal): a dotted \`event\` and facts, no prose to parse. Programs may rely on the names.
Metrics are in [metrics.md](metrics.md), traces in [tracing.md](tracing.md).

| event | meaning |
|---|---|
${Object.entries(LOG_EVENTS)
  .map(([name, meaning]) => `| \`${name}\` | ${cell(meaning)} |`)
  .join("\n")}
`;

const metricsTable = (station: "hub" | "terminal"): string =>
  [
    "| metric | kind | unit | labels | meaning |",
    "|---|---|---|---|---|",
    ...namesOf(station).map((name) => {
      const { kind, unit, labels, meaning } = METRICS[name];
      return `| \`${name}\` | ${kind} | ${unit} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${cell(meaning)} |`;
    }),
  ].join("\n");

/** docs/metrics.md: every metric, from the catalogue. */
export const metricsPage = (): string => `# Metrics

<!-- Made from src/observe/metric-list.ts by \`npm run docs\`; change it there. -->

Prometheus text (format 0.0.4). Labels are few and bounded: terminals are counted in the ledger, not in labels. Counters begin at 0 with each start.
Ready to use: [ops/grafana-dashboard.json](../ops/grafana-dashboard.json) and [ops/prometheus-rules.yaml](../ops/prometheus-rules.yaml).

## The hub, at \`/metrics\`

\`\`\`yaml
scrape_configs:
  - job_name: waybill
    static_configs: [{ targets: ["hub.example:8420"] }]
\`\`\`

${metricsTable("hub")}

## A terminal's agent

With \`metrics: { port: 9464 }\` in the terminal's config, at \`/metrics\` of that port (on 127.0.0.1 unless \`metrics.host\` says otherwise); without it the agent opens no port.

${metricsTable("terminal")}
`;
