import { z } from "zod";
import { later } from "../../../base/clock.ts";
import { ROLES } from "../../../ledger/access.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { newPassword, passwordHash } from "../password.ts";
import { jsonRoute, route, type Route } from "../route.ts";
import { newSecret, secretHash } from "../secret.ts";

export const personName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/, "must be 1–64 letters, digits or . _ @ -, first a letter or digit");
const role = z.enum(ROLES).describe("viewer: looks, personal fields hidden; operator: acts; admin: says who may");
const newOperator = z.object({ name: personName, role, password: newPassword });
const changedOperator = z.object({ role: role.optional(), password: newPassword.optional() });
const newToken = z.object({
  name: personName.describe("what uses it; shown in the audit trail"),
  role,
  validDays: z.number().int().min(1).max(3_650).nullable().default(90).describe("null: until it is revoked"),
});
const INVITATION_MS = 15 * 60_000;
const DAY_MS = 24 * 3_600_000;

/** Who may use this API: people who sign in, and programs with a token. */
export function peopleRoutes({ ledger: { access }, runtime }: HubApiParts): readonly Route[] {
  const done = (name: string) => json(200, { name });
  return [
    route(
      "admin",
      {
        method: "GET",
        path: "/api/operators",
        summary: "People who may sign in",
        answer: { status: 200 },
        faults: [],
      },
      async () => json(200, { operators: await access.operators() }),
    ),
    jsonRoute(
      "admin",
      {
        method: "POST",
        path: "/api/operators",
        summary: "Let a person sign in",
        answer: { status: 201 },
        faults: ["NAME_TAKEN"],
      },
      newOperator,
      async ({ caller: { by }, body }) => {
        await access.addOperator(body.name, body.role, await passwordHash(body.password, runtime.random), by);
        return json(201, { name: body.name });
      },
    ),
    jsonRoute(
      "admin",
      {
        method: "POST",
        path: "/api/operators/{name}",
        summary: "Change a person's role or password; ends their sessions",
        answer: { status: 200 },
        faults: ["NOT_FOUND", "LAST_ADMIN"],
      },
      changedOperator,
      async ({ caller: { by }, params, body }) => {
        const name = params["name"] ?? "";
        const password =
          body.password === undefined ? {} : { password: await passwordHash(body.password, runtime.random) };
        await access.changeOperator(name, { ...(body.role === undefined ? {} : { role: body.role }), ...password }, by);
        return done(name);
      },
    ),
    route(
      "admin",
      {
        method: "POST",
        path: "/api/operators/{name}/remove",
        summary: "A person may not sign in any more; ends their sessions",
        answer: { status: 200 },
        faults: ["NOT_FOUND", "LAST_ADMIN"],
      },
      async ({ caller: { by }, params }) => {
        await access.removeOperator(params["name"] ?? "", by);
        return done(params["name"] ?? "");
      },
    ),
    jsonRoute(
      "admin",
      {
        method: "POST",
        path: "/api/invitations",
        summary: "Make a secret that signs one browser in once, as an admin: /signin#<secret>",
        answer: { status: 201 },
        faults: [],
      },
      z.object({}),
      async () => {
        const invitation = newSecret(runtime.random);
        await access.invite(secretHash(invitation), INVITATION_MS);
        return json(201, { invitation, expiresAt: later(runtime.clock.now(), INVITATION_MS) });
      },
    ),
    route(
      "admin",
      {
        method: "GET",
        path: "/api/tokens",
        summary: "Programs that may use this API",
        answer: { status: 200 },
        faults: [],
      },
      async () => json(200, { tokens: await access.tokens() }),
    ),
    jsonRoute(
      "admin",
      {
        method: "POST",
        path: "/api/tokens",
        summary: "Make a token for a program; its secret is shown once",
        answer: { status: 201 },
        faults: ["NAME_TAKEN"],
      },
      newToken,
      async ({ caller: { by }, body: { name, role: given, validDays } }) => {
        const token = newSecret(runtime.random);
        const validMs = validDays === null ? null : validDays * DAY_MS;
        await access.addToken({ hash: secretHash(token), name, role: given, validMs }, by);
        return json(201, { name, token, expiresAt: validMs === null ? null : later(runtime.clock.now(), validMs) });
      },
    ),
    route(
      "admin",
      {
        method: "POST",
        path: "/api/tokens/{name}/revoke",
        summary: "End a program's token",
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      async ({ caller: { by }, params }) => {
        await access.revokeToken(params["name"] ?? "", by);
        return done(params["name"] ?? "");
      },
    ),
  ];
}
