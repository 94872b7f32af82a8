/** What a training says about itself on the way. */

import { formatDuration } from "../common/text.js";
import { isDiverged } from "../run/history.js";
import type { Progress } from "../training/loop.js";

const formatLoss = (loss: number): string => (Math.abs(loss) < 1e5 ? loss.toFixed(4) : loss.toExponential(4));

/** "12.8 kimg  loss 0.2113  excess 0.0412  152.0 images/s  1m 24s elapsed, 4m 10s left" */
export function formatProgress(progress: Progress): string {
  const { images, loss, excess, heldOut, imagesPerSecond, elapsed, remaining } = progress;
  return [
    `${(images / 1000).toFixed(images < 10_000 ? 3 : 1).padStart(7)} kimg`,
    `loss ${formatLoss(loss)}`,
    ...(excess === undefined ? [] : [`excess ${formatLoss(excess)}`]),
    ...(heldOut === undefined ? [] : [`held out ${formatLoss(heldOut)}`]),
    `${imagesPerSecond.toFixed(imagesPerSecond < 10 ? 2 : 1)} images/s`,
    `${formatDuration(elapsed)} elapsed, ${formatDuration(remaining)} left`,
  ].join("  ");
}

/** A further note on a loss that has risen already needs one that is larger by this factor. */
const WORSE = 10;
/** A loss of at most this factor of the lowest one counts as recovered. */
const RECOVERED = 2;

/** Makes the lines for everything at a tick that asks for attention. A loss that has risen is noted again only when it is much larger. */
export function tickNotes(): (progress: Progress) => string[] {
  let noted = 0;
  return ({ loss, lowestLoss, steps, skipped }) => {
    const notes = skipped > 0 ? [`${skipped} of ${steps} steps were skipped: their gradients were not finite`] : [];
    if (loss <= RECOVERED * lowestLoss) noted = 0;
    if (isDiverged(loss, lowestLoss) && loss > WORSE * noted) {
      noted = loss;
      notes.push(
        `the loss has risen from ${lowestLoss.toPrecision(3)} to ${loss.toPrecision(3)}: training diverges; stop it, and resume from an earlier state with a lower 'lr'`,
      );
    }
    return notes;
  };
}
