/**
 * Sampling of images with a known part: pixels, for inpainting, or the grey values, for colouring. With P the orthogonal
 * projection onto the part, the denoiser D + P (y - D) is exact in the part, and estimates the rest from the network's input:
 * the part of y at the current noise level. With it any sampler takes the part to y, along noisy versions of y, and the rest
 * follows. Song et al. (2021, appendix I) instead insert noisy versions of y after every step, which needs fresh noise and
 * thus a stochastic sampler.
 */

import { scope, type Tensor } from "@stf/torch";
import type { Denoise } from "./sampler.js";

/** A part of images, and its known values. */
export interface KnownPart {
  /** Images with the known values, float64, `[1, C, H, W]` or one per image. */
  readonly image: Tensor;
  /** P: projects images `[B, C, H, W]` onto the part; a new tensor of that shape. */
  project(images: Tensor): Tensor;
}

/** @param mask - 1 for known pixels, 0 for pixels to draw; `[1, 1, H, W]` */
export function knownPixels(image: Tensor, mask: Tensor): KnownPart {
  return { image, project: (images) => images.mul(mask) };
}

/** The mean of the channels is known. */
export function knownGrey(image: Tensor): KnownPart {
  return { image, project: (images) => scope(() => images.mean([1], true).expand(images.shape).contiguous()) };
}

/** The images with the part set to its known values. */
export function withPart(images: Tensor, { image, project }: KnownPart): Tensor {
  return scope(() => images.add(project(image.sub(images))));
}

/** The denoiser of images with a known part. */
export function denoiseKnowing(denoise: Denoise, part: KnownPart): Denoise {
  return (x, sigma) => scope(() => withPart(denoise(x, sigma), part));
}
