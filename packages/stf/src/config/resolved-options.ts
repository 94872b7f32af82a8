/** The resolved options of a new run, and of one that is resumed. */

import { randomInt } from "node:crypto";
import { resolve as resolvePath } from "node:path";
import { UsageError } from "../common/errors.js";
import { checkChannels } from "../networks/channels.js";
import { checkContradictions, checkDivided } from "./contradictions.js";
import { resolve } from "./fields.js";
import { networkSize } from "./network-size.js";
import { checkNoiseOptions } from "./noise-options.js";
import { type PresetName, presets, type TrainOptions, trainFields } from "./train-options.js";
import { trainingMetrics } from "./training-metrics.js";

/** Options with all values resolved. */
export interface ResolvedOptions extends TrainOptions {
  /** Seed of all random numbers. */
  readonly seed: number;
  /** Where the training images are. */
  readonly data: string;
}

/**
 * Options that a resumed run may change, because its weights and moments stay valid: where the data is and which device computes,
 * when it ends, what it writes, how it learns and from which targets. Options that would change the network, the images or
 * their order are fixed.
 */
const changeable: ReadonlySet<string> = new Set<keyof TrainOptions>([
  ...([
    "data",
    "heldOut",
    "cache",
    "device",
    "precision",
    "duration",
    "timeLimit",
    "tick",
    "snap",
    "dump",
    "keep",
    "saveEvery",
    "tensorboard",
    "metrics",
    "metricsEvery",
    "metricsFeatures",
  ] as const),
  ...(["clip", "maxSkipped", "onDivergence"] as const),
  ...(["lr", "lrRampup", "ema", "ls", "batch", "batchGpu", "recompute", "labelDropout"] as const),
  ...(["analytic", "trainBelow"] as const),
  ...(["stf", "rbatch", "stfShard", "stfSigma", "stfAugment", "rbatchAugment", "stfRef"] as const),
]);

/**
 * @param chosen - the choice of `automaticOptions`, if the preset is "auto"
 * @throws UsageError without data, and for options that contradict each other
 */
export function newRunOptions(
  given: Partial<TrainOptions>,
  preset: PresetName = "auto",
  chosen: Partial<TrainOptions> = {},
): ResolvedOptions {
  const { options: own, features } = presets[preset];
  const options = complete(resolve(trainFields, own, suitableFeatures(given, features), chosen, given));
  // The number of Gaussians is chosen when the images are known, and the check repeated.
  const isOpen = preset === "auto" && given.analytic === undefined && chosen.analytic === undefined;
  checkContradictions(given, isOpen ? { ...options, analytic: 1 } : options);
  // The preset "auto" chooses what else makes a network's size, and a network to start from has its own.
  const isSizeOpen = options.transfer !== null || (preset === "auto" && Object.keys(chosen).length === 0);
  if (!isSizeOpen && options.arch !== "mlp") checkChannels(networkSize(options.arch, options), options.arch === "adm");
  checkDivided(options);
  trainingMetrics(options);
  // With a network to start from, its constants decide, too.
  if (options.transfer === null) checkNoiseOptions(options);
  return options;
}

/** The features of a preset, if numbers of quality are asked for. */
const suitableFeatures = ({ metrics }: Partial<TrainOptions>, features: string | undefined): Partial<TrainOptions> =>
  metrics && features !== undefined ? { metricsFeatures: features } : {};

/** @throws UsageError when a given option cannot change in a resumed run, or has no effect in it */
export function resumedOptions(
  given: Partial<TrainOptions>,
  saved: Readonly<Record<string, unknown>>,
): ResolvedOptions {
  const fixed = Object.keys(given).find((key) => !changeable.has(key));
  if (fixed) {
    throw new UsageError(
      `'${fixed}' is fixed for the run and cannot change with 'resume'; these can: ${[...changeable].map((key) => `'${key}'`).join(", ")}`,
    );
  }
  checkSameShare(given, saved);
  const options = complete(resolve(trainFields, saved as Partial<TrainOptions>, given));
  checkContradictions(given, options);
  checkDivided(options);
  trainingMetrics(options);
  if (given.trainBelow !== undefined) checkNoiseOptions(options);
  return options;
}

