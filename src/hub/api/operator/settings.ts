import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { route, type Route } from "../route.ts";
import type { HubSettings } from "../../settings.ts";
import { HUB_ROLES } from "../../roles.ts";

/** What this hub works with. */
export function settingsRoutes({ settings, roles }: HubApiParts): readonly Route[] {
  return [
    route(
      "operator",
      {
        method: "GET",
        path: "/api/settings",
        summary: "The config in effect, secrets left out",
        answer: { status: 200 },
        faults: [],
      },
      async () => json(200, shownSettings(settings, roles ?? HUB_ROLES)),
    ),
  ];
}

function shownSettings(settings: HubSettings, roles: readonly string[]) {
  const { ledgerUrl, centralUrl, host, port, drainMs, limits, processor, publisher, rules, tokens } = settings;
  return {
    general: { ledger: withoutSecrets(ledgerUrl), central: withoutSecrets(centralUrl), host, port, drainMs, roles },
    tables: tablesOf(settings),
    retry: rules.retry,
    maxOpen: rules.maxOpen,
    processor,
    publisher,
    limits,
    tokens: tokens.map(({ name, role }) => ({ name, role })),
    oidc: oidcOf(settings),
    soap: settings.soap !== null && settings.soap !== undefined,
  };
}
export type ShownSettings = ReturnType<typeof shownSettings>;

/** All but its secret. */
function oidcOf({ oidc }: HubSettings) {
  if (!oidc) return null;
  const { clientSecret: _, ...shown } = oidc;
  return shown;
}

function tablesOf({ rules, down, search, personal }: HubSettings) {
  const names = [...new Set([...rules.tables.keys(), ...down.map(({ source }) => source)])].toSorted();
  return names.map((name) => {
    const rule = rules.tables.get(name);
    const goesDown = down.find(({ source }) => source === name);
    return {
      name,
      target: rule?.target ?? goesDown?.target ?? name,
      direction: rule && goesDown ? "both" : rule ? "up" : "down",
      conflict: rule?.conflict ?? null,
      owner: rule?.owner ?? null,
      search: search.get(name) ?? [],
      personal: [...(personal.get(name) ?? [])],
    };
  });
}

/** A database URL as it may be shown: parameters can hold a password, too. */
export function withoutSecrets(url: string): string {
  if (!URL.canParse(url) || url.startsWith("sqlite:")) return url;
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}
