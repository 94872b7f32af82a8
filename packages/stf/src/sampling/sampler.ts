import type { Tensor } from "@stf/torch";

/** The denoiser at one noise level: float64 images in and out, `[B, C, H, W]`. */
export type Denoise = (x: Tensor, sigma: number) => Tensor;

/** What a sampler tells after every step. */
export interface StepReport {
  /** Index of the step that was just taken, from 0 on. */
  readonly step: number;
  /** Number of all steps. */
  readonly steps: number;
  /** Images after the step; valid during the call only. */
  readonly x: Tensor;
}

/** What every sampler takes besides the steps. */
export interface SamplerOptions {
  /** Standard normal noise shaped like its argument. Needed by samplers that add noise. */
  readonly noise?: (like: Tensor) => Tensor;
  /** Called after every step. */
  readonly onStep?: (report: StepReport) => void;
}

/** A method that turns noise into images. */
export interface Sampler<Options extends SamplerOptions = SamplerOptions> {
  /** Short name, such as "heun". */
  readonly name: string;
  /** Order of convergence of the deterministic part, in the step size. */
  readonly order: number;
  /**
   * @param x - images at noise level steps[0], float64 `[B, C, H, W]`; left as they are
   * @param steps - descending noise levels, of which the last is 0, as {@link karrasSteps} makes them
   * @returns images at noise level 0, float64 `[B, C, H, W]`
   */
  sample(denoise: Denoise, x: Tensor, steps: readonly number[], options?: Options): Tensor;
}
