// @ts-check
/**
 * Prepares a new clone: system packages, npm packages, the native addon, the compiled TypeScript. Anything already in place
 * is left unchanged, so every start and every test run begins with it. Uses only Node's own modules.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runMain, StepError } from "../packages/torch/tools/steps.mjs";
import { build } from "./build.mjs";
import { installNpmPackages } from "./npm-packages.mjs";
import { root } from "./paths.mjs";
import { installSystemPackages } from "./system-packages.mjs";

function checkNode() {
  /** @type {{ engines: { node: string } }} */
  const { engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = engines.node.replace(/^>=/, "").split(".").map(Number);
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    throw new StepError(
      `Node ${oldestMajor}.${oldestMinor} or later is needed; this is ${process.version} (${process.execPath}). Install a current Node, then try again.`,
    );
  }
  if (process.platform === "win32") {
    throw new StepError("Linux or macOS is needed; this is Windows. Use the Windows Subsystem for Linux.");
  }
}

await runMain(async () => {
  checkNode();
  const installed = [await installSystemPackages(), await installNpmPackages()];
  const built = await build();
  if (!installed.includes(true) && !built) console.log("Setup: everything is in place.");
});
