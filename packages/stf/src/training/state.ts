import { Adam, type Device, ExponentialMovingAverage, FlatParameters, manualSeed } from "@stf/torch";
import { buildDenoiser, type NetworkConfig } from "../networks/build.js";
import type { Denoiser, Precision } from "../networks/denoiser.js";
import { randomKey } from "../random/keyed.js";

/** Everything that training changes. */
export interface TrainingState {
  readonly network: Denoiser;
  readonly parameters: FlatParameters;
  readonly optimizer: Adam;
  readonly ema: ExponentialMovingAverage;
  /** The network that holds the averaged weights, in evaluation mode. */
  readonly averaged: Denoiser;
  /** The one clock: images trained on so far. */
  images: number;
}

/** Fresh weights, which depend on the seed alone, whatever the device. */
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

export function disposeState({ network, parameters, optimizer, ema, averaged }: TrainingState): void {
  network.dispose();
  averaged.dispose();
  parameters.dispose();
  ema.average.dispose();
  optimizer.dispose();
}
