import { test } from "vitest";
import { freshWorlds } from "./fresh-worlds.test-kit.ts";

// The other half of the fresh worlds: a file of tests of its own has a core of its own.
test("I1–I5, I11: nothing is violated in more fresh worlds of faults", freshWorlds);
