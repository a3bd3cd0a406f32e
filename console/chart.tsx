import { useEffect, useRef, useState, type ReactNode } from "react";
import uPlot from "uplot";

export type Series = {
  readonly label: string;
  /** The custom property that holds its colour. */
  readonly colour: string;
  readonly values: readonly (number | null)[];
};

const HEIGHT = 200;

/** Lines over time. Times are seconds since 1970. */
export function Chart({
  title,
  summary,
  times,
  series,
}: {
  readonly title: string;
  /** The same for people who do not see it. */
  readonly summary: string;
  readonly times: readonly number[];
  readonly series: readonly Series[];
}): ReactNode {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [theme, setTheme] = useState(0);
  const data: uPlot.AlignedData = [[...times], ...series.map(({ values }) => [...values])];
  const newest = useRef(data);
  newest.current = data;
  const shape = series.map(({ label, colour }) => `${label}:${colour}`).join(",");

  useEffect(() => {
    const changed = (): void => setTheme((n) => n + 1);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", changed);
    addEventListener("waybill-theme", changed);
    return () => {
      dark.removeEventListener("change", changed);
      removeEventListener("waybill-theme", changed);
    };
  }, []);
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const made = new uPlot(optionsOf(series, element.clientWidth), newest.current, element);
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = null;
    };
    // Made anew only when its lines or colours are others; data goes in below.
  }, [shape, theme]);
  useEffect(() => plot.current?.setData(data));
  return (
    <figure className="chart">
      <h3>{title}</h3>
      <div ref={box} role="img" aria-label={`${title}: ${summary}`} />
      <figcaption>
        {series.map(({ label, colour }) => (
          <span key={label}>
            <i className={`key ${colour.slice(2)}`} />
            {label}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}

function optionsOf(series: readonly Series[], width: number): uPlot.Options {
  const axis: uPlot.Axis = {
    stroke: colour("--ink-3"),
    font: "12px system-ui, sans-serif",
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { points: { show: false }, y: false, drag: { x: false, y: false } },
    padding: [12, 20, 0, 0],
    scales: { y: { range: (_, _low, high) => [0, Math.max(1, high * 1.15)] } },
    axes: [
      { ...axis, grid: { show: false }, size: 30, space: 90, values: (_, splits) => splits.map(clockOf) },
      { ...axis, size: 48, space: 44, values: (_, splits) => splits.map(shortOf) },
    ],
    series: [
      {},
      ...series.map((each, index) => ({
        label: each.label,
        stroke: colour(each.colour),
        width: 2,
        points: { show: false },
        ...(index === series.length - 1 ? { fill: faint(colour(each.colour)) } : {}),
      })),
    ],
  };
}

/** A colour as the canvas takes it: what it is in light or dark is decided by the style of a real element. */
function colour(name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
const faint = (rgb: string): string => rgb.replace(/^rgb\((.*)\)$/, "rgba($1, 0.12)");

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const clockOf = (seconds: number): string => clock.format(seconds * 1_000);
const compact = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });
const shortOf = (n: number): string => compact.format(n);
