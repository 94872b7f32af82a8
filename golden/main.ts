/**
 * `npm run golden -- --dir=DIR`: compares this software with numbers that the published implementations computed, file by
 * file. Configurations, sizes and constants are read from the files. Exit code 1 when a number is beyond its tolerance, or
 * a file cannot be used.
 */

import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { checkAugmentation } from "./augmentation.js";
import { GoldenFile } from "./golden-file.js";
import { checkBlocks, checkNetwork } from "./networks.js";
import {
  checkAblationSampler,
  checkEdmSampler,
  checkLikelihood,
  checkRandomNumbers,
  checkSdeGrid,
  checkSdeSamplers,
} from "./sampling.js";
import { checkState, compareStateDict } from "./state.js";
import { checkLosses, checkTargets } from "./targets.js";

interface Check {
  readonly files: RegExp;
  readonly run: (file: GoldenFile, folder: string, files: readonly string[]) => void;
}

const STATE_DICT = /^12_.*\.pth$/;

/** The first one whose pattern fits a name is used. */
const checks: readonly Check[] = [
  { files: /^03b_.*\.safetensors$/, run: checkBlocks },
  { files: /^0[1-4]_.*\.safetensors$/, run: checkNetwork },
  { files: /^05_.*\.safetensors$/, run: checkTargets },
  { files: /^06_.*\.safetensors$/, run: checkLosses },
  { files: /^07_edm_sampler\.safetensors$/, run: checkEdmSampler },
  { files: /^07_ablation_sampler\.safetensors$/, run: checkAblationSampler },
  { files: /^09_.*\.safetensors$/, run: checkRandomNumbers },
  { files: /^11_sde_grid\.safetensors$/, run: checkSdeGrid },
  { files: /^11_sde_samplers\.safetensors$/, run: checkSdeSamplers },
  { files: /^11_sde_likelihood\.safetensors$/, run: checkLikelihood },
  { files: /^08_.*\.safetensors$/, run: checkAugmentation },
  { files: /^12_.*\.safetensors$/, run: checkState },
];

/** What belongs to parts that do not exist yet. */
const later: readonly { readonly files: RegExp; readonly part: string }[] = [
  { files: /^10_.*\.safetensors$/, part: "evaluation" },
  { files: /^13_.*\.safetensors$/, part: "training" },
];

const exponent = (value: number): string => (value === 0 ? "0" : value.toExponential(1));

/** One row of the table. Returns whether the file is in order. */
function report(name: string, state: string, details: string): void {
  console.log(`${name.padEnd(36)}${state.padEnd(10)}${details}`);
}

function reportComparisons(file: GoldenFile): boolean {
  const { comparisons, unread } = file;
  const failed = comparisons.filter(({ deviation, tolerance }) => !(deviation <= tolerance));
  const share = ({ deviation, tolerance }: { deviation: number; tolerance: number }): number =>
    tolerance === 0 ? deviation : deviation / tolerance;
  const [worst] = [...comparisons].sort((a, b) => share(b) - share(a));
  if (!worst) {
    report(file.name, "UNUSABLE", "nothing in it could be compared");
    return false;
  }
  const closest = `closest to its limit: ${worst.what} ${exponent(worst.deviation)} of ${exponent(worst.tolerance)}`;
  report(file.name, failed.length > 0 ? "BEYOND" : "agrees", `${comparisons.length} comparisons; ${closest}`);
  for (const { what, deviation, tolerance } of failed) {
    report("", "", `${what}: ${exponent(deviation)}, at most ${exponent(tolerance)} is fair`);
  }
  if (unread.length > 0) report("", "", `not used: ${unread.slice(0, 8).join(", ")}${unread.length > 8 ? ", ..." : ""}`);
  return failed.length === 0;
}

/** The file with its comparisons. */
function open(found: Check | undefined, path: string, folder: string, files: readonly string[]): GoldenFile {
  if (!found) return compareStateDict(path);
  const file = new GoldenFile(path);
  found.run(file, folder, files);
  return file;
}

/** Returns whether the file is in order. */
function check(name: string, folder: string, files: readonly string[]): boolean {
  const path = join(folder, name);
  try {
    const found = checks.find(({ files: pattern }) => pattern.test(name));
    if (!found && !STATE_DICT.test(name)) {
      const part = later.find(({ files: pattern }) => pattern.test(name))?.part;
      report(name, part ? "later" : "unknown", part ? `not yet covered: ${part}` : "no check knows this file");
      return part !== undefined;
    }
    const file = open(found, path, folder, files);
    const agrees = reportComparisons(file);
    file.dispose();
    return agrees;
  } catch (error) {
    report(name, "UNUSABLE", (error as Error).message.split("\n", 1)[0] ?? "");
    return false;
  }
}

function main(): number {
  const { values } = parseArgs({ options: { dir: { type: "string" } } });
  const folder = values.dir;
  if (folder === undefined) {
    console.error("--dir must name a folder of golden files: npm run golden -- --dir=DIR");
    return 2;
  }
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    console.error(`--dir must name a folder; ${folder} is none`);
    return 2;
  }
  const files = readdirSync(folder)
    .filter((name) => /\.(safetensors|pth)$/.test(name))
    .sort();
  if (files.length === 0) {
    console.error(`${folder} has no golden files (*.safetensors, *.pth)`);
    return 1;
  }
  const results = files.map((name) => check(name, folder, files));
  return results.every(Boolean) ? 0 : 1;
}

process.exitCode = main();
