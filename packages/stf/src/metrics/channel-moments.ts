/** Mean and contrast of each channel: whether images are as bright and as varied as the data. */

import { scope, type Tensor } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { type Estimate, meanOf } from "./estimate.js";

/** Mean and contrast of a channel in grey levels, from 0 to 255. */
export interface ChannelMoments {
  /** Mean over all pixels of all images. */
  readonly mean: Estimate;
  /** Standard deviation over all pixels of all images, about that mean. */
  readonly contrast: Estimate;
}

/** Moments of samples minus those of the data, in grey levels. */
export interface ChannelDifference {
  /** Positive if the samples are brighter. */
  readonly mean: Estimate;
  /** Positive if the samples are more varied. */
  readonly contrast: Estimate;
}

/** Sums of an image's channel. */
interface ImageSums {
  /** Mean of its pixels. */
  readonly means: number[];
  /** Mean of their squares. */
  readonly squares: number[];
}

/**
 * Collects the channels' moments image by image. The errors take images, not pixels, as independent.
 */
export class ChannelAccumulator {
  readonly #channels: ImageSums[];

  /** @param channels - C */
  constructor(channels: number) {
    this.#channels = Array.from({ length: channels }, () => ({ means: [], squares: [] }));
  }

  /** Images so far. */
  get count(): number {
    return this.#channels[0]?.means.length ?? 0;
  }

  /**
   * @param images - uint8 `[B, C, H, W]`
   * @throws InputError for another number of channels.
   */
  add(images: Tensor): void {
    const [batch, channels] = images.shape as [number, number];
    if (images.rank !== 4 || channels !== this.#channels.length) {
      const wanted = `[images, ${this.#channels.length}, height, width]`;
      throw new InputError(`images must be ${wanted}, found [${images.shape.join(", ")}]`);
    }
    scope(() => {
      const pixels = images.flatten(2).double();
      const [means, squares] = [pixels.mean([2]), pixels.square().mean([2])].map((x) => x.toFloat64Array());
      this.#channels.forEach((sums, channel) => {
        for (let image = 0; image < batch; image++) {
          sums.means.push(means?.[image * channels + channel] as number);
          sums.squares.push(squares?.[image * channels + channel] as number);
        }
      });
    });
  }

  /** Adds images that were collected elsewhere. */
  merge(other: ChannelAccumulator): void {
    if (other.#channels.length !== this.#channels.length) {
      throw new InputError(`images of ${other.#channels.length} channels cannot join ${this.#channels.length}`);
    }
    this.#channels.forEach((sums, channel) => {
      const added = other.#channels[channel] as ImageSums;
      for (const value of added.means) sums.means.push(value);
      for (const value of added.squares) sums.squares.push(value);
    });
  }

  /**
   * The moments of each channel. Errors are undefined for one image.
   *
   * @throws InputError without images.
   */
  moments(): ChannelMoments[] {
    if (this.count === 0) throw new InputError("mean and contrast need at least 1 image, found none");
    return this.#channels.map(({ means, squares }) => {
      const mean = meanOf(means);
      // The variance about the overall mean is a mean over images, too.
      const variances = means.map((own, image) => (squares[image] as number) - 2 * mean.value * own + mean.value ** 2);
      return { mean, contrast: rootOf(meanOf(variances)) };
    });
  }
}

/** The square root of an estimate, with the error to first order. */
function rootOf({ value, error }: Estimate): Estimate {
  const root = Math.sqrt(Math.max(0, value));
  return { value: root, ...(error !== undefined && { error: root > 0 ? error / (2 * root) : 0 }) };
}

function difference(a: Estimate, b: Estimate): Estimate {
  const value = a.value - b.value;
  if (a.error === undefined || b.error === undefined) return { value };
  return { value, error: Math.hypot(a.error, b.error) };
}

/**
 * The moments of samples minus those of the data, channel by channel, with the errors of both.
 *
 * @throws InputError when the numbers of channels differ.
 */
export function compareChannels(
  samples: readonly ChannelMoments[],
  data: readonly ChannelMoments[],
): ChannelDifference[] {
  if (samples.length !== data.length) {
    throw new InputError(`images of ${samples.length} channels cannot be compared with images of ${data.length}`);
  }
  return samples.map(({ mean, contrast }, channel) => {
    const other = data[channel] as ChannelMoments;
    return { mean: difference(mean, other.mean), contrast: difference(contrast, other.contrast) };
  });
}
