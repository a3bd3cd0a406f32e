import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** The page of the console, into `dist-console/` at the top, where the hub looks for it. */
export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  plugins: [react()],
  build: {
    outDir: fileURLToPath(new URL("../dist-console", import.meta.url)),
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    // Inlined files would be `data:` addresses, which the page's content security policy has no place for.
    assetsInlineLimit: 0,
    reportCompressedSize: true,
  },
});
