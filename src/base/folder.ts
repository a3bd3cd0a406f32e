import { mkdir, open, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * A few small files of a station's own, by name. In production a folder on the disk; in the simulation a map in memory,
 * so that nothing there waits for a real disk.
 */
export interface Folder {
  /** For messages to people. */
  readonly path: string;
  /** Null: there is no such file. */
  read(name: string): Promise<string | null>;
  /** Whole or not at all. `durable`: on the disk when it returns, so that it survives a power cut. */
  write(name: string, text: string, durability: "durable" | "volatile"): Promise<void>;
}

/** A folder on the disk, made when it is first written to; for its owner only. */
export function folderAt(path: string): Folder {
  return {
    path,
    read: async (name) => {
      try {
        return await readFile(join(path, name), "utf8");
      } catch (thrown) {
        if (thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT") return null;
        throw thrown;
      }
    },
    write: async (name, text, durability) => {
      const file = join(path, name);
      const draft = `${file}.new`;
      await mkdir(path, { recursive: true, mode: 0o700 });
      if (durability === "durable") await writeDurably(draft, text);
      else await writeFile(draft, text, { mode: 0o600 });
      await rename(draft, file);
    },
  };
}

async function writeDurably(path: string, text: string): Promise<void> {
  const handle = await open(path, "w", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
