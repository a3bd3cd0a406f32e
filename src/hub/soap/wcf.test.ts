import { execFile } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PUBLISHER, type ApiStation } from "../../../test/kit/api.ts";
import { describeWith } from "../../../test/kit/needs.ts";
import { tempDir } from "../../../test/kit/temp-dir.ts";
import { openSoap } from "./soap.test-kit.ts";

const run = promisify(execFile);

/** The client that the tills are: WCF itself, in C#, with its quotas as they are. Mono's, since it runs here. */
describeWith("mono", "a WCF client", (mcs) => {
  const dir = tempDir();
  const program = dir.file("till.exe");
  let hub: ApiStation;
  let key = "";
  beforeAll(async () => {
    const source = fileURLToPath(new URL("./wcf.fixture.cs", import.meta.url));
    const references = ["-r:System.ServiceModel", "-r:System.Runtime.Serialization"];
    await run(mcs, ["-nologo", `-out:${program}`, ...references, source], { timeout: 60_000 });
    hub = await openSoap();
    key = await hub.enrol("w1");
  }, 90_000);
  afterAll(async () => {
    await hub.close();
    await dir[Symbol.asyncDispose]();
  });

  test.each([
    ["basic", 1],
    ["ws", 1004],
  ])(
    "%s: ping, 1,000 messages, resend, int64, 8,192 characters, malformed, typed faults, pull and acknowledge",
    { timeout: 90_000 },
    async (binding, first) => {
      const note = "y".repeat(8_192 - 40); // its reader takes no text above 8,192
      for (const sku of ["A", "B", "C", "D", "E\r\n"]) {
        const changes = [{ table: "price", op: "upsert", key: { sku }, row: { sku, note } }];
        await hub.call("POST", "/v1/updates", { key: PUBLISHER, json: { audience: "terminal:w1", changes } });
      }
      const changes = [{ table: "price", op: "upsert", key: { sku: "F" }, row: { sku: "F", note: `${note}${note}` } }];
      await hub.call("POST", "/v1/updates", { key: PUBLISHER, json: { audience: "terminal:w1", changes } });
      const mono = join(dirname(mcs), "mono");
      const { stdout } = await run(mono, [program, hub.address, binding, "w1", key, String(first)], {
        timeout: 80_000,
      });
      expect(JSON.parse(stdout)).toEqual({
        ping: " héllo <&> \n😀 ", // Mono's own writer drops the carriage return; what it reads has it, see `pulled`
        submitted: [first + 999, 100, 0],
        resent: [first + 999, 0, 100],
        odd: [first + 1_002, 2, 0],
        rejected: [[first + 1_001, "INVALID_VALUE", false]],
        noList: ["INVALID_REQUEST", false],
        another: ["UNKNOWN_TERMINAL", false],
        badCursor: ["INVALID_CURSOR", false],
        pulled: ["A", "B", "C", "D", "E\r\n"],
        longest: expect.closeTo(8_192, -2) as number,
        status: ["w1", first + 1_002, 0],
      });
    },
  );
});
