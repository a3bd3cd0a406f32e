import { readFileSync } from "node:fs";
import { join } from "node:path";
import { patchedText } from "../kit/patch.ts";
import { REPO } from "../kit/repo.ts";
import { MUTATIONS, type Mutation } from "./mutations.ts";

/** The broken text of the mutation's file, in the copy of the repository at `root`. @throws Error when the patch does not stand there exactly once any more */
export function patched({ id, file, from, to }: Mutation, root = REPO): string {
  const text = readFileSync(join(root, file), "utf8");
  const after = patchedText(text, from, to);
  if (after === null)
    throw new Error(
      `mutation ${id}: its code stands ${text.split(from).length - 1} times in ${file}; bring test/mutation/mutations.ts up to date`,
    );
  return after;
}

/** What each mutation that does not apply any more says. */
export function misfits(): readonly string[] {
  return MUTATIONS.flatMap((mutation) => {
    try {
      return patched(mutation) === readFileSync(join(REPO, mutation.file), "utf8")
        ? [`mutation ${mutation.id} changes nothing`]
        : [];
    } catch (thrown) {
      return [(thrown as Error).message];
    }
  });
}
