import {
  Adam,
  type Device,
  ExponentialMovingAverage,
  FlatParameters,
  manualSeed,
  releaseFreeMemory,
  type Tensor,
} from "@stf/torch";
import type { Precision } from "../networks/architectures.js";
import { type BuildOptions, buildDenoiser, type NetworkConfig } from "../networks/build.js";
import type { Denoiser } from "../networks/denoiser.js";
import { randomKey } from "../random/keyed.js";
import { initialStability, type Stability } from "./stability.js";

/** Everything that training changes. */
export interface TrainingState {
  /** The network being trained. */
  readonly network: Denoiser;
  /** Its parameters and their gradients. */
  readonly parameters: FlatParameters;
  /** The optimizer, with its flat moments. */
  readonly optimizer: Adam;
  /** Averages the trained parameters into those of `averaged`. */
  readonly ema: ExponentialMovingAverage;
  /** The network that holds the averaged weights, in evaluation mode. */
  readonly averaged: Denoiser;
  /**
   * A second average, flat as the parameters are. If there is one, both are power-function averages, `ema` the one of the width
   * `powerWidths.drawn` and this the one of `powerWidths.other`; without it `ema` has a half-life.
   */
  readonly secondAverage?: Tensor | undefined;
  /** What happens where gradients are not finite. */
  readonly stability: Stability;
  /** The one clock: images trained on so far. */
  images: number;
}

/** Options of {@link initialState}. */
export interface StateOptions extends Pick<BuildOptions, "preconditioning"> {
  /** Which averages of the weights are kept: one with a half-life, when left out, or two power functions. */
  readonly average?: "halflife" | "power";
}

/**
 * The state before the first step. Its weights depend only on the seed, not on the device.
 *
 * @param options - the preconditioning as {@link buildDenoiser} takes it. A custom one can be trained but not saved.
 * @throws UsageError when the configuration does not fit the images, or its preconditioning is unknown or has other constants.
 */
export function initialState(
  config: NetworkConfig,
  seed: number,
  precision: Precision,
  device: Device = "cpu",
  { preconditioning, average = "halflife" }: StateOptions = {},
): TrainingState {
  const options = { precision, ...(preconditioning && { preconditioning }) };
  manualSeed(randomKey(seed, "weights"));
  const network = buildDenoiser(config, options);
  // Flattened before the second network is made, which then reuses the memory freed by the first one's weights.
  const parameters = new FlatParameters(network.to(device));
  const averaged = buildDenoiser(config, options).to(device).eval();
  averaged.loadStateDict(network.stateDict());
  const ema = new ExponentialMovingAverage(parameters, new FlatParameters(averaged, { trainable: false }));
  const secondAverage = average === "power" ? parameters.zerosLike() : undefined;
  const optimizer = new Adam(parameters);
  releaseFreeMemory();
  const stability = initialStability(precision);
  return { network, parameters, optimizer, ema, averaged, secondAverage, stability, images: 0 };
}

/** Frees both networks and everything that belongs to them. */
export function disposeState({ network, parameters, optimizer, ema, averaged, secondAverage }: TrainingState): void {
  network.dispose();
  averaged.dispose();
  parameters.dispose();
  ema.average.dispose();
  secondAverage?.dispose();
  optimizer.dispose();
}
