/**
 * The structure of a network, from the names and shapes of its tensors. Every size comes from existing tensors, so that a
 * file cannot request a network larger than itself.
 */

import type { Tensor } from "@stf/torch";
import { InputError } from "../../common/errors.js";

/** A U-Net of the published families. */
export interface NetworkFacts {
  readonly family: "SongUNet" | "DhariwalUNet";
  readonly resolution: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly modelChannels: number;
  readonly channelMult: readonly number[];
  readonly numBlocks: number;
  /** Resolutions whose blocks have self-attention. */
  readonly attnResolutions: readonly number[];
  readonly embeddingType: "positional" | "fourier";
  readonly encoderType: "standard" | "skip" | "residual";
  readonly decoderType: "standard" | "skip";
  /** Width of the embedding and of the noise embedding, as multiples of `modelChannels`. */
  readonly channelMultEmb: number;
  readonly channelMultNoise: number;
  /** Number of taps of the resampling filter; undefined in a network of one resolution. */
  readonly filterLength: number | undefined;
  readonly labelDim: number;
  readonly augmentDim: number;
  /** Steps between the noise levels that it stores; undefined when it stores none. */
  readonly timeSteps: number | undefined;
}

type Shaped = ReadonlyMap<string, Pick<Tensor, "shape">>;

/** Networks of other programs, by a name unique to them. */
const otherNetworks: readonly (readonly [RegExp, string])[] = [
  [/(^|\.)(emb_fourier\.freqs|out_gain)$/, "EDM2"],
  [/(^|\.)(first_stage_model|cond_stage_model)\./, "latent diffusion"],
  [/(^|\.)input_blocks\.0\.0\.weight$/, "guided diffusion or latent diffusion"],
  [/(^|\.)(down_blocks|up_blocks)\.0\./, "diffusers"],
  [/(^|\.)all_modules\.0\./, "score_sde"],
  [/(^|\.)x_embedder\.proj\.weight$/, "DiT"],
  [/(^|\.)downs\.0\.0\./, "denoising-diffusion-pytorch"],
];

/** @throws InputError when the tensors are not those of a known network */
export function factsOf(tensors: Shaped): NetworkFacts {
  const fail = (problem: string): never => {
    const some = [...tensors.keys()].slice(0, 3).join(", ");
    const names = [...tensors.keys()];
    const other = otherNetworks.find(([pattern]) => names.some((name) => pattern.test(name)))?.[1];
    const reason = other === undefined ? problem : `they belong to ${other}, whose networks differ from EDM's`;
    throw new InputError(`the ${tensors.size} tensors (${some}, ...) are not those of a known network: ${reason}`);
  };
  const shapeOf = (name: string, rank: number): readonly number[] => {
    const shape = tensors.get(`model.${name}`)?.shape ?? fail(`there is no "model.${name}"`);
    return shape.length === rank ? shape : fail(`"model.${name}" must have ${rank} axes, found ${shape.length}`);
  };
  const has = (name: string): boolean => tensors.has(`model.${name}`);
  const matching = (pattern: RegExp): number[] => {
    const found = [...tensors.keys()].map((name) => pattern.exec(name)?.[1]).filter((text) => text !== undefined);
    return [...new Set(found.map(Number))];
  };

  const resolution = Math.max(...matching(/^model\.enc\.(\d+)x\1_conv\.weight$/));
  if (!Number.isFinite(resolution)) fail("there is no model.enc.NxN_conv.weight");
  const [stemChannels, inChannels] = shapeOf(`enc.${resolution}x${resolution}_conv.weight`, 4) as [number, number];
  if (inChannels < 1) fail("its images have no channels");
  const isSong = matching(/^model\.dec\.(\d+)x\1_aux_conv\.weight$/).length > 0;
  const [embeddingChannels, noiseChannels] = shapeOf("map_layer0.weight", 2) as [number, number];
  const modelChannels = isSong ? stemChannels : noiseChannels;

  const levels = [resolution, ...matching(/^model\.enc\.(\d+)x\1_down\.conv0\.weight$/).sort((a, b) => b - a)];
  if (levels.some((size, level) => size !== resolution >> level)) fail(`its resolutions are ${levels.join(", ")}`);
  const blocksAt = (size: number): number[] =>
    matching(new RegExp(`^model\\.enc\\.${size}x${size}_block(\\d+)\\.conv1\\.weight$`));
  const numBlocks = blocksAt(resolution).length;
  const channelMult = levels.map((size) => {
    const square = shapeOf(`enc.${size}x${size}_block0.conv1.weight`, 4);
    const width = square[0] as number;
    const places = [
      ...Array.from({ length: numBlocks }, (_, i) => `enc.${size}x${size}_block${i}`),
      ...Array.from({ length: numBlocks + 1 }, (_, i) => `dec.${size}x${size}_block${i}`),
    ];
    for (const place of places) {
      const shape = shapeOf(`${place}.conv1.weight`, 4);
      if (String(shape) !== String([width, width, 3, 3]))
        fail(`"model.${place}.conv1.weight" is [${shape.join(", ")}]`);
    }
    if (blocksAt(size).length !== numBlocks) fail(`it has ${blocksAt(size).length} blocks at ${size}x${size}`);
    return width / modelChannels;
  });
  if (!channelMult.every((multiple) => Number.isInteger(multiple) && multiple > 0)) {
    fail(`its widths are ${channelMult.map((multiple) => multiple * modelChannels).join(", ")}`);
  }

  const smallest = levels.at(-1) as number;
  const hasAuxiliary = (name: string): boolean => has(`enc.${resolution >> 1}x${resolution >> 1}_${name}.weight`);
  const outputName = isSong ? `dec.${resolution}x${resolution}_aux_conv.weight` : "out_conv.weight";
  const filter = `enc.${resolution >> 1}x${resolution >> 1}_down.conv0.resample_filter`;
  const [levelCount] = tensors.get("u")?.shape ?? [];
  if (levelCount !== undefined && levelCount < 3) fail(`its "u" has ${levelCount} noise levels`);
  return {
    family: isSong ? "SongUNet" : "DhariwalUNet",
    resolution,
    inChannels,
    outChannels: shapeOf(outputName, 4)[0] as number,
    modelChannels,
    channelMult,
    numBlocks,
    attnResolutions: levels.filter((size) => has(`enc.${size}x${size}_block0.qkv.weight`)),
    embeddingType: has("map_noise.freqs") ? "fourier" : "positional",
    encoderType: hasAuxiliary("aux_residual") ? "residual" : hasAuxiliary("aux_skip") ? "skip" : "standard",
    decoderType: smallest < resolution && has(`dec.${smallest}x${smallest}_aux_conv.weight`) ? "skip" : "standard",
    channelMultEmb: embeddingChannels / modelChannels,
    channelMultNoise: noiseChannels / modelChannels,
    filterLength: levels.length > 1 ? shapeOf(filter, 4)[3] : undefined,
    labelDim: has("map_label.weight") ? (shapeOf("map_label.weight", 2)[1] as number) : 0,
    augmentDim: has("map_augment.weight") ? (shapeOf("map_augment.weight", 2)[1] as number) : 0,
    timeSteps: levelCount === undefined ? undefined : levelCount - 1,
  };
}
