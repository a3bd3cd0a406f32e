import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

/** CPU seconds (user + system) and peak memory of a process, from /proc: our processes are measured, not the generator. */
export type Usage = { readonly cpuSeconds: number; readonly peakMib: number };

const TICKS = 100; // USER_HZ is 100 on every Linux that Node supports

export function usageOf(pid: number): Usage {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
    return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS, peakMib: Math.round(Number(peak) / 1024) };
  } catch {
    return { cpuSeconds: Number.NaN, peakMib: Number.NaN };
  }
}

export const machine = (): string =>
  `${cpus().length} × ${cpus()[0]?.model.trim() ?? "CPU"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.versions.node}`;

/** Milliseconds that `work` took. */
export async function timed(work: () => unknown): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

export const percentile = (sorted: readonly number[], p: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))] ?? Number.NaN;
