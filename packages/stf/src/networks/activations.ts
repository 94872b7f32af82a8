/** The activations that a training step keeps for the gradient, by counting blocks, without making tensors. */

import type { ImageShape } from "../common/image-shape.js";
import type { Architecture, NetworkSize } from "./architectures.js";

/** The parts of a network's configuration that determine its activations. */
export interface ActivationConfig extends NetworkSize {
  /** The network family. */
  readonly arch: Architecture;
  /** Shape of the images. */
  readonly shape: ImageShape;
}

/** A residual block: widths and areas of its input and output. */
interface Block {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly inArea: number;
  readonly outArea: number;
  readonly attends: boolean;
  /** Channels of its input that are a copy of the previous block's output, which is also kept until the end of the step. */
  readonly copied: number;
}

/** The blocks of a U-Net in order, including the two in the middle and the decoder. */
function blocksOf({ shape, modelChannels, channelMult, numBlocks, attnResolutions }: ActivationConfig): Block[] {
  const levels = channelMult.map((multiple, level) => {
    const [height, width] = [shape.height >> level, shape.width >> level];
    return { channels: modelChannels * multiple, area: height * width, attends: attnResolutions.includes(height) };
  });
  const blocks: Block[] = [];
  const skips = [modelChannels];
  let channels = modelChannels;
  const add = (width: number, inArea: number, outArea: number, attends: boolean, skip = 0): void => {
    const copied = skip > 0 ? channels : 0;
    blocks.push({ inChannels: channels + skip, outChannels: width, inArea, outArea, attends, copied });
    channels = width;
  };
  levels.forEach(({ channels: width, area, attends }, level) => {
    const above = levels[level - 1];
    if (above) {
      add(channels, above.area, area, false);
      skips.push(channels);
    }
    for (let i = 0; i < numBlocks; i++) {
      add(width, area, area, attends);
      skips.push(width);
    }
  });
  for (const [level, { channels: width, area, attends }] of [...levels.entries()].reverse()) {
    const below = levels[level + 1];
    if (below) {
      add(channels, below.area, area, false);
    } else {
      add(channels, area, area, true);
      add(channels, area, area, false);
    }
    for (let i = 0; i <= numBlocks; i++) {
      add(width, area, area, attends && i === numBlocks, skips.pop());
    }
  }
  return blocks;
}

/** Values that a block keeps besides its input, for the backward pass of its normalisations and convolutions. */
function keptInside({ inChannels, outChannels, inArea, outArea, attends }: Block): number {
  const resampled = inArea === outArea ? 0 : inChannels * Math.max(inArea, outArea);
  const attention = attends ? 6 * outChannels * outArea : 0;
  return inChannels * inArea + 2 * outChannels * outArea + resampled + attention;
}

/**
 * Factors for allocator overhead and intermediate results, measured on U-Nets from 0.2 to 56 million parameters. A recomputation has few
 * tensors at a time; the filters of ncsnpp make more.
 */
const SLACK = { training: 1.3, recomputation: 1.05, drawing: 1.5, filtered: 2 };

/**
 * Estimated values that a training step keeps per image in the forward pass: the inputs of all blocks, the values inside
 * them, and the gradients in the largest block.
 *
 * @param recompute - whether the values inside a block are recomputed instead of kept
 */
export function activationsPerImage(config: ActivationConfig, recompute = false): number {
  const { arch, shape, modelChannels, numBlocks } = config;
  const values = 8 * shape.channels * shape.height * shape.width;
  if (arch === "mlp") return SLACK.training * (values + 3 * modelChannels * numBlocks);
  const blocks = blocksOf(config);
  const inputs = blocks.reduce((sum, { inChannels, inArea, copied }) => sum + (inChannels + copied) * inArea, 0);
  const inside = blocks.map(keptInside);
  const largest = Math.max(...inside);
  // The input of a recomputed block is kept together with its gradient.
  const kept = recompute ? inputs + largest : inside.reduce((sum, count) => sum + count, 0);
  return (recompute ? SLACK.recomputation : SLACK.training) * (values + inputs + kept + largest);
}

/** Estimated values per image that drawing needs at once: all skips, and what the largest block works with. */
export function drawnPerImage(config: ActivationConfig): number {
  const { arch, shape, modelChannels, numBlocks } = config;
  const values = 8 * shape.channels * shape.height * shape.width;
  if (arch === "mlp") return SLACK.drawing * (values + 3 * modelChannels);
  const blocks = blocksOf(config);
  const encoder = blocks.slice(0, config.channelMult.length * (numBlocks + 1) - 1);
  const stem = modelChannels * shape.height * shape.width;
  const skips = encoder.reduce((sum, { outChannels, outArea }) => sum + outChannels * outArea, stem);
  const working = blocks.map(
    ({ inChannels, inArea, outChannels, outArea }) =>
      2 * inChannels * Math.max(inArea, outArea) + 5 * outChannels * outArea,
  );
  return (arch === "ncsnpp" ? SLACK.filtered : SLACK.drawing) * (values + skips + Math.max(...working));
}
