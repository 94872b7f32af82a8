/** `stf train` */

import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { catchInterrupts, elementCount, engineReport, interruptCount } from "@stf/torch";
import { constantsForTransfer, transferWeights } from "../checkpoints/transfer.js";
import { type ResolvedOptions, resumedOptions } from "../config/resolved-options.js";
import {
  checkAgainstData,
  checkSameData,
  loopOptions,
  networkConfig,
  trainingData,
  trainingSettings,
  usesDistances,
  withoutEffect,
} from "../config/run.js";
import type { TrainOptions } from "../config/train-options.js";
import type { ImageBank } from "../data/image-bank.js";
import { withMirrorImages } from "../data/mirror.js";
import { nearestDistances } from "../data/neighbours.js";
import { openDataset } from "../data/open.js";
import { writeGrid } from "../images/png.js";
import type { Constants } from "../preconditioning/constants.js";
import { findState, makeNewFolder, makeNumberedFolder, removePartialFiles } from "../run/folder.js";
import { formatDuration, formatImageShape, LOG_FILE, OPTIONS_FILE, STATS_FILE, samplesPath } from "../run/format.js";
import { generateImages } from "../sampling/generate.js";
import { loadState } from "../training/checkpoint.js";
import { type LoopResult, trainingLoop } from "../training/loop.js";
import { initialState, type TrainingState } from "../training/state.js";
import { checkDevice } from "./device.js";
import { abbreviated } from "./options.js";
import { imagesOf } from "./pictures.js";
import { formatProgress, StatusLine } from "./progress.js";
import type { TrainFlags } from "./train-command.js";

function runDescription(options: TrainOptions, bank: ImageBank): string {
  const parts = [
    bank.name,
    options.cond ? "cond" : "uncond",
    options.arch,
    options.precond,
    options.stf ? `stf${options.rbatch}` : "dsm",
  ];
  return [...parts, `batch${options.batch}`, options.precision, ...(options.desc === null ? [] : [options.desc])].join(
    "-",
  );
}

function describe(options: ResolvedOptions, bank: ImageBank, state: TrainingState): string[] {
  const engine = engineReport();
  const ofClass = options.cond && options.stfRef === "class" ? " of its class" : "";
  const isAll = options.rbatch === "all" || options.rbatch === bank.count;
  const references = isAll ? `all ${ofClass ? "" : `${bank.count} `}references` : `${options.rbatch} references`;
  const classes = state.network.labelDim;
  const parameters = state.network.parameterCount;
  const target = options.stf ? `stable target field, ${references}${ofClass} per sample` : "denoising score matching";
  const augmentation =
    options.augment > 0
      ? `, augmentation ${options.augment}${options.stf ? ` (references ${options.stfAugment})` : ""}`
      : "";
  return [
    `data        ${bank.count} images of ${formatImageShape(bank.shape)} from ${options.data}`,
    `objective   ${options.precond}, ${target}${augmentation}`,
    `network     ${options.arch}, ${(parameters / 1e6).toFixed(2)} million parameters, ${options.precision}${classes > 0 ? `, ${classes} classes` : ""}`,
    `training    ${options.duration} million images in batches of ${options.batch}, seed ${options.seed}` +
      (options.timeLimit === null ? "" : `, at most ${formatDuration(60 * options.timeLimit)}`),
    `engine      libtorch ${engine.version}, ` +
      (options.device === "cpu" ? `${engine.cpuCapability}, ${engine.threads} threads` : options.device),
  ];
}

/** Bytes that weights, gradients, moments and averages take, whatever the batch. */
function stateBytes(state: TrainingState): number {
  return 5 * 4 * elementCount(state.parameters.values.shape);
}

function drawSamples(state: TrainingState, bank: ImageBank, path: string, status: StatusLine): void {
  const { labelDim } = state.averaged;
  const columns = 8;
  const rows = labelDim > 0 ? Math.min(labelDim, 16) : 8;
  const seeds = Array.from({ length: rows * columns }, (_, i) => i);
  const start = performance.now();
  const images = generateImages(state.averaged, seeds, {
    classes: seeds.map((seed) => Math.floor(seed / columns)),
    onStep: ({ progress }) => status.update(`drawing ${seeds.length} pictures: ${Math.floor(100 * progress)} %`),
  });
  writeGrid(path, imagesOf(images), bank.shape, columns);
  images.dispose();
  status.print(
    `drew ${seeds.length} pictures with the averaged weights${labelDim > 0 ? ", a row per class," : ""} in ${formatDuration((performance.now() - start) / 1000)}: ${path}`,
  );
}

function newFolder(options: ResolvedOptions, bank: ImageBank): string {
  if (options.name === null) return makeNumberedFolder(options.outdir, runDescription(options, bank));
  return makeNewFolder(join(options.outdir, options.name));
}

/** Reads the data set, with progress where it takes long. */
async function readImages({ data: path, xflip, cond, device }: ResolvedOptions): Promise<ImageBank> {
  const status = new StatusLine();
  const images = await openDataset(path, {
    labels: cond,
    onProgress: (done, total) => status.update(`reading ${path}: ${done} of ${total} images`),
  });
  status.clear();
  const doubled = xflip ? replaced(images, withMirrorImages) : images;
  return device === "cpu" ? doubled : replaced(doubled, (bank) => bank.to(device));
}

