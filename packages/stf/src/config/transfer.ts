/** A run that starts from the weights in a file uses the file's network. */

import { InputError, UsageError } from "../common/errors.js";
import { formatImageShape } from "../common/image-shape.js";
import type { ImageBank } from "../data/image-bank.js";
import type { NetworkConfig } from "../networks/build.js";
import { preconditioningOf } from "../preconditioning/table.js";
import { checkContradictions } from "./contradictions.js";
import { checkNoiseOptions, noiseOptionsOf, statedConstants } from "./noise-options.js";
import type { ResolvedOptions } from "./resolved-options.js";
import type { TrainOptions } from "./train-options.js";

/** The options that a network fixes. */
type Sizes = Pick<TrainOptions, "arch" | "precond" | "cbase" | "cres" | "numBlocks" | "attn">;

/** The network's resolutions with attention; 0 means none. */
function attentionIn({ shape, channelMult }: NetworkConfig, resolutions: readonly number[]): readonly number[] {
  const found = channelMult.map((_, level) => shape.height >> level).filter((size) => resolutions.includes(size));
  return found.length > 0 ? found : [0];
}

/** The options that determine a network's shapes. */
export function sizesOf(network: NetworkConfig): Partial<Sizes> {
  const { arch, precond, modelChannels, channelMult, numBlocks, attnResolutions } = network;
  const sizes = { arch, precond, cbase: modelChannels, numBlocks };
  return arch === "mlp" ? sizes : { ...sizes, cres: channelMult, attn: attentionIn(network, attnResolutions) };
}

/**
 * The options of a run, with the network options taken from the file.
 *
 * @param stated - those given directly or by a preset
 * @throws UsageError when one of them contradicts the file.
 */
export function optionsForTransfer(
  options: ResolvedOptions,
  stated: Partial<TrainOptions>,
  network: NetworkConfig,
): ResolvedOptions {
  const sizes = sizesOf(network);
  const { sigmaData } = preconditioningOf(network.precond, network.constants).constants;
  for (const [key, wanted] of Object.entries({ ...sizes, ...(sigmaData !== undefined && { sigmaData }) })) {
    const given = stated[key as keyof Sizes | "sigmaData"];
    if (given === undefined || given === null) continue;
    const found = key === "attn" ? attentionIn(network, given as readonly number[]) : given;
    if (String(found) !== String(wanted)) {
      throw new UsageError(
        `'${key}' must be that of the network in 'transfer=${options.transfer}', ${wanted}, found ${given}; give '${key}=${wanted}', or leave it out`,
      );
    }
  }
  // The noise levels are free: the weights mean the same at each.
  const found = { ...options, ...sizes, ...noiseOptionsOf(network), ...statedConstants(options) };
  checkContradictions(stated, found);
  checkNoiseOptions(found, network.constants);
  return found;
}

/** @throws InputError when the network's images differ in shape from those to train on. */
export function checkTransferShape({ shape }: NetworkConfig, images: ImageBank): void {
  const [found, wanted] = [formatImageShape(shape), formatImageShape(images.shape)];
  if (found === wanted) return;
  throw new InputError(
    `'transfer' must name a network for the images of ${images.name}, ${wanted}; its images are ${found}`,
  );
}
