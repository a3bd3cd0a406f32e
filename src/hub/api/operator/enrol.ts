import { z } from "zod";
import { WaybillError } from "../../../base/errors.ts";
import { terminalId, type By } from "../../../base/ids.ts";
import { later } from "../../../base/clock.ts";
import { tags } from "../../../wire/calls.ts";
import type { Gatekeeper } from "../auth.ts";
import { json } from "../http.ts";
import type { HubApiParts } from "../parts.ts";
import { jsonRoute, route, type Route } from "../route.ts";
import { newSecret, secretHash } from "../secret.ts";

const tokenCall = z.object({
  terminal: z.string().optional().describe("the only terminal that may use it; anyone when left out"),
  tags: tags.default({}),
  validMinutes: z
    .number()
    .int()
    .min(1)
    .max(60 * 24 * 90)
    .default(60 * 24),
});
/** Who may be a terminal: tokens that enrol one, and the end of a key. */
export function enrolRoutes(parts: HubApiParts, gatekeeper: Gatekeeper): readonly Route[] {
  const { ledger, runtime } = parts;
  return [
    jsonRoute(
      "operator",
      {
        method: "POST",
        path: "/api/enroll-tokens",
        summary: "Make a token that enrols one terminal once",
        answer: { status: 201 },
        faults: [],
      },
      tokenCall,
      async ({ caller: { by }, body }) => {
        const token = newSecret(runtime.random);
        const validMs = body.validMinutes * 60_000;
        const terminal = body.terminal === undefined ? null : terminalId(body.terminal);
        await ledger.terminals.createToken(secretHash(token), { terminal, tags: body.tags, validMs, by });
        return json(201, { token, expiresAt: later(runtime.clock.now(), validMs) });
      },
    ),
    route(
      "operator",
      {
        method: "POST",
        path: "/api/terminals/{id}/revoke",
        summary: "End a terminal's key",
        answer: { status: 200 },
        faults: ["NOT_FOUND"],
      },
      async ({ caller: { by }, params }) => {
        const id = terminalId(params["id"] ?? "");
        if (!(await ledger.terminals.get(id))) throw new WaybillError("NOT_FOUND", `there is no terminal ${id}`);
        await revoke(parts, gatekeeper, id, by);
        return json(200, { terminal: await ledger.terminals.get(id) });
      },
    ),
  ];
}

async function revoke(
  { ledger }: HubApiParts,
  gatekeeper: Gatekeeper,
  id: ReturnType<typeof terminalId>,
  by: By,
): Promise<void> {
  await ledger.terminals.revoke(id, by);
  gatekeeper.forget(id);
}
