/**
 * Drawing images of which a part is known: pixels, for inpainting, or the grey values, for colouring. Where P is the orthogonal
 * projection on the part, the denoiser D + P (y - D) is exact in the part, and takes the rest from what the network sees: the
 * part of y under the noise of the moment. With it every sampler brings the part to y, along noisy versions of y, and the rest
 * with it. Song et al. (2021, appendix I) put noisy versions of y there after every step, to the same end, which asks for fresh
 * noise and so for a sampler that draws some.
 */

import { scope, type Tensor } from "@stf/torch";
import type { Denoise } from "./sampler.js";

/** A part of images, and what it must be. */
export interface KnownPart {
  /** What has the part, float64 `[1, C, H, W]` or one for each. */
  readonly image: Tensor;
  /** P: the part of images `[B, C, H, W]`, as a new tensor of that shape. */
  project(images: Tensor): Tensor;
}

/** @param mask - 1 where pixels are known, 0 where they are to be drawn; `[1, 1, H, W]` */
export function knownPixels(image: Tensor, mask: Tensor): KnownPart {
  return { image, project: (images) => images.mul(mask) };
}

/** The mean of the channels is known. */
export function knownGrey(image: Tensor): KnownPart {
  return { image, project: (images) => scope(() => images.mean([1], true).expand(images.shape).contiguous()) };
}

/** The images with the part put to what it must be. */
export function withPart(images: Tensor, { image, project }: KnownPart): Tensor {
  return scope(() => images.add(project(image.sub(images))));
}

/** The denoiser of images with a known part. */
export function denoiseKnowing(denoise: Denoise, part: KnownPart): Denoise {
  return (x, sigma) => scope(() => withPart(denoise(x, sigma), part));
}
