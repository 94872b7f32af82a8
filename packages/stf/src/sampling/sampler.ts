import type { Tensor } from "@stf/torch";

/** The denoiser at one noise level: float64 images in and out, `[B, C, H, W]`. */
export type Denoise = (x: Tensor, sigma: number) => Tensor;

export interface StepReport {
  /** Index of the step that was just taken. */
  readonly step: number;
  readonly steps: number;
  /** Images after the step; valid during the call only. */
  readonly x: Tensor;
}

export interface SamplerOptions {
  /** Standard normal noise shaped like its argument. Needed by samplers that add noise. */
  readonly noise?: (like: Tensor) => Tensor;
  readonly onStep?: (report: StepReport) => void;
}

/**
 * Turns noise into images: from x at noise level steps[0], float64 `[B, C, H, W]`, along the descending levels to
 * steps.at(-1) = 0.
 */
export interface Sampler<Options extends SamplerOptions = SamplerOptions> {
  readonly name: string;
  /** Order of convergence of the deterministic part, in the step size. */
  readonly order: number;
  sample(denoise: Denoise, x: Tensor, steps: readonly number[], options?: Options): Tensor;
}
