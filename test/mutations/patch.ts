import { readFileSync } from "node:fs";
import { join } from "node:path";
import { patchedText } from "../kit/patch.ts";
import { REPO } from "../kit/repo.ts";
import type { Mutation } from "./list.ts";

/** The file with the mutation in it; null when its place is gone, or is not the only one and nothing says which is meant. */
export const broken = ({ file, find, replace, nth }: Mutation): string | null =>
  patchedText(readFileSync(join(REPO, "src", file), "utf8"), find, replace, nth);
