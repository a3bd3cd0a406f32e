import { readFileSync } from "node:fs";
import { join } from "node:path";
import { REPO } from "../kit/repo.ts";
import type { Mutation } from "./list.ts";

/** The file with the mutation in it; null when its place is gone, or is not the only one and nothing says which is meant. */
export function broken({ file, find, replace, nth }: Mutation): string | null {
  const pieces = readFileSync(join(REPO, "src", file), "utf8").split(find);
  const at = nth ?? 0;
  if (pieces.length < at + 2 || (nth === undefined && pieces.length !== 2)) return null;
  return `${pieces.slice(0, at + 1).join(find)}${replace}${pieces.slice(at + 1).join(find)}`;
}
