import { Adam, type Device, ExponentialMovingAverage, FlatParameters, manualSeed } from "@stf/torch";
import { buildDenoiser, type NetworkConfig } from "../networks/build.js";
import type { Denoiser, Precision } from "../networks/denoiser.js";
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
 * @throws UsageError when the configuration does not fit the images.
 */
export function initialState(
  config: NetworkConfig,
  seed: number,
  precision: Precision,
  device: Device = "cpu",
): TrainingState {
  manualSeed(randomKey(seed, "weights"));
  const network = buildDenoiser(config, { precision });
  const averaged = buildDenoiser(config, { precision }).eval();
  averaged.loadStateDict(network.stateDict());
  const parameters = new FlatParameters(network.to(device));
  const average = new FlatParameters(averaged.to(device), { trainable: false });
  const ema = new ExponentialMovingAverage(parameters, average);
  return { network, parameters, optimizer: new Adam(parameters), ema, averaged, images: 0 };
}

/** Frees both networks and everything that belongs to them. */
export function disposeState({ network, parameters, optimizer, ema, averaged }: TrainingState): void {
  network.dispose();
  averaged.dispose();
  parameters.dispose();
  ema.average.dispose();
  optimizer.dispose();
}
