/** Training steps, with stable targets and without: losses, gradients, weights, averages. */

import { scope, type Tensor } from "@stf/torch";
import {
  addGradients,
  applyGradients,
  disposeState,
  edmPreconditioning,
  emaDecay,
  learningRate,
  type PerturbedBatch,
  perturbedImages,
  type TrainingState,
  weightedError,
  weightedSquaredError,
} from "stf";
import type { GoldenFile } from "./golden-file.js";
import { configOf } from "./published-network.js";
import { stableTarget, TARGET_TOLERANCE } from "./targets.js";
import { stateFrom } from "./training-state.js";

const LOSS_TOLERANCE = 5e-6;
const GRADIENT_TOLERANCE = 1e-4;
/** Relative to the sum of a parameter's magnitudes. */
const WEIGHT_TOLERANCE = 2e-6;

/** Constants of a training run under their published names. */
interface PublishedTraining {
  readonly steps: number;
  readonly batch_size: number;
  readonly lr: number;
  readonly adam_betas: readonly [number, number];
  readonly adam_eps: number;
  readonly loss_scaling: number;
  readonly lr_rampup_kimg: number;
  readonly ema_halflife_kimg: number;
  readonly ema_rampup_ratio: number | null;
  readonly P_mean: number;
  readonly P_std: number;
  readonly sigma_data: number;
}

/**
 * Entries of an attention's bias that do not belong to the keys. The gradient of the keys' entries is zero in exact arithmetic, and
 * rounding error in float32, which Adam turns into steps of visible size.
 */
const isKeyBias = (name: string): boolean => name.endsWith("qkv.bias");

/** Sum and sum of magnitudes of a parameter; of an attention's bias without the keys, entries 1, 4, 7, ... */
function checksum(name: string, value: Tensor): [sum: number, magnitudes: number] {
  const all = value.toFloat64Array();
  const numbers = isKeyBias(name) ? all.filter((_, i) => i % 3 !== 1) : all;
  return [numbers.reduce((a, b) => a + b, 0), numbers.reduce((a, b) => a + Math.abs(b), 0)];
}

const KINDS = ["gradients", "values", "averages"] as const;

/** The quantities that are compared, step by step. */
interface Recorded {
  readonly numbers: Record<"loss_mean" | "loss_sum" | "lr" | "ema_beta" | "images_seen_before_step", number[]>;
  readonly targets: number[];
  /** Keyed by the name of the parameter. */
  readonly checksums: Record<(typeof KINDS)[number], Map<string, number[]>>;
}

/** Takes a step with the file's images and noise. */
function takeStep(file: GoldenFile, i: number, state: TrainingState, constants: PublishedTraining, recorded: Recorded) {
  const { batch_size: batch, P_mean, P_std } = constants;
  const part = (name: string): Tensor => file.tensor(name).select(0, i);
  const { network, parameters, images: seen } = state;
  const images = part("images");
  const source = images.narrow(0, 0, batch);
  const sigma = part("rnd_normal")
    .toFloat64Array()
    .map((z) => Math.exp(P_mean + P_std * z));
  const samples: PerturbedBatch = {
    indices: Int32Array.from({ length: batch }, (_, row) => row),
    source,
    noise: part("noise"),
    sigma,
  };
  const isStable = file.has("stable_target");
  const target = isStable ? stableTarget(images, perturbedImages(samples), sigma).float() : source;
  if (isStable) recorded.targets.push(...target.toFloat64Array());
  parameters.zeroGrad();
  const error = weightedError(network, samples, target, {
    labels: file.has("class_labels") ? part("class_labels") : undefined,
    augmentLabels: file.has("augment_labels") ? part("augment_labels") : undefined,
    loss: weightedSquaredError(edmPreconditioning({ sigmaData: constants.sigma_data })),
  });
  const sums = addGradients(error, constants.loss_scaling / batch);
  const rates = { peak: constants.lr, rampup: 1000 * constants.lr_rampup_kimg };
  const average = { halflife: 1000 * constants.ema_halflife_kimg, rampupRatio: constants.ema_rampup_ratio };
  const { mean } = applyGradients(state, { sums, count: error.numel }, { batch, learningRate: rates, ema: average });
  const numbers = {
    loss_mean: mean,
    loss_sum: mean * error.numel,
    lr: learningRate(seen, rates),
    ema_beta: emaDecay(seen, { batch, ...average }),
    images_seen_before_step: seen,
  };
  for (const [name, value] of Object.entries(numbers)) recorded.numbers[name as keyof typeof numbers].push(value);
  const flat = { gradients: parameters.gradients, values: parameters.values, averages: state.ema.average.values };
  for (const kind of KINDS) {
    const sums = recorded.checksums[kind];
    for (const [name, view] of parameters.viewsOf(flat[kind])) {
      sums.set(name, [...(sums.get(name) ?? []), ...checksum(name, view)]);
    }
  }
}

