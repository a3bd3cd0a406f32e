import { WaybillError } from "../base/errors.ts";
import type { Route } from "./api/route.ts";

/**
 * What a hub process does. Over a PostgreSQL ledger any number of processes may have any of them, on any host: `ingest` takes
 * messages in, `process` loads them, `publish` forwards the centre's changes (one process at a time, the others stand by),
 * `deliver` serves updates to terminals. What everybody may ask (health, metrics, operators' calls) each of them answers.
 */
export const HUB_ROLES = ["ingest", "process", "publish", "deliver"] as const;
export type HubRole = (typeof HUB_ROLES)[number];

/** Reads `ingest,process`. @throws USAGE */
export function readRoles(text: string): readonly HubRole[] {
  const named = text.split(",").map((word) => word.trim());
  const unknown = named.filter((word) => !isRole(word));
  if (unknown.length > 0) {
    throw new WaybillError(
      "USAGE",
      `--roles: ${unknown.map((word) => JSON.stringify(word)).join(", ")} is none of ${HUB_ROLES.join(", ")}`,
    );
  }
  return HUB_ROLES.filter((role) => named.includes(role));
}

const isRole = (word: string): boolean => HUB_ROLES.some((role) => role === word);

/** Routes of a role this process may not have: then they answer UNAVAILABLE, so that a caller tries another hub. */
export function routesOf(role: HubRole, roles: readonly HubRole[], routes: readonly Route[]): readonly Route[] {
  if (roles.includes(role)) return routes;
  const refuse = async (): Promise<never> => {
    throw new WaybillError("UNAVAILABLE", `this hub does not ${role}: its roles are ${roles.join(", ")}`);
  };
  return routes.map((route) => ({ ...route, handle: refuse }));
}
