// @ts-check
/** Builds the native addon, the TypeScript and the code of pages, each only if something has changed. */

import { existsSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildNative } from "../packages/torch/tools/build-native.mjs";
import { runMain, runStep, StepError } from "../packages/torch/tools/steps.mjs";
import { bundlePages } from "./pages.mjs";
import { logFile, root } from "./paths.mjs";

/** @returns {Promise<boolean>} whether the addon had to be built; for TypeScript the compiler does not report it */
export async function build() {
  const built = await buildNative();
  await compileTypeScript();
  await bundlePages();
  return built;
}

/** Compiles everything older than its sources. */
export async function compileTypeScript() {
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  if (!existsSync(compiler)) {
    throw new StepError('The npm package typescript must be installed; it is not. Run "npm run setup".');
  }
  await runStep({
    title: "Compiling TypeScript",
    name: "The TypeScript compiler",
    command: process.execPath,
    args: [compiler, "-b"],
    cwd: root,
    log: logFile("tsc"),
    hint: "Correct the errors above, then try again.",
    quiet: true,
  });
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await runMain(build);
