import { fileURLToPath } from "node:url";
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";
import { instructionSets } from "./packages/torch/src/installation.js";

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// Two processes with two threads each on two cores would wait for each other in every small operator.
// Memory that nobody has written holds NaNs, so that no test passes by what lay there before.
const env = { OMP_NUM_THREADS: "1", TORCH_POISON_MEMORY: "1" };

/**
 * Runs the tests in `include`, and those in `kernels` once more for every instruction set that the processor has besides the
 * best: the loops differ in more than their speed.
 */
export function projects(
  include: string[],
  { kernels, exclude }: { kernels: string[]; exclude: string[] },
): TestProjectInlineConfiguration[] {
  const others = instructionSets().slice(0, -1);
  return [
    { extends: true, test: { name: "tests", include, exclude, env, globalSetup: source("./test/compiled.ts") } },
    ...others.map((name): TestProjectInlineConfiguration => {
      const environment = { ...env, TORCH_INSTRUCTION_SET: name };
      // One process for all files: loading libtorch takes longer than most of them.
      return { extends: true, test: { name, include: kernels, exclude, env: environment, isolate: false } };
    }),
  ];
}

export const kernels = ["packages/torch/test/kernels/*.test.ts"];

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
    testTimeout: 120_000,
    projects: projects(["packages/*/test/**/*.test.ts", "test/**/*.test.ts"], {
      kernels,
      // They take minutes: vitest.full.config.ts runs them.
      exclude: ["**/*.full.test.ts"],
    }),
  },
});
