// @ts-check
/**
 * Makes a fresh clone ready: system packages, npm packages, the native addon, the compiled TypeScript. What is in place
 * is left alone, so every start and every test run begins with it. Node's own modules only.
 */

import { runMain, StepError } from "../packages/torch/tools/steps.mjs";
import { build } from "./build.mjs";
import { installNpmPackages } from "./npm-packages.mjs";
import { installSystemPackages } from "./system-packages.mjs";

const OLDEST_NODE = 20;

function checkNode() {
  const [major = 0] = process.versions.node.split(".").map(Number);
  if (major < OLDEST_NODE) {
    throw new StepError(
      `Node ${OLDEST_NODE} or later is needed; this is ${process.version} (${process.execPath}). Install a current Node, then try again.`,
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
  if (!installed.includes(true) && !built) console.log("Set-up: everything is in place.");
});
