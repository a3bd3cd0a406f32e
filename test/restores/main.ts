import { existsSync } from "node:fs";
import { find } from "../kit/needs.ts";
import { tempDir } from "../kit/temp-dir.ts";
import { PostgresStores, type Stores } from "./stores.ts";
import { STATIONS, Torture, type Station } from "./torture.ts";

/**
 * `npm run restores -- [times] [first seed] [station…] [--postgres]`: sets each station back so many times, and says what came of
 * it. With `--postgres` every database is one on the server of `scripts/services up` (copies by pg_dump), and time is real.
 * A seed that fails is told with its history; `RESTORES_LOG=1` shows what the stations logged meanwhile.
 */
if (existsSync("/dev/shm")) process.env["TMPDIR"] = "/dev/shm";
const words = process.argv.slice(2);
const onServer = words.includes("--postgres");
const [times = "20", first = "1", ...named] = words.filter((word) => word !== "--postgres");
const stations = named.length > 0 ? STATIONS.filter((station) => named.includes(station)) : STATIONS;
let failed = 0;
for (const station of stations) for (let i = 0; i < Number(times); i++) failed += await one(station, Number(first) + i);
console.log(failed === 0 ? "All converged, or named what is missing." : `${failed} did not converge.`);
process.exitCode = failed === 0 ? 0 : 1;

async function one(station: Station, seed: number): Promise<number> {
  await using dir = tempDir();
  const began = performance.now();
  const tell = (word: string, more: string): void =>
    console.log(`${station} ${seed} ${word} ${Math.round(performance.now() - began)} ms ${more}`);
  try {
    const { told } = await Torture.run(dir.path, seed, station, serverStores(dir.path, seed));
    tell("ok", told.filter((word) => / (missing|differences)/.test(word)).join(", "));
    return 0;
  } catch (thrown) {
    tell("FAILED", chainOf(thrown));
    return 1;
  }
}

function chainOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  return thrown.cause === undefined ? thrown.message : `${thrown.message}\n  ${chainOf(thrown.cause)}`;
}

function serverStores(folder: string, seed: number): Stores | undefined {
  if (!onServer) return undefined;
  const found = find("postgres");
  if ("missing" in found) throw new Error(found.missing);
  return new PostgresStores(found.at, folder, `restores_${process.pid}_${seed}`);
}
