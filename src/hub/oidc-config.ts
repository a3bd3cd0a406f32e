import { z } from "zod";
import { ROLES } from "../ledger/access.ts";

const HERE = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Secrets travel between these: in the clear only on this machine. */
const address = z.string().refine((text) => {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return protocol === "https:" || (protocol === "http:" && HERE.has(hostname));
}, "must be an https:// address (http:// only of this machine)");

const claim = z.string().min(1).max(200);

/** How people sign in by an OpenID provider of their own; worked examples are in docs/console.md. */
export const oidcConfig = z.strictObject({
  issuer: address.describe("the provider, as it names itself: its /.well-known/openid-configuration is read"),
  clientId: z.string().min(1).describe("this hub's name at the provider"),
  clientSecret: z
    .string()
    .min(16, "must have at least 16 characters")
    .describe('its secret there; write "${NAME}" to take it from the environment'),
  publicUrl: address
    .refine((text) => !URL.canParse(text) || new URL(text).href === `${new URL(text).origin}/`, {
      error: "must be the console's address alone, without a path",
    })
    .describe(
      "where people open the console; the provider must know this and /oidc/callback behind it as a redirect address",
    ),
  roleClaim: claim.describe('claim that says what a person may do: "groups", or a path such as "realm_access.roles"'),
  roles: z
    .record(z.string().min(1), z.enum(ROLES))
    .refine((roles) => Object.keys(roles).length > 0, "name at least one value that gives a role")
    .describe(
      "value of that claim → viewer, operator or admin; of several the greatest counts, without any nobody gets in",
    ),
  nameClaim: claim
    .default("preferred_username")
    .describe("claim that names a person in the audit trail; choose one that people cannot change; without it `sub`"),
  scopes: z
    .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, "must be one word"))
    .default(["openid", "profile", "email"])
    .refine((scopes) => scopes.includes("openid"), 'must contain "openid"')
    .describe("what the provider is asked for"),
  label: z.string().min(1).max(60).default("Sign in with your organisation").describe("words on the button"),
});

export type OidcSettings = z.output<typeof oidcConfig>;
