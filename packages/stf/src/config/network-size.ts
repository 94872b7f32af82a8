import { type Architecture, defaultSizes, type NetworkSize } from "../networks/architectures.js";
import type { TrainOptions } from "./train-options.js";

/** The options that make a network larger or smaller. */
export type SizeOptions = Pick<TrainOptions, "cbase" | "cres" | "numBlocks" | "attn">;

/** The size of a network, with the published values where the options leave it open. */
export function networkSize(arch: Architecture, { cbase, cres, numBlocks, attn }: SizeOptions): NetworkSize {
  const size = defaultSizes[arch];
  return {
    modelChannels: cbase ?? size.modelChannels,
    channelMult: cres ?? size.channelMult,
    numBlocks: numBlocks ?? size.numBlocks,
    attnResolutions: attn ?? size.attnResolutions,
  };
}
