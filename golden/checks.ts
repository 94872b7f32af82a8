/** The check for a file of the folder, by its name. */

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { checkAugmentation } from "./augmentation.js";
import { checkFrechet } from "./frechet.js";
import { GoldenFile } from "./golden-file.js";
import { checkLikelihood } from "./likelihood.js";
import { checkLosses } from "./losses.js";
import { checkBlocks, checkNetwork } from "./networks.js";
import type { Place } from "./published-network.js";
import { checkRandomNumbers } from "./random.js";
import { checkAblationSampler, checkEdmSampler } from "./samplers.js";
import { checkSdeGrid } from "./sde-grid.js";
import { checkSdeSamplers } from "./sde-samplers.js";
import { checkState, compareWithTwin } from "./state.js";
import { checkTargets } from "./targets.js";
import { checkTrajectory } from "./trajectory.js";

type Check = (file: GoldenFile, place: Place) => void;

const TORCH_STATE = /^12_.*\.(pth|pt|pkl)$/;

/** The first one whose pattern fits a name is used. */
const checks: readonly (readonly [files: RegExp, check: Check])[] = [
  [/^03b_.*\.safetensors$/, checkBlocks],
  [/^0[1-4]_.*\.safetensors$/, checkNetwork],
  [/^05_.*\.safetensors$/, checkTargets],
  [/^06_.*\.safetensors$/, checkLosses],
  [/^07_edm_sampler.*\.safetensors$/, checkEdmSampler],
  [/^07_ablation_sampler.*\.safetensors$/, checkAblationSampler],
  [/^08_.*\.safetensors$/, checkAugmentation],
  [/^09_.*\.safetensors$/, checkRandomNumbers],
  [/^10_.*\.safetensors$/, checkFrechet],
  [/^11_sde_grid.*\.safetensors$/, checkSdeGrid],
  [/^11_sde_samplers.*\.safetensors$/, checkSdeSamplers],
  [/^11_sde_likelihood.*\.safetensors$/, checkLikelihood],
  [/^12_.*\.safetensors$/, checkState],
  [/^13_.*\.safetensors$/, checkTrajectory],
];

/** The result for a file: its comparisons, or why there are none. */
export type Examined =
  | { readonly name: string; readonly file: GoldenFile }
  | { readonly name: string; readonly problem: string };

/** The golden files of a folder, in order. */
export function placeOf(folder: string): Place {
  const files = existsSync(folder) ? readdirSync(folder) : [];
  return { folder, files: files.filter((name) => /\.(safetensors|pth)$/.test(name) || TORCH_STATE.test(name)).sort() };
}

/** Compares a file. The caller disposes of the file in the result. */
export function examine(name: string, place: Place): Examined {
  try {
    if (TORCH_STATE.test(name)) return { name, file: compareWithTwin(name, place) };
    const check = checks.find(([pattern]) => pattern.test(name))?.[1];
    if (!check) return { name, problem: "no check knows this file" };
    const file = new GoldenFile(join(place.folder, name));
    check(file, place);
    return { name, file };
  } catch (error) {
    return { name, problem: (error as Error).message.split("\n", 1)[0] ?? "" };
  }
}
