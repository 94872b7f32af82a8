import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    alias: {
      "@stf/torch/installation": source("./packages/torch/src/installation.ts"),
      "@stf/torch": source("./packages/torch/src/index.ts"),
      stf: source("./packages/stf/src/index.ts"),
    },
  },
  test: {
    // The addon belongs to one thread of one process, so every test file gets a process of its own.
    pool: "forks",
    maxWorkers: 2,
    // Two processes with two threads each on two cores would wait for each other in every small operator.
    env: { OMP_NUM_THREADS: "1" },
    include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
    // They take minutes: vitest.full.config.ts runs them.
    exclude: ["**/*.full.test.ts"],
    testTimeout: 120_000,
  },
});
