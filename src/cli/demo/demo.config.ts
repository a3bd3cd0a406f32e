import { defineConfig } from "../../hub/config.ts";
import type { Change, Row } from "../../message/change.ts";

/** A SOAP payload as rows of the centre. */
function saleAndLine({ line, ...sale }: Row): readonly Change[] {
  const { sale_id = null } = sale;
  const key = { sale_id, line_no: 1 };
  return [
    { table: "sale", op: "insert", key: { sale_id }, row: sale },
    { table: "sale_line", op: "insert", key, row: { ...(line as Row), ...key } },
  ];
}

/** The demo's chain. It is also a fair start for a config of your own. */
export default defineConfig({
  tables: {
    sale: { direction: "up", owner: { column: "store_id", is: "tag:store" }, search: ["sale_id"] },
    sale_line: { direction: "up", search: ["sale_id"] },
    stock: { direction: "up", owner: { column: "store_id", is: "tag:store" }, conflict: { add: ["on_hand"] } },
    price: { direction: "down", audience: "all" },
    // What the till that speaks SOAP sends: its payload is one sale with one line.
    "document:sale": {
      direction: "up",
      target: "sale",
      owner: { column: "store_id", is: "tag:store" },
      transform: ({ row }: Change) => saleAndLine(row?.["body"] as Row),
    },
  },
  retry: { attempts: 4, firstMs: 500, factor: 3, capMs: 30_000 },
});
