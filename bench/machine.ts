import { readdirSync, readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

/** CPU seconds (user + system) and peak memory of a process, from /proc: our processes are measured, not the generator. */
export type Usage = { readonly cpuSeconds: number; readonly peakMib: number };

const TICKS = 100; // USER_HZ is 100 on every Linux that Node supports

export function usageOf(pid: number): Usage {
  try {
    const fields = statOf(pid);
    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
    return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS, peakMib: Math.round(Number(peak) / 1024) };
  } catch {
    return { cpuSeconds: Number.NaN, peakMib: Number.NaN };
  }
}

/** CPU seconds of a process, its children, and those of its children that have ended. */
export function familyCpu(pid: number): number {
  const ticks = (of: number | string, from: number, to: number): number =>
    statOf(of)
      .slice(from, to)
      .reduce((sum, field) => sum + Number(field), 0);
  const children = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && statOf(name)[1] === String(pid));
  const all = children.reduce((sum, child) => sum + ticks(child, 11, 13), ticks(pid, 11, 15));
  return all / TICKS;
}

/** The fields of /proc/<pid>/stat behind the name: state, parent, …; none when the process is gone. */
function statOf(pid: number | string): readonly string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
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
