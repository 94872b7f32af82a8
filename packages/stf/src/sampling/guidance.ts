import { scope } from "@stf/torch";
import type { Denoise } from "./sampler.js";

/**
 * Guidance away from a weaker denoiser: D_weak + weight (D - D_weak). The weaker one is unconditional in classifier-free guidance
 * (Ho and Salimans 2022), or is a smaller or less trained network in autoguidance (Karras et al. 2024).
 *
 * @param weight - 1 is `denoise` itself, larger values move further away from `weak`
 */
export function guided(denoise: Denoise, weak: Denoise, weight: number): Denoise {
  return (x, sigma) => scope(() => weak(x, sigma).lerp(denoise(x, sigma), weight));
}
