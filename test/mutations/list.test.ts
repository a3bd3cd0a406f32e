import { expect, test } from "vitest";
import { MUTATIONS } from "./list.ts";
import { broken } from "./patch.ts";

test("each mutation of the adapters still has its place in the code: else its lock or fence could go unseen", () => {
  const gone = MUTATIONS.filter((mutation) => broken(mutation) === null);
  expect(gone.map(({ file, find }) => `${file}: ${find}`)).toEqual([]);
});
