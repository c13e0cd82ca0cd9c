import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

import "./src/testing/node20.ts";

const service = process.env.CELLFLEET_SERVER ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react()],
  build: { outDir: "../src/cellfleet/service/page", emptyOutDir: true, chunkSizeWarningLimit: 1600 },
  // `npm run dev` shows the page at work; everything but the page comes from a running `cellfleet serve`.
  server: { proxy: { "/api": service, "/links": service, "/health": service } },
  test: { environment: "jsdom", include: ["src/**/*.test.{ts,tsx}"], setupFiles: ["src/testing/setup.ts"] },
});