/** How far apart the images are, where that saves work in every step. */
function distancesOf(bank: ImageBank, options: TrainOptions, status: StatusLine): Float64Array | undefined {
  if (!usesDistances(options, bank.count)) return undefined;
  const distances = nearestDistances(bank, (done, total) => status.update(`comparing images: ${done} of ${total}`));
  status.clear();
  return distances;
}

function replaced(bank: ImageBank, change: (bank: ImageBank) => ImageBank): ImageBank {
  const changed = change(bank);
  bank.dispose();
  return changed;
}

/** Starts the network and its average from the weights in a file. Returns what there is to say about it. */
function transferred({ network, averaged }: TrainingState, path: string): string[] {
  const { copied, missing, unused } = transferWeights(path, [network, averaged]);
  return [
    `transfer    ${copied.length} tensors from ${path}`,
    ...(missing.length > 0 ? [`            not in it, and so drawn anew: ${abbreviated(missing)}`] : []),
    ...(unused.length > 0 ? [`            without a place here: ${abbreviated(unused)}`] : []),
  ];
}

/** Those of the network that the weights come from, without which they would mean another one. */
const transferredConstants = ({ transfer, precond }: ResolvedOptions): Constants | undefined =>
  transfer === null ? undefined : constantsForTransfer(transfer, precond);

/**
 * Runs the command. Returns the exit code.
 *
 * @param fresh - the options of a new run; left out with --resume
 */
export async function train(
  given: Partial<TrainOptions>,
  flags: TrainFlags,
  fresh: ResolvedOptions | undefined,
): Promise<number> {
  const stateFile = flags.resume === undefined ? undefined : findState(flags.resume);
  const saved = stateFile === undefined ? undefined : loadState(stateFile);
  const options = fresh ?? resumedOptions(given, saved?.options ?? {});
  checkDevice(options.device);
  const bank = await readImages(options);
  checkAgainstData(options, bank);
  if (saved) checkSameData(saved.options, bank);
  const constants = saved ? saved.config.constants : transferredConstants(options);
  const network = { ...networkConfig(options, bank), ...(constants && { constants }) };
  const state = initialState(network, options.seed, options.precision, options.device);
  saved?.restore(state);
  const started = [
    ...(saved || options.transfer === null ? [] : transferred(state, options.transfer)),
    ...withoutEffect(given, options).map((text) => `note        ${text}`),
  ];

  if (flags.dryRun) {
    for (const line of [...describe(options, bank, state), ...started]) console.log(line);
    console.log(
      `memory      ${(stateBytes(state) / 2 ** 20).toFixed(0)} MiB for weights and optimizer, and the activations`,
    );
    console.log(JSON.stringify(options, undefined, 2));
    return 0;
  }

  const folder = stateFile === undefined ? newFolder(options, bank) : dirname(stateFile);
  const loop = loopOptions(options, network, folder, bank);
  if (state.images >= loop.totalImages) {
    console.log(`nothing left to do: ${folder} has seen ${state.images} images; give a longer --duration`);
    return 0;
  }
  removePartialFiles(folder);
  writeFileSync(join(folder, OPTIONS_FILE), `${JSON.stringify(options, undefined, 2)}\n`);
  const status = new StatusLine({ log: join(folder, LOG_FILE) });
  for (const line of [...describe(options, bank, state), ...started]) status.print(line);
  status.print(`run folder  ${folder}`);
  if (saved) status.print(`resumed     at ${state.images} images from ${stateFile}`);

  catchInterrupts(true);
  const settings = trainingSettings(options, state.network.preconditioning, distancesOf(bank, options, status));
  const result = await trainingLoop(state, trainingData(bank, options), settings, loop, {
    onStep: (progress) => status.update(formatProgress(progress)),
    onTick: (progress) => status.print(formatProgress(progress)),
    shouldStop: () => interruptCount() > 0,
  });
  status.print(`${ending(result)} after ${state.images} images; saved ${result.snapshot}`);
  if (result.reason === "stopped") {
    status.print(`go on with: stf train --resume=${folder}`);
    return 130;
  }
  // Everything is saved: from here on Ctrl-C may simply end the process.
  catchInterrupts(false);
  const samples = samplesPath(folder, state.images);
  drawSamples(state, bank, samples, status);
  for (const line of nextSteps(folder, result)) status.print(line);
  return 0;
}

function ending({ reason }: LoopResult): string {
  return { finished: "finished", "time limit": "the time limit was reached", stopped: "stopped" }[reason];
}

function nextSteps(folder: string, { snapshot }: LoopResult): string[] {
  return [
    "what to try next:",
    `  more pictures      npx stf generate --network=${snapshot} --seeds=64-127 --grid=more.png`,
    `  train on           npx stf train --resume=${folder} --time-limit=10`,
    `  without STF        npx stf train --preset=fashion-mnist --stf=0`,
    `  the statistics     ${join(folder, STATS_FILE)}`,
  ];
}
