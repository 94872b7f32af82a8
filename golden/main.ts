/**
 * `npm run golden -- --dir=DIR`: compares this software with numbers that the published implementations computed, file by
 * file. Configurations, sizes and constants are read from the files. Exit code 1 when a number is beyond its tolerance, or
 * a file cannot be used.
 */

import { existsSync, statSync } from "node:fs";
import { parseArgs } from "node:util";
import { type Examined, examine, placeOf } from "./checks.js";
import type { GoldenFile } from "./golden-file.js";

const exponent = (value: number): string => (value === 0 ? "0" : value.toExponential(1));

/** One row of the table. */
function report(name: string, state: string, details: string): void {
  console.log(`${name.padEnd(36)}${state.padEnd(10)}${details}`);
}

/** Returns whether the file is in order. */
function reportComparisons(name: string, { comparisons, unread, failed, worst }: GoldenFile): boolean {
  if (!worst) {
    report(name, "UNUSABLE", "nothing in it could be compared");
    return false;
  }
  const closest = `closest to its limit: ${worst.what} ${exponent(worst.deviation)} of ${exponent(worst.tolerance)}`;
  report(name, failed.length > 0 ? "BEYOND" : "agrees", `${comparisons.length} comparisons; ${closest}`);
  for (const { what, deviation, tolerance } of failed) {
    report("", "", `${what}: ${exponent(deviation)}, at most ${exponent(tolerance)} is fair`);
  }
  if (unread.length > 0)
    report("", "", `not used: ${unread.slice(0, 8).join(", ")}${unread.length > 8 ? ", ..." : ""}`);
  return failed.length === 0;
}

/** Returns whether the file is in order. */
function reportFile(examined: Examined): boolean {
  const { name } = examined;
  if ("file" in examined) {
    const agrees = reportComparisons(name, examined.file);
    examined.file.dispose();
    return agrees;
  }
  report(name, "UNUSABLE", examined.problem);
  return false;
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
  const place = placeOf(folder);
  if (place.files.length === 0) {
    console.error(`${folder} has no golden files (*.safetensors, *.pth)`);
    return 1;
  }
  const results = place.files.map((name) => reportFile(examine(name, place)));
  return results.every(Boolean) ? 0 : 1;
}

process.exitCode = main();
