/** Quantities that depend on the clock, the number of images processed before a step. */

/**
 * Learning rate: rises linearly over the first `rampup` images, constant from then on. With a ramp, that of the
 * first step is 0.
 *
 * @param images - images processed before the step
 * @param options.peak - the constant rate
 * @param options.rampup - length of the ramp in images; 0 for none
 */
export function learningRate(images: number, { peak, rampup }: { peak: number; rampup: number }): number {
  return peak * (rampup > 0 ? Math.min(images / rampup, 1) : 1);
}

/**
 * Decay of the average over one step of `batch` images: 0.5^(batch / halflife). The halflife is cut to `rampupRatio` times
 * the images seen, so that early on the average does not remember the initial weights.
 *
 * @param images - images processed before the step
 * @param options.batch - images in the step
 * @param options.halflife - images after which the weight of an old value has halved
 * @param options.rampupRatio - null keeps the halflife unchanged
 * @returns from 0, at the first step with a ratio, to 1
 */
export function emaDecay(
  images: number,
  { batch, halflife, rampupRatio }: { batch: number; halflife: number; rampupRatio: number | null },
): number {
  const effective = rampupRatio === null ? halflife : Math.min(halflife, images * rampupRatio);
  return 0.5 ** (batch / Math.max(effective, 1e-8));
}
