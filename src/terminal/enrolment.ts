import { hash } from "node:crypto";
import { z } from "zod";
import { asWaybillError, WaybillError } from "../base/errors.ts";
import type { Folder } from "../base/folder.ts";
import type { Random } from "../base/runtime.ts";
import type { HubClient } from "./hub-client.ts";

/**
 * The terminal's key, in the agent's state folder, readable by its owner only. `enrolled` turns true when the hub has
 * said that it knows the key. `token` is the hash of the token it was enrolled with: another token in the config
 * (given after a key was revoked) enrols anew. `last` is the key that worked before, until the new one does: a token that
 * is wrong must not cost a working terminal its key.
 */
const keyFile = z.object({
  terminal: z.string(),
  key: z.string(),
  token: z.string(),
  enrolled: z.boolean(),
  last: z.string().optional(),
});
type KeyFile = z.infer<typeof keyFile>;
const FILE = "terminal.key";
const shown = (folder: Folder): string => `${folder.path}/${FILE}`;

export type EnrolmentParts = {
  readonly folder: Folder;
  readonly terminal: string;
  readonly token: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly random: Random;
  readonly client: HubClient;
};

/**
 * Makes the client speak with this terminal's key, enrolling it first where that has not been done. The key is made and
 * stored here before the hub hears of it, so that a call whose answer was lost, or a process killed in between, repeats the same.
 * @returns true when the hub was asked and has enrolled this terminal just now
 * @throws CONFIG_INVALID without key and token; TOKEN_INVALID; HUB_UNREACHABLE and other faults of the hub: call again
 */
export async function ensureEnrolled(parts: EnrolmentParts): Promise<boolean> {
  const { folder } = parts;
  let file = await readKeyFile(folder);
  if (file !== null && file.terminal !== parts.terminal) {
    throw new WaybillError(
      "CONFIG_INVALID",
      `${shown(folder)} belongs to terminal ${file.terminal}, not ${parts.terminal}`,
    );
  }
  const token = parts.token === undefined ? null : hash("sha256", parts.token);
  if (file === null || (token !== null && token !== file.token)) {
    if (token === null) {
      throw new WaybillError(
        "CONFIG_INVALID",
        `terminal ${parts.terminal} has no key yet: set \`token\` to one made by \`waybill enroll\``,
      );
    }
    const last = file?.enrolled ? file.key : file?.last;
    file = { terminal: parts.terminal, key: newKey(parts.random), token, enrolled: false, ...(last && { last }) };
    await writeKeyFile(folder, file);
  }
  if (!file.enrolled) {
    if (parts.token === undefined) {
      throw new WaybillError(
        "CONFIG_INVALID",
        `terminal ${parts.terminal} is not enrolled yet: \`token\` is still needed`,
      );
    }
    const { last, ...fresh } = file;
    try {
      await parts.client.enrol({ token: parts.token, terminal: parts.terminal, tags: parts.tags, key: file.key });
    } catch (thrown) {
      if (last === undefined || asWaybillError(thrown).code !== "TOKEN_INVALID") throw thrown;
      await writeKeyFile(folder, { ...fresh, key: last, enrolled: true }); // this token will not be tried again
      parts.client.authenticate(last);
      return false;
    }
    await writeKeyFile(folder, { ...fresh, enrolled: true });
  }
  parts.client.authenticate(file.key);
  return !file.enrolled;
}

/** 256 random bits. */
const newKey = (random: Random): string => Buffer.from(random.bytes(32)).toString("base64url");

async function readKeyFile(folder: Folder): Promise<KeyFile | null> {
  const text = await folder.read(FILE).catch((cause: unknown) => {
    throw new WaybillError("CONFIG_INVALID", `${shown(folder)} cannot be read`, { cause });
  });
  if (text === null) return null;
  const read = keyFile.safeParse(jsonOf(text));
  if (!read.success)
    throw new WaybillError("CONFIG_INVALID", `${shown(folder)} is not a key file; remove it and enrol again`);
  return read.data;
}

/** On the disk when it returns: a key that the hub knows must never be lost here. */
const writeKeyFile = (folder: Folder, file: KeyFile): Promise<void> =>
  folder.write(FILE, `${JSON.stringify(file)}\n`, "durable");

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
