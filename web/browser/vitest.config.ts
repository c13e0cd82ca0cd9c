/** Tests in a real browser against a real `cellfleet serve`: one file after the other, for they share the machine. */
import { defineConfig } from "vitest/config";

import "../src/testing/node20.ts";

export default defineConfig({
  root: import.meta.dirname,
  test: {
    environment: "node",
    include: ["*.test.ts"],
    globalSetup: ["support/shared.ts"],
    fileParallelism: false,
    testTimeout: 90_000,
    hookTimeout: 120_000,
    teardownTimeout: 20_000,
  },
});
