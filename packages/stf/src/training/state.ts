import { Adam, type Device, ExponentialMovingAverage, FlatParameters, manualSeed, releaseFreeMemory } from "@stf/torch";
import type { Precision } from "../networks/architectures.js";
import { type BuildOptions, buildDenoiser, type NetworkConfig } from "../networks/build.js";
import type { Denoiser } from "../networks/denoiser.js";
import { randomKey } from "../random/keyed.js";

/** Everything that training changes. */
export interface TrainingState {
  /** The network that is trained. */
  readonly network: Denoiser;
  /** Its parameters and their gradients. */
  readonly parameters: FlatParameters;
  /** With the moments, flat. */
  readonly optimizer: Adam;
  /** From the trained parameters to those of `averaged`. */
  readonly ema: ExponentialMovingAverage;
  /** The network that holds the averaged weights, in evaluation mode. */
  readonly averaged: Denoiser;
  /** The one clock: images trained on so far. */
  images: number;
}

/**
 * The state before the first step. Its weights depend on the seed alone, whatever the device.
 *
 * @param options - as {@link buildDenoiser} takes them. A preconditioning of your own can be trained, not saved.
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
  // Flattened before the second network is made: it fits into the room that the first one's weights leave.
  const parameters = new FlatParameters(network.to(device));
  const averaged = buildDenoiser(config, options).to(device).eval();
  averaged.loadStateDict(network.stateDict());
  const average = new FlatParameters(averaged, { trainable: false });
  const ema = new ExponentialMovingAverage(parameters, average);
  const optimizer = new Adam(parameters);
  releaseFreeMemory();
  return { network, parameters, optimizer, ema, averaged, images: 0 };
}

/** Frees both networks and everything that belongs to them. */
export function disposeState({ network, parameters, optimizer, ema, averaged }: TrainingState): void {
  network.dispose();
  averaged.dispose();
  parameters.dispose();
  ema.average.dispose();
  optimizer.dispose();
}