export function checkTrajectory(file: GoldenFile): void {
  const constants = file.metadata<PublishedTraining>("constants");
  const state = stateFrom(configOf(file), { betas: constants.adam_betas, eps: constants.adam_eps });
  state.network.loadStateDict(new Map([...file.under("model.")].map(([name, value]) => [`model.${name}`, value])));
  const recorded: Recorded = {
    numbers: { loss_mean: [], loss_sum: [], lr: [], ema_beta: [], images_seen_before_step: [] },
    targets: [],
    checksums: { gradients: new Map(), values: new Map(), averages: new Map() },
  };
  for (let i = 0; i < constants.steps; i++) scope(() => takeStep(file, i, state, constants, recorded));
  scope(() => {
    compareNumbers(file, recorded);
    compareChecksums(file, recorded, constants.steps);
    compareFinals(file, state);
  });
  disposeState(state);
}

function compareNumbers(file: GoldenFile, { numbers, targets }: Recorded): void {
  for (const name of ["loss_mean", "loss_sum"] as const) {
    file.compareEach(name, numbers[name], file.tensor(name), LOSS_TOLERANCE);
    file.compareEach(`${name} in float64`, numbers[name], file.tensor(`${name}_float64`), LOSS_TOLERANCE);
  }
  for (const name of ["lr", "ema_beta", "images_seen_before_step"] as const) {
    file.compare(name, numbers[name], file.tensor(name), 1e-12);
  }
  if (file.has("stable_target")) {
    file.compare("stable targets", targets, file.tensor("stable_target"), 5 * TARGET_TOLERANCE);
  }
}

function compareChecksums(file: GoldenFile, { checksums }: Recorded, steps: number): void {
  const order = file.metadata<string[]>("parameter_order");
  const names = [...checksums.values.keys()];
  file.compareAbsolute(
    "order of the parameters",
    order.map((name) => names.indexOf(name)),
    [...names.keys()],
    0,
  );
  const magnitudes = Array.from({ length: steps }, (_, i) =>
    order.map((name) => checksums.gradients.get(name)?.[2 * i + 1] as number),
  ).flat();
  file.compareEach("gradients", magnitudes, file.tensor("chk_grad_abs"), GRADIENT_TOLERANCE);
  for (const name of order) {
    const compare = (prefix: string, found: ReadonlyMap<string, number[]>): void => {
      const wanted = file.numbers(`${prefix}.${name}`);
      const scaleOf = (_: number, i: number): number => Math.max(wanted[i | 1] as number, 1);
      file.compareEach(`${prefix}.${name}`, found.get(name) as number[], wanted, WEIGHT_TOLERANCE, scaleOf);
    };
    if (isKeyBias(name)) {
      compare("chk_without_keys", checksums.values);
      continue;
    }
    compare("chk", checksums.values);
    compare("chk_float64", checksums.values);
    compare("chk_ema", checksums.averages);
  }
}

function compareFinals(file: GoldenFile, { parameters, ema }: TrainingState): void {
  for (const [prefix, flat] of [
    ["final.", parameters.values],
    ["final_ema.", ema.average.values],
  ] as const) {
    const views = parameters.viewsOf(flat);
    for (const [name, wanted] of file.under(prefix)) {
      const found = views.get(name);
      if (!found) throw new Error(`the network has no parameter "${name}"`);
      file.compareAbsolute(prefix + name, found, wanted, 5e-6);
    }
  }
}