/** Where a run's folder is: not a property of the training. */
const places: ReadonlySet<string> = new Set<keyof TrainOptions>(["outdir", "name", "desc"]);

/** Options that name files; a run stores them as absolute paths. */
const paths: ReadonlySet<string> = new Set<keyof TrainOptions>(["data", "heldOut", "transfer", "metricsFeatures"]);

function isSame(name: string, stated: unknown, saved: unknown): boolean {
  if (paths.has(name) && typeof stated === "string" && typeof saved === "string") {
    return resolvePath(stated) === resolvePath(saved);
  }
  return JSON.stringify(stated) === JSON.stringify(saved);
}

/**
 * The options of a run that is continued by the command that started it.
 *
 * @param given - options of the command itself: those that may change in a resumed run do
 * @param stated - the same with those of its preset
 * @param features - the preset's features for numbers of quality, for a run that had none
 * @throws UsageError when a stated option that is fixed for the run differs from the run's
 */
export function continuedOptions(
  given: Partial<TrainOptions>,
  stated: Partial<TrainOptions>,
  saved: Partial<TrainOptions>,
  features?: string,
): ResolvedOptions {
  const before: Readonly<Record<string, unknown>> = resolve(trainFields, saved);
  const isFixed = (name: string): boolean => !changeable.has(name) && !places.has(name);
  const others = Object.entries(stated).filter(
    ([name, value]) => value !== null && isFixed(name) && !isSame(name, value, before[name]),
  );
  if (others.length > 0) {
    const list = others.map(([name, value]) => `'${name}' ${formatValue(before[name])}, now ${formatValue(value)}`);
    throw new UsageError(
      `there is a run of the name ${given.name} already, with other options: ${list.join(", ")}; choose another 'name', or leave them out to continue it`,
    );
  }
  const isChange = ([name, value]: [string, unknown]): boolean =>
    changeable.has(name) && !isSame(name, value, before[name]);
  const suitable = before["metricsFeatures"] === null ? suitableFeatures(given, features) : {};
  return resumedOptions(Object.fromEntries(Object.entries({ ...suitable, ...given }).filter(isChange)), saved);
}

/** @throws UsageError when other images would be trained on */
function checkSameShare({ heldOut }: Partial<TrainOptions>, saved: Readonly<Record<string, unknown>>): void {
  const before = saved["heldOut"] ?? null;
  if (heldOut === undefined || heldOut === before) return;
  const share = [heldOut, before].find((value) => typeof value === "number");
  if (share === undefined) return;
  throw new UsageError(
    `'heldOut' decides which images are trained on if it is a share, and cannot change with 'resume': it was ${formatValue(before)}, found ${heldOut}`,
  );
}

/** The options that a resumed run changes, one per line: "lr 0.001 -> 0.0005". */
export function changedOptions(before: Readonly<Record<string, unknown>>, now: ResolvedOptions): string[] {
  // A run of an earlier version has no value for a later option.
  const old: Readonly<Record<string, unknown>> = resolve(trainFields, before as Partial<TrainOptions>);
  return Object.entries(now)
    .filter(([name, value]) => JSON.stringify(old[name]) !== JSON.stringify(value))
    .map(([name, value]) => `'${name}' ${formatValue(old[name])} -> ${formatValue(value)}`);
}

const formatValue = (value: unknown): string =>
  value === null || value === undefined ? "none" : Array.isArray(value) ? value.join(",") : String(value);

function complete(options: TrainOptions): ResolvedOptions {
  if (options.data === null) {
    throw new UsageError(
      "'data' must name the training images: a folder, a zip, CIFAR-10 or an idx file; 'preset=fashion-mnist' brings its own",
    );
  }
  return { ...options, data: options.data, seed: options.seed ?? randomInt(2 ** 31) };
}
