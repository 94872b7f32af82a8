import { scope, type Tensor } from "@stf/torch";
import { column } from "../column.js";
import { affineForm, type Output } from "../processes/outputs.js";
import type { Process } from "../processes/process.js";

/** One number for all images of a batch, or one per image, `[B]`. */
export type PerImage = number | Float64Array;

/**
 * The denoiser D(x; sigma): images in and out, `[B, C, H, W]`, float64.
 *
 * @param x - unscaled noisy images
 * @param sigma - their noise level
 */
export type Denoise = (x: Tensor, sigma: PerImage) => Tensor;

/** The path from noise to images: times of a process. */
export interface TimeSteps<P extends Process = Process> {
  /** The process that the times refer to. */
  readonly process: P;
  /** At least two, descending. At 0, where a list usually ends, images are clean. */
  readonly times: readonly number[];
}

/** Progress of a sampler after each step. */
export interface StepReport {
  /** Index of the step just taken, from 0. */
  readonly step: number;
  /** The completed fraction of the path, above 0 and up to 1. */
  readonly progress: number;
  /** Scaled noisy images after the step; valid only during the call. */
  readonly x: Tensor;
  /** Their time, or the largest of their times. */
  readonly time: number;
}

/** Options of every sampler. */
export interface SamplerOptions {
  /** Standard normal noise shaped like its argument. Needed by samplers that add noise. */
  readonly noise?: (like: Tensor) => Tensor;
  /** Called after every step. */
  readonly onStep?: (report: StepReport) => void;
}

/** A method that turns noise into images. */
export interface Sampler<Options extends SamplerOptions = SamplerOptions, P extends Process = Process> {
  /** Short name, such as "heun". */
  readonly name: string;
  /** Order of convergence in the step size; of the distribution of the images, for a method that adds noise. */
  readonly order: number;
  /**
   * @param x - x_t = s (y + sigma eps) at the first of the times, float64 `[B, C, H, W]`; not modified
   * @returns images at the last of the times, float64 `[B, C, H, W]`
   */
  sample(denoise: Denoise, x: Tensor, steps: TimeSteps<P>, options?: Options): Tensor;
}

/** The numbers of `count` images. */
export function forEachImage(value: PerImage, count: number): Float64Array {
  return typeof value === "number" ? new Float64Array(count).fill(value) : value;
}

/** @throws TypeError without noise, because the images would have the wrong distribution. */
export function requireNoise(
  noise: SamplerOptions["noise"],
  method: string,
): asserts noise is NonNullable<typeof noise> {
  if (!noise) throw new TypeError(`${method} adds noise and needs the option noise`);
}

/** A function of each image's time, in a form that multiplies images. */
export function factorOf(value: (t: number) => number, times: PerImage, like: Tensor): number | Tensor {
  if (typeof times === "number") return value(times);
  return column(times.map(value), like);
}

const mapped = (times: PerImage, f: (t: number) => number): PerImage =>
  typeof times === "number" ? f(times) : times.map(f);

/** D of scaled noisy images x_t. */
export function denoiseAt(denoise: Denoise, { scale, sigma }: Process, x: Tensor, t: PerImage): Tensor {
  return scope(() => {
    const isScaled = typeof t === "number" ? scale(t) !== 1 : t.some((time) => scale(time) !== 1);
    const unscaled = isScaled ? x.div(factorOf(scale, t, x)) : x;
    return denoise(unscaled, mapped(t, sigma));
  });
}

/**
 * An estimate at scaled noisy images x_t, computed from the denoiser: the "score" of reverse diffusion, or the "velocity"
 * dx/dt of the probability flow (Karras et al. 2022, equations 3 and 4).
 */
export function estimateAt(output: Output, denoise: Denoise, process: Process, x: Tensor, t: PerImage): Tensor {
  return scope(() => {
    const denoised = denoiseAt(denoise, process, x, t);
    const coefficient = (name: "offset" | "factor"): number | Tensor =>
      factorOf((time) => affineForm(output, process, time)[name], t, x);
    return x.mul(coefficient("offset")).add_(denoised.mul(coefficient("factor")));
  });
}

/**
 * Steps through the times, freeing intermediate images.
 *
 * @param step - computes the images at `tNext` from those at `t`
 */
export function walk(
  start: Tensor,
  times: readonly number[],
  step: (x: Tensor, t: number, tNext: number, index: number) => Tensor,
  onStep?: SamplerOptions["onStep"],
): Tensor {
  const count = times.length - 1;
  return scope(() => {
    let x = start;
    for (let i = 0; i < count; i++) {
      const [t, tNext] = [times[i] as number, times[i + 1] as number];
      const before = x;
      x = scope(() => step(before, t, tNext, i));
      if (before !== start && before !== x) before.dispose();
      onStep?.({ step: i, progress: (i + 1) / count, x, time: tNext });
    }
    return x;
  });
}
