/** Which of a run's training states are kept: the latest, and fewer and fewer of the earlier ones. */

/**
 * The states that may go. Beyond the latest ones, so many stay that no two neighbours are further apart than the later of them is from
 * the latest state, unless none was written in between: their number grows with the logarithm of the run's length, and there is one
 * about as far back as one wants to go.
 *
 * @param images - the numbers of images after which states were written, in ascending order
 * @param latest - number of states that stay in any case
 * @returns a subset of `images`
 */
export function superfluousStates(images: readonly number[], latest: number): number[] {
  const superfluous: number[] = [];
  const last = images.at(-1) ?? 0;
  let before = 0;
  images.slice(0, Math.max(0, images.length - latest)).forEach((own, i) => {
    const next = images[i + 1] as number;
    if (next - before <= last - next) superfluous.push(own);
    else before = own;
  });
  return superfluous;
}
