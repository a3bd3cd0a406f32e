import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PUBLISHER, type ApiStation } from "../../../test/kit/api.ts";
import { describeWith } from "../../../test/kit/needs.ts";
import { openSoap } from "./soap.test-kit.ts";

/** A toolkit that is not ours reads our WSDL and talks by it. */
describeWith("zeep", "a client that zeep made of our WSDL", (python) => {
  let hub: ApiStation;
  let key = "";
  beforeAll(async () => {
    hub = await openSoap();
    key = await hub.enrol("z1");
  });
  afterAll(() => hub.close());

  test.each([
    ["BasicHttpBinding_ITerminalSync", 1],
    ["WSHttpBinding_ITerminalSync", 1002],
  ])(
    "%s: ping, 1,000 messages, resend, int64, typed fault, pull and acknowledge",
    { timeout: 60_000 },
    async (port, first) => {
      for (const n of [1, 2, 3, 4, 5]) {
        const changes = [{ table: "price", op: "upsert", key: { sku: `${port}-${n}` }, row: { sku: `${port}-${n}` } }];
        await hub.call("POST", "/v1/updates", { key: PUBLISHER, json: { audience: "terminal:z1", changes } });
      }
      const script = fileURLToPath(new URL("./zeep.fixture.py", import.meta.url));
      const { stdout } = await promisify(execFile)(python, [script, hub.address, port, "z1", key, String(first)], {
        timeout: 50_000,
      });
      expect(JSON.parse(stdout)).toEqual({
        ping: " héllo <&> \r\n😀 ",
        submitted: [first + 999, 100, 0],
        resent: [first + 999, 0, 100],
        int64: [first + 1_000, 1, 0],
        fault: ["INVALID_REQUEST", false],
        pulled: [1, 2, 3, 4, 5].map((n) => `${port}-${n}`),
        status: ["z1", first + 1_000, 0],
      });
    },
  );
});
