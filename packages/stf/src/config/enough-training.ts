/** How much training makes images recognisable, and how long that takes: a rule of thumb for advice. */

/** Images of training below which a network draws little more than noise. */
const FEWEST = 5000;
/** Images of training after which most of what a small network draws is recognisable. */
export const RECOGNISABLE = 4 * FEWEST;

/** Times that people choose, in minutes; beyond a day, whole days. */
const usualMinutes = [1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1440] as const;

/** Whether so many images of training are too few for recognisable images. */
export const isTooShort = (images: number): boolean => images < FEWEST;

/**
 * A time limit within which images become recognisable, in minutes. It is rounded up to one that people choose, since speed
 * varies with everything else that the machine does. 0 if no speed is known.
 *
 * @param imagesPerSecond - speed of the training
 * @param done - images that were trained on before
 */
export function enoughMinutes(imagesPerSecond: number, done = 0): number {
  const minutes = Math.max(0, RECOGNISABLE - done) / imagesPerSecond / 60;
  if (!Number.isFinite(minutes)) return 0;
  return usualMinutes.find((usual) => usual >= minutes) ?? 1440 * Math.ceil(minutes / 1440);
}
