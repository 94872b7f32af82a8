// @ts-check
/**
 * Makes a fresh clone ready: system packages, npm packages, the native addon, the compiled TypeScript. What is in place
 * is left alone, so every start and every test run begins with it. Node's own modules only.
 */

import zlib from "node:zlib";
import { runMain, StepError } from "../packages/torch/tools/steps.mjs";
import { build } from "./build.mjs";
import { installNpmPackages } from "./npm-packages.mjs";
import { installSystemPackages } from "./system-packages.mjs";

function checkNode() {
  // What package.json calls "engines" are the versions that have this.
  if (typeof zlib.crc32 !== "function") {
    throw new StepError(
      `Node 20.15 or later, or 22.2 or later, is needed; this is ${process.version} (${process.execPath}). Install a current Node, then try again.`,
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
