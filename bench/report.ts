import type { Figures } from "./world.ts";

const grouped = (n: number): string => Math.round(n).toLocaleString("en-US").replaceAll(",", " ");
const ms = (n: number | undefined): string => (n === undefined ? "" : n.toFixed(n < 10 ? 1 : 0));

/** CPU seconds of our own processes for 100,000 rows. */
export const oursPer100k = ({ ours = {}, rows }: Figures): number =>
  (Object.values(ours).reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0) * 100_000) / rows;

/** All of ours, and each process where there are several. */
function cpuOf(one: Figures): string {
  const parts = Object.entries(one.ours ?? {});
  if (oursPer100k(one) <= 0) return ""; // less than what was taken off for the start
  const all = oursPer100k(one).toFixed(1);
  if (parts.length === 1) return all;
  const each = parts.map(([name, { cpuSeconds }]) => `${name} ${((cpuSeconds * 100_000) / one.rows).toFixed(1)}`);
  return `${all} (${each.join(", ")})`;
}

/** The figures as a Markdown table. */
export function table(all: readonly Figures[]): string {
  const rows = all.map((one) => {
    const { what, rows: count, rowsPerSecond, bare, p50Ms, p99Ms, ours = {}, serverCpuSeconds, wireBytesPerRow } = one;
    const parts = Object.entries(ours);
    const server = serverCpuSeconds ? ((serverCpuSeconds * 100_000) / count).toFixed(1) : "";
    const peaks = parts.map(([name, { peakMib }]) => (Number.isNaN(peakMib) ? "" : `${name} ${peakMib}`));
    return [
      what,
      grouped(rowsPerSecond),
      bare === undefined ? "" : (rowsPerSecond / bare).toFixed(2),
      ms(p50Ms),
      ms(p99Ms),
      parts.length === 0 ? "" : cpuOf(one),
      server,
      peaks.filter((peak) => peak !== "").join(", "),
      wireBytesPerRow === undefined ? "" : wireBytesPerRow.toFixed(0),
      one.note ?? "",
    ];
  });
  return [
    "| what | rows/s | of bare | p50 ms | p99 ms | CPU s, ours | CPU s, server | peak MiB | B/row on the wire | note |",
    "|---|---:|---:|---:|---:|---:|---:|---|---:|---|",
    ...rows.map((cells) => `| ${cells.join(" | ")} |`),
  ].join("\n");
}

const WIDTH = 860;
const LABEL = 400;
const BAR = 16;
const STEP = 24;
const COLOURS: Readonly<Record<string, string>> = { queues: "#9aa5b1" };

/** The rows per second as bars; other people's programs in grey. */
export function chart(all: readonly Figures[], title: string): string {
  const shown = all.filter(({ scenario }) => scenario !== "steady");
  const most = Math.max(1, ...shown.map(({ rowsPerSecond }) => rowsPerSecond));
  const height = 44 + shown.length * STEP;
  const bars = shown.map(({ what, rowsPerSecond, scenario }, i) => {
    const y = 36 + i * STEP;
    const width = Math.max(1, ((WIDTH - LABEL - 90) * rowsPerSecond) / most);
    return [
      `  <text x="${LABEL - 8}" y="${y + 12}" text-anchor="end">${escaped(what)}</text>`,
      `  <rect x="${LABEL}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" fill="${COLOURS[scenario] ?? "#2f6f4f"}"/>`,
      `  <text x="${(LABEL + width + 6).toFixed(1)}" y="${y + 12}">${grouped(rowsPerSecond)}</text>`,
    ].join("\n");
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12">`,
    `  <rect width="100%" height="100%" fill="#fff"/>`,
    `  <text x="8" y="20" font-size="14" font-weight="600">${escaped(title)}</text>`,
    ...bars,
    "</svg>",
    "",
  ].join("\n");
}

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
