import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { WaybillError } from "../base/errors.ts";
import { checkHubConfig, hubSettings, loadHubSettings, tokenHash } from "./load-config.ts";

const shop = {
  tables: {
    sale: {
      direction: "up",
      owner: { column: "store_id", is: "tag:store" },
      search: ["sale_id"],
      columns: { sale_no: "id", note: false },
    },
    price: { direction: "down", audience: "store:{store_id}" },
  },
};
const faultsOf = (given: unknown, environment: Record<string, string> = {}): string => {
  try {
    checkHubConfig(given, "/shop", environment);
  } catch (thrown) {
    if (thrown instanceof WaybillError) return thrown.message;
    throw thrown;
  }
  return "";
};

describe("a hub's config", () => {
  test("needs only its tables; everything else has a default", () => {
    const settings = hubSettings(checkHubConfig(shop, "/shop", {}));
    expect(settings.port).toBe(8420);
    expect(settings.up).toEqual(["sale"]);
    expect(settings.down.map((table) => table.source)).toEqual(["price"]);
    expect(settings.rules.retry).toEqual({
      attempts: 8,
      firstMs: 1000,
      factor: 3,
      capMs: 600000,
      jitter: 0.5,
      codes: null,
    });
  });

  test("what is kept how long: whole days, and nothing shorter than what depends on it", () => {
    expect(hubSettings(checkHubConfig(shop, "/shop", {})).retention).toMatchObject({
      everyMs: 3_600_000,
      keep: { messagesMs: 90 * 86_400_000 },
    });
    const faults = faultsOf({ ...shop, retention: { messagesDays: 0, eventsDays: 1.5, upDays: 3 } });
    for (const path of ["retention.messagesDays", "retention.eventsDays", "retention"])
      expect(faults).toContain(`  ${path}: `);
    expect(faultsOf({ ...shop, retention: { eventsDays: 30, awayDays: 60 } })).toMatch(
      /eventsDays: 30 is less than messagesDays \(90\)[^]*awayDays: 60 is less than updatesDays \(90\)/,
    );
  });

  test("relative database paths start from the config's folder", () => {
    expect(checkHubConfig(shop, "/shop", {}).ledger).toBe("sqlite:/shop/data/ledger.db");
    expect(checkHubConfig({ ...shop, central: "sqlite:/var/c.db" }, "/shop", {}).central).toBe("sqlite:/var/c.db");
  });

  test("names all faults at once, each with its path", () => {
    const faults = faultsOf({
      port: 70000,
      central: "oracle",
      tables: { sale: { direction: "sideways" }, price: { direction: "up", ownr: 1 } },
    });
    expect(faults).toMatch(/^CONFIG_INVALID: 4 setting\(s\) are wrong/);
    for (const path of ["port", "central", "tables.sale.direction", "tables.price"])
      expect(faults).toContain(`  ${path}: `);
  });

  test("never repeats a value: it may be a secret", () => {
    expect(faultsOf({ ...shop, tokens: [{ name: "erp", role: "publisher", token: "hunter2" }] })).not.toContain(
      "hunter2",
    );
  });

  test("takes secrets from the environment, and a missing one is a fault", () => {
    const given = { ...shop, tokens: [{ name: "erp", role: "publisher", token: "${ERP_TOKEN}" }] };
    expect(faultsOf(given)).toContain("tokens.0.token: the environment has no ERP_TOKEN");
    const settings = hubSettings(checkHubConfig(given, "/shop", { ERP_TOKEN: "0123456789abcdef" }));
    expect(settings.tokens).toEqual([{ name: "erp", role: "publisher", hash: tokenHash("0123456789abcdef") }]);
  });

  test("sign-in by OIDC is whole or absent: everything that is wrong with it is told at once", () => {
    const oidc = {
      issuer: "https://login.example/realms/shop",
      clientId: "waybill",
      clientSecret: "${OIDC_SECRET}",
      publicUrl: "https://hub.example",
      roleClaim: "groups",
      roles: { "waybill-admins": "admin" },
    };
    const environment = { OIDC_SECRET: "0123456789abcdef" };
    const checked = checkHubConfig({ ...shop, console: { oidc } }, "/shop", environment);
    expect(hubSettings(checked).oidc).toMatchObject({
      clientSecret: "0123456789abcdef",
      nameClaim: "preferred_username",
      scopes: ["openid", "profile", "email"],
    });
    expect(hubSettings(checkHubConfig(shop, "/shop", {})).oidc).toBeNull();
    const wrong = { issuer: "http://login.example", clientSecret: "short", publicUrl: "https://hub.example/waybill" };
    const faults = faultsOf({ ...shop, console: { oidc: { ...wrong, roles: { staff: "boss" }, scopes: ["email"] } } });
    for (const path of ["issuer", "clientId", "clientSecret", "publicUrl", "roleClaim", "roles.staff", "scopes"])
      expect(faults).toContain(`  console.oidc.${path}: `);
    expect(faultsOf({ ...shop, console: { oidc: { ...oidc, roles: {} } } }, environment)).toContain(
      "console.oidc.roles",
    );
    expect(faultsOf({ ...shop, console: { oidc } })).toContain("the environment has no OIDC_SECRET");
    for (const address of ["http://localhost:8420", "http://127.0.0.1"])
      expect(faultsOf({ ...shop, console: { oidc: { ...oidc, publicUrl: address } } }, environment)).toBe("");
  });

  test("refuses settings that contradict each other", () => {
    const faults = faultsOf({
      tables: {
        a: { direction: "down" },
        b: { direction: "up", audience: "all" },
        c: { direction: "up", columns: { x: "z", y: "z" } },
      },
    });
    expect(faults).toContain("tables.a.audience");
    expect(faults).toContain("tables.b.audience");
    expect(faults).toContain('tables.c.columns: two columns are mapped to "z"');
  });

  test("an audience template reads the row; a null column has no audience", () => {
    const [price] = hubSettings(checkHubConfig(shop, "/shop", {})).down;
    expect(price?.audience({ store_id: 14 })).toBe("store:14");
    expect(price?.audience({ store_id: null })).toEqual([]);
    expect(price?.audience({})).toEqual([]);
  });

  test("columns that are renamed or left out become the rule", () => {
    const rule = hubSettings(checkHubConfig(shop, "/shop", {})).rules.tables.get("sale");
    expect(rule?.rename).toEqual(new Map([["sale_no", "id"]]));
    expect(rule?.ignore).toEqual(new Set(["note"]));
    expect(rule?.owner).toEqual({ column: "store_id", is: { tag: "store" } });
  });

  test.each([
    ["waybill.config.json", JSON.stringify(shop)],
    ["waybill.config.yaml", "tables:\n  sale: { direction: up }\n"],
    [
      "waybill.config.ts",
      'const tables: Record<string, unknown> = { sale: { direction: "up" } };\nexport default { tables };\n',
    ],
  ])("is read from %s", async (name, text) => {
    const path = join(await mkdtemp(join(tmpdir(), "waybill-config-")), name);
    await writeFile(path, text);
    expect((await loadHubSettings({ path, overrides: { port: 0 } })).up).toEqual(["sale"]);
  });

  test("a file that is not there, or cannot be read, is said so", async () => {
    await expect(loadHubSettings({ path: "/nowhere/waybill.config.ts" })).rejects.toThrow(
      /^CONFIG_NOT_FOUND: .*\/nowhere\/waybill.config.ts/,
    );
    const path = join(await mkdtemp(join(tmpdir(), "waybill-config-")), "waybill.config.json");
    await writeFile(path, "{");
    await expect(loadHubSettings({ path })).rejects.toThrow(/^CONFIG_INVALID: .*cannot be read/);
  });
});
