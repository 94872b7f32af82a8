/** What a training says about itself on the way. */

import { formatDuration } from "../common/text.js";
import { isDiverged } from "../run/history.js";
import type { Progress } from "../training/loop.js";

/** "12.8 kimg  loss 0.2113  excess 0.0412  152.0 images/s  1m 24s elapsed, 4m 10s left" */
export function formatProgress(progress: Progress): string {
  const { images, loss, excess, heldOut, imagesPerSecond, elapsed, remaining } = progress;
  return [
    `${(images / 1000).toFixed(images < 10_000 ? 3 : 1).padStart(7)} kimg`,
    `loss ${loss.toFixed(4)}`,
    ...(excess === undefined ? [] : [`excess ${excess.toFixed(4)}`]),
    ...(heldOut === undefined ? [] : [`held out ${heldOut.toFixed(4)}`]),
    `${imagesPerSecond.toFixed(imagesPerSecond < 10 ? 2 : 1)} images/s`,
    `${formatDuration(elapsed)} elapsed, ${formatDuration(remaining)} left`,
  ].join("  ");
}

/** A line for everything at a tick that asks for attention. */
export function notesOnTick({ loss, lowestLoss, steps, skipped }: Progress): string[] {
  return [
    ...(skipped > 0 ? [`${skipped} of ${steps} steps were skipped: their gradients were not finite`] : []),
    ...(isDiverged(loss, lowestLoss)
      ? [
          `the loss has risen from ${lowestLoss.toPrecision(3)} to ${loss.toPrecision(3)}: training diverges; stop it, and resume from an earlier state with a lower 'lr'`,
        ]
      : []),
  ];
}
