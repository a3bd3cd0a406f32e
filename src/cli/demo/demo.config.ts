import { defineConfig } from "../../hub/config.ts";

/** The demo's chain. It is also a fair start for a config of your own. */
export default defineConfig({
  tables: {
    sale: { direction: "up", owner: { column: "store_id", is: "tag:store" }, search: ["sale_id"] },
    sale_line: { direction: "up" },
    stock: { direction: "up", owner: { column: "store_id", is: "tag:store" }, conflict: { add: ["on_hand"] } },
    price: { direction: "down", audience: "all" },
  },
  retry: { attempts: 4, firstMs: 500, factor: 3, capMs: 30_000 },
});
