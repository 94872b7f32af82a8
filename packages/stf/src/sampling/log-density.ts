/**
 * The density of images under a network: along the probability flow the log-density changes by the divergence of the flow
 * (Song et al. 2021, section 4.3 and appendix D.2).
 */

import { cat, enableGrad, grad, noGrad, scope, type Tensor, zeros } from "@stf/torch";
import { edmProcess, type Process } from "../processes/process.js";
import { integrate, type Tolerances } from "./runge-kutta.js";
import { type Denoise, estimateAt } from "./sampler.js";
import { edmSchedule } from "./steps.js";

/** Options of {@link logDensity}. */
export interface LikelihoodOptions extends Tolerances {
  /** The process; EDM's when left out. */
  readonly process?: Process;
  /** The time of the images. */
  readonly first?: number;
  /** The time at which the density is that of the noise. */
  readonly last?: number;
  /** Standard deviation of that noise; the process's own when left out. Published code uses 1 if the signal goes to 0. */
  readonly priorDeviation?: number;
  /** Called after every step with the completed fraction of the path, measured in the logarithm of the noise level. */
  readonly onStep?: (progress: number) => void;
}

/** The result of {@link logDensity}. */
export interface LogDensity {
  /** The natural logarithm of the density of every image under every probe, `[B, P]`, float64. */
  readonly logDensity: Tensor;
  /** The latents: the images at the end of the path, float64 `[B, C, H, W]`. */
  readonly latents: Tensor;
  /** Number of network evaluations. */
  readonly evaluations: number;
}

/** The slope of the images and, for each probe e, the estimate e' (d slope / d x) e of its divergence; `[B, D + P]`. */
function slopeAndDivergences(
  denoise: Denoise,
  process: Process,
  x: Tensor,
  times: Float64Array,
  probes: readonly Tensor[],
): Tensor {
  return scope(() => {
    const leaf = x.detach().requiresGrad_();
    const slope = enableGrad(() => estimateAt("velocity", denoise, process, leaf, times));
    const divergences = probes.map((probe, i) => {
      const retainGraph = i < probes.length - 1;
      const [product] = grad([slope], [leaf], { gradOutputs: [probe], retainGraph }) as [Tensor];
      return product.mul(probe).sum([1, 2, 3]).unsqueeze(1);
    });
    return cat([slope.detach().flatten(1), ...divergences], 1);
  });
}

/**
 * ln p(x) = ln N(x_T) + integral of the divergence of the probability flow, with the divergence estimated by Hutchinson probes (Hutchinson
 * 1989; Skilling 1989). Each probe has a distribution with mean 0 and covariance I, so that every estimate of ln p is unbiased up to
 * the solver's error.
 *
 * @param denoise - must be differentiable with respect to the images
 * @param images - float64 `[B, C, H, W]`
 * @param probes - float64, each of the shape of the images
 */
export function logDensity(
  denoise: Denoise,
  images: Tensor,
  probes: readonly Tensor[],
  {
    process = edmProcess,
    first = edmSchedule.sigmaMin,
    last = edmSchedule.sigmaMax,
    priorDeviation,
    onStep,
    ...tolerances
  }: LikelihoodOptions = {},
): LogDensity {
  const dimension = images.flatten(1).size(1);
  const pixelsOf = (state: Tensor): Tensor => state.narrow(1, 0, dimension).reshape(images.shape);
  const depth = (t: number): number => Math.log(process.sigma(t) / process.sigma(first));
  return noGrad(() =>
    scope(() => {
      const { dtype, device } = images;
      const start = cat([images.flatten(1), zeros([images.size(0), probes.length], { dtype, device })], 1);
      const { y, evaluations } = integrate(
        (times, state) => slopeAndDivergences(denoise, process, pixelsOf(state), times, probes),
        start,
        first,
        last,
        { ...tolerances, onStep: (times) => onStep?.(depth(Math.min(...times)) / depth(last)) },
      );
      const latents = pixelsOf(y);
      const variance = (priorDeviation ?? process.scale(last) * process.sigma(last)) ** 2;
      const prior = latents
        .square()
        .sum([1, 2, 3])
        .mul_(-0.5 / variance)
        .sub_(0.5 * dimension * Math.log(2 * Math.PI * variance));
      return {
        logDensity: y.narrow(1, dimension, probes.length).add(prior.unsqueeze(1)),
        latents: latents.contiguous(),
        evaluations,
      };
    }),
  );
}

/**
 * Bits per dimension of bytes, from a natural log-density.
 *
 * @param offset - a grey level is 2^-offset wide: 7 for bytes scaled to [-1, 1], 8 for [0, 1]
 */
export function bitsPerDimension(logDensity: number, dimension: number, offset = 7): number {
  return -logDensity / (dimension * Math.LN2) + offset;
}

/**
 * Bytes with uniform dequantization noise of one grey level, on [-1, 1]: their density bounds the probability of the bytes from below (Theis
 * et al. 2016).
 *
 * @param bytes - uint8
 * @param uniform - on [0, 1), of the shape of the bytes; its dtype is that of the result
 */
export function dequantize(bytes: Tensor, uniform: Tensor): Tensor {
  return scope(() =>
    uniform
      .add(bytes.to({ dtype: uniform.dtype }))
      .mul_(1 / 128)
      .sub_(1),
  );
}
