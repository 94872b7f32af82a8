import { Adam, type Device, ExponentialMovingAverage, FlatParameters, manualSeed, releaseFreeMemory } from "@stf/torch";
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
  /** What happens where gradients are not finite. */
  readonly stability: Stability;
  /** The one clock: images trained on so far. */
  images: number;
}

/**
 * The state before the first step. Its weights depend only on the seed, not on the device.
 *
 * @param options - as {@link buildDenoiser} takes them. A custom preconditioning can be trained but not saved.
 * @throws UsageError when the configuration does not fit the images, or its preconditioning is unknown or has other constants.
 */
export function initialState(
  config: NetworkConfig,
  seed: number,
  precision: Precision,
  device: Device = "cpu",
  { preconditioning }: Pick<BuildOptions, "preconditioning"> = {},
): TrainingState {
  const options = { precision, ...(preconditioning && { preconditioning }) };
  manualSeed(randomKey(seed, "weights"));
  const network = buildDenoiser(config, options);
  // Flattened before the second network is made, which then reuses the memory freed by the first one's weights.
  const parameters = new FlatParameters(network.to(device));
  const averaged = buildDenoiser(config, options).to(device).eval();
  averaged.loadStateDict(network.stateDict());
  const average = new FlatParameters(averaged, { trainable: false });
  const ema = new ExponentialMovingAverage(parameters, average);
  const optimizer = new Adam(parameters);
  releaseFreeMemory();
  return { network, parameters, optimizer, ema, averaged, stability: initialStability(precision), images: 0 };
}

/** Frees both networks and everything that belongs to them. */
export function disposeState({ network, parameters, optimizer, ema, averaged }: TrainingState): void {
  network.dispose();
  averaged.dispose();
  parameters.dispose();
  ema.average.dispose();
  optimizer.dispose();
}
