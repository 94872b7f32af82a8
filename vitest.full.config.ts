import { defineConfig } from "vitest/config";
import ordinary, { kernels, projects } from "./vitest.config.js";

/** With the sanitized addon: everything that calls it directly, the quick tests and the long ones. */
const selected =
  process.env["TORCH_SANITIZE"] === "1"
    ? projects(["packages/torch/test/**/*.test.ts"], { kernels, exclude: [] })
    : projects(["packages/*/test/**/*.full.test.ts"], { kernels: [], exclude: [] });

export default defineConfig({
  ...ordinary,
  test: { ...ordinary.test, projects: selected, testTimeout: 600_000, hookTimeout: 600_000 },
});
