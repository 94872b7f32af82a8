/** How long something takes. */

/** Runs of which one is likely to be undisturbed. */
const RUNS = 3;
/** Seconds after which another run adds little. */
const ENOUGH = 1;

/**
 * Seconds of a call: the shortest of a few, because other programs delay some and speed up none, after one that warms up.
 *
 * @param now - a clock in seconds
 */
export function secondsOf(body: () => void, now: () => number): number {
  body();
  let quickest = Number.POSITIVE_INFINITY;
  for (let runs = 0, spent = 0; runs < RUNS && spent < ENOUGH; runs++) {
    const start = now();
    body();
    const seconds = now() - start;
    spent += seconds;
    quickest = Math.min(quickest, seconds);
  }
  return quickest;
}
