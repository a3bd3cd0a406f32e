import { z } from "zod";
import { isTimeZone } from "./local-time.ts";

/** Child steps from an element: `t:sales/d:Sale`; `.` is the element itself. Prefixes are those of `namespaces`. */
const path = z
  .string()
  .regex(
    /^(\.|[A-Za-z_][\w.-]*:[\w.-]+(\/[A-Za-z_][\w.-]*:[\w.-]+)*)$/,
    'must be "." or steps such as "t:sales/d:Sale"',
  );
const name = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, "must be 1–64 of a–z, 0–9, . _ -");
/** XML with places: `{accepted}`; in a pull `{#each updates}…{/each}` with `{key}` and `{row.price}`; `{occurredAt | wallClock}`. */
const template = z.string().min(1);

const common = {
  action: z.string().min(1).describe("SOAPAction of the operation"),
  element: path.describe("the body's element"),
  oneWay: z.boolean().default(false).describe("the client expects 202 and no envelope"),
};
const message = z.strictObject({
  entity: z.string().min(1).max(100).describe("messages arrive as changes of the table document:<entity>"),
  operation: z.string().min(1).max(100).default("create"),
  key: path.describe("business key, by which the message can be found"),
  identity: z.array(path).min(1).describe("what makes two messages the same one, beside their whole content"),
  occurredAt: path.optional().describe("commit time; without one the hub's clock stands for it"),
  payload: path.default(".").describe("what becomes the body"),
});

const operation = z.discriminatedUnion("does", [
  z.strictObject({ ...common, does: z.literal("ping"), response: template.optional() }),
  z.strictObject({
    ...common,
    does: z.literal("submit"),
    each: path.describe("one message each, from the body's element"),
    message,
    lists: z
      .array(path)
      .default([])
      .describe("elements of the payload whose children are a list, also when there is one"),
    response: template.optional(),
  }),
  z.strictObject({
    ...common,
    does: z.literal("pull"),
    entity: z.string().min(1).describe("table whose changes are told; others are passed over as done"),
    limit: z.number().int().min(1).max(10_000).default(200),
    response: template,
  }),
]);

/** A contract that is not ours, as far as a terminal uses it. */
export const legacyMapping = z
  .strictObject({
    name: name.describe("served at /soap/legacy/<name>"),
    soap: z.enum(["1.1", "1.2"]).default("1.1"),
    wsdl: z
      .string()
      .optional()
      .describe("file of the old WSDL, served with its addresses rewritten; from the config's folder"),
    namespaces: z.record(z.string().regex(/^[A-Za-z_][\w.-]*$/), z.string().min(1)),
    terminal: path.optional().describe("element that names the terminal; it must be the one that signed in"),
    keyInAddress: z
      .boolean()
      .default(false)
      .describe("the last step of the address may be the terminal's key, for clients that cannot sign in"),
    timeZone: z
      .string()
      .refine(isTimeZone, "is not a known IANA time zone")
      .optional()
      .describe("zone of times without one; without it they are UTC"),
    operations: z
      .record(z.string().min(1), operation)
      .refine((all) => Object.keys(all).length > 0, "name at least one operation"),
    fault: z
      .strictObject({
        action: z.string().default("").describe("action of the fault; {operation} is filled in"),
        codes: z
          .record(z.string(), z.union([z.string(), z.number()]))
          .default({})
          .describe('our code → the old one; "*" for the rest'),
        detail: template.describe("{code} and {message} are filled in"),
      })
      .optional(),
    tee: z
      .strictObject({
        url: z.url({ protocol: /^https?$/ }).describe("the old server"),
        answer: z
          .enum(["hub", "old"])
          .default("hub")
          .describe("whose reply the terminal gets; both are compared and logged"),
        timeoutMs: z.number().int().min(100).max(60_000).default(10_000),
      })
      .optional()
      .describe("every request is also given to the old server while the move is being watched"),
  })
  .superRefine((mapping, context) => {
    for (const { at, path: steps } of pathsOf(mapping)) {
      for (const [, prefix = ""] of steps.matchAll(/(?:^|\/)([^:/]+):/g)) {
        if (!Object.hasOwn(mapping.namespaces, prefix))
          context.addIssue({ code: "custom", path: at, message: `the prefix ${prefix} is not in namespaces` });
      }
    }
  });
export type LegacyMapping = z.output<typeof legacyMapping>;
export type LegacyOperation = LegacyMapping["operations"][string];

type Placed = { readonly at: (string | number)[]; readonly path: string };
type Mapped = {
  readonly terminal?: string | undefined;
  readonly operations: Readonly<Record<string, LegacyOperation>>;
};

function pathsOf({ terminal, operations }: Mapped): readonly Placed[] {
  const all: Placed[] = terminal === undefined ? [] : [{ at: ["terminal"], path: terminal }];
  for (const [named, each] of Object.entries(operations)) {
    const at = ["operations", named];
    all.push({ at: [...at, "element"], path: each.element });
    if (each.does !== "submit") continue;
    const { key, identity, occurredAt, payload } = each.message;
    const inner = [
      each.each,
      key,
      payload,
      ...identity,
      ...each.lists,
      ...(occurredAt === undefined ? [] : [occurredAt]),
    ];
    all.push(...inner.map((steps) => ({ at, path: steps })));
  }
  return all;
}
