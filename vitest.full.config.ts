import { defineConfig } from "vitest/config";
import ordinary from "./vitest.config.js";

/** With the sanitized addon: everything that calls it directly, the quick tests and the long ones. */
const include =
  process.env["TORCH_SANITIZE"] === "1" ? ["packages/torch/test/**/*.test.ts"] : ["packages/*/test/**/*.full.test.ts"];

export default defineConfig({
  ...ordinary,
  test: { ...ordinary.test, include, exclude: [], testTimeout: 600_000, hookTimeout: 600_000 },
});
