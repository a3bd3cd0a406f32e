import { readdirSync, readFileSync, statSync } from "node:fs";
import { expect, test } from "vitest";
import { tempDir } from "../../test/kit/temp-dir.ts";
import { folderAt } from "./folder.ts";

test.each(["durable", "volatile"] as const)(
  "a %s file is there whole, for its owner only, without a draft",
  async (durability) => {
    await using dir = tempDir();
    const folder = folderAt(dir.file("state", "of", "t1"));
    expect(await folder.read("a.json")).toBe(null);
    await folder.write("a.json", "first, and longer", durability);
    await folder.write("a.json", "second", durability);
    expect(await folder.read("a.json")).toBe("second");
    expect(readFileSync(dir.file("state", "of", "t1", "a.json"), "utf8")).toBe("second");
    expect(statSync(dir.file("state", "of", "t1", "a.json")).mode & 0o777).toBe(0o600);
    expect(statSync(dir.file("state", "of", "t1")).mode & 0o777).toBe(0o700);
    expect(readdirSync(dir.file("state", "of", "t1"))).toEqual(["a.json"]);
  },
);

test("what cannot be read is told, not taken for absent", async () => {
  await using dir = tempDir();
  await expect(folderAt(dir.path).read(".")).rejects.toThrow("EISDIR");
});
