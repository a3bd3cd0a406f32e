import { chromium } from "playwright-core";
import { expect, test } from "vitest";
import { openApi } from "../../test/kit/api.ts";
import { freePort } from "../../test/kit/free-port.ts";
import { describeWith } from "../../test/kit/needs.ts";
import { CLIENT, openIdProvider } from "../../test/kit/openid-provider.ts";
import { oidcConfig } from "../hub/oidc-config.ts";
import { serveConsole } from "./console.ts";

/** What only a browser decides: which cookies come along from one site to another and back. */
describeWith("browser", "signing in by an OpenID provider in a browser", (executablePath) => {
  test("the button leads to the provider, on another site, and back to the screen that was asked for", async () => {
    await using provider = await openIdProvider({ preferred_username: "anna", groups: ["admins"] });
    const port = await freePort();
    const publicUrl = `http://127.0.0.1:${port}`;
    const oidc = oidcConfig.parse({
      ...CLIENT,
      issuer: provider.issuer,
      publicUrl,
      roleClaim: "groups",
      roles: { admins: "admin" },
      label: "Sign in with Shop",
    });
    await using _hub = await openApi({ parts: { browser: serveConsole }, oidc, port });
    const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
    try {
      const page = await browser.newPage();
      const faults: string[] = [];
      page.on("pageerror", (error) => faults.push(error.message));
      await page.goto(`${publicUrl}/#/people`);
      await page.getByRole("link", { name: "Sign in with Shop" }).click();
      await page.getByRole("heading", { name: "People" }).waitFor();
      expect(page.url()).toBe(`${publicUrl}/#/people`);
      expect(await page.locator(".who").innerText()).toMatch(/^anna\s+admin/);
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByRole("link", { name: "Sign in with Shop" }).waitFor();
      expect(faults).toEqual([]);
    } finally {
      await browser.close();
    }
  }, 60_000);
});
