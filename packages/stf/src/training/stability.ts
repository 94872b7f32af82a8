/** What keeps a training going where numbers overflow: steps that are skipped, a lower learning rate, the scale of float16. */

import type { Precision } from "../networks/architectures.js";

/** The part of a training state that decides what happens where gradients are not finite. */
export interface Stability {
  /** Factor on the learning rate; each return to an earlier state lowers it. */
  rate: number;
  /** Number of steps in a row that were skipped, not counting those that only lowered the scale. */
  skipped: number;
  /**
   * Factor on the loss during the backward pass, which the gradients are divided by again: it keeps small gradients from vanishing in
   * float16. 1 in every other precision.
   */
  scale: number;
  /** Number of steps since the scale last changed. */
  steady: number;
}

/** The scale that float16 starts with, and the number of steps after which it doubles: those of PyTorch's GradScaler. */
const FIRST_SCALE = 2 ** 16;
const STEADY = 2000;
/** Larger ones overflow float32 before they help. */
const LARGEST_SCALE = 2 ** 24;

/** That of a new training. */
export function initialStability(precision: Precision): Stability {
  return { rate: 1, skipped: 0, scale: precision === "fp16" ? FIRST_SCALE : 1, steady: 0 };
}

/**
 * Takes account of a step: one that was skipped halves the scale of float16 or, if there is none left, counts towards divergence; the
 * scale doubles after 2000 steps that were not.
 *
 * @param isSkipped - whether the step's loss or gradients were not finite
 * @param isScaled - whether the scale adapts, as in float16
 */
export function countStep(stability: Stability, isSkipped: boolean, isScaled: boolean): void {
  if (!isSkipped) {
    stability.skipped = 0;
    if (!isScaled || ++stability.steady < STEADY) return;
    stability.scale = Math.min(2 * stability.scale, LARGEST_SCALE);
  } else if (stability.scale > 1) {
    stability.scale /= 2;
  } else {
    stability.skipped++;
  }
  stability.steady = 0;
}
