/** Steps at a fixed time that bring images closer to their distribution at that time (Song et al. 2021, appendix G). */

import { scope, type Tensor } from "@stf/torch";
import type { DiscreteProcess } from "../processes/process.js";

/** Input of a corrector. */
export interface CorrectorState {
  /** The process being sampled. */
  readonly process: DiscreteProcess;
  /** Scaled noisy images, `[B, C, H, W]`. */
  readonly x: Tensor;
  /** Their score. */
  readonly score: Tensor;
  /** Standard normal noise, shaped like x. */
  readonly z: Tensor;
  /** Their time. */
  readonly t: number;
  /** Factor on the step size: 1, or less if the chain's step shrinks the image. */
  readonly alpha: number;
  /** Signal-to-noise ratio of a step. */
  readonly snr: number;
  /** Whether each image has its own step size, or the batch has one, as published. */
  readonly perImage: boolean;
}

/** The step size epsilon: one number, or `[B, 1, 1, 1]`. */
export type Corrector = (state: CorrectorState) => number | Tensor;

/** The norms of the images as vectors, `[B, 1, 1, 1]`, or their mean. */
function lengths(images: Tensor, perImage: boolean): Tensor {
  const own = images.square().sum([1, 2, 3], true).sqrt();
  return perImage ? own : own.mean();
}

/** Langevin dynamics, epsilon = 2 alpha (snr ||z|| / ||score||)². */
const langevin: Corrector = ({ score, z, alpha, snr, perImage }) =>
  scope(() =>
    lengths(z, perImage)
      .div_(lengths(score, perImage))
      .mul_(snr)
      .square_()
      .mul_(2 * alpha),
  );

/** Annealed Langevin dynamics (Song and Ermon 2019), epsilon = 2 alpha (snr std)². */
const annealedLangevin: Corrector = ({ process, t, alpha, snr }) =>
  2 * alpha * (snr * process.scale(t) * process.sigma(t)) ** 2;

/** The name of a corrector; "ald" is annealed Langevin dynamics. */
export type CorrectorName = "langevin" | "ald" | "none";

/** The correctors by name. */
export const correctors: Readonly<Record<CorrectorName, Corrector | undefined>> = {
  langevin,
  ald: annealedLangevin,
  none: undefined,
};
