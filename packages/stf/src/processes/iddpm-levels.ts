/** The constants of {@link iddpmLevels}. */
export interface IddpmConstants {
  /** C_1: ratios of neighbouring abar are at least this. */
  readonly c1?: number;
  /** C_2: keeps abar below 1. */
  readonly c2?: number;
}

/**
 * The noise levels of improved DDPM (Nichol and Dhariwal 2021, in the form of Karras et al. 2022, table 1): u_M = 0 and u_(j-1) =
 * sqrt((u_j² + 1) / max(abar_(j-1) / abar_j, C_1) - 1) with abar_j = sin²(pi/2 j / M / (C_2 + 1)). As in the published code, abar
 * is rounded to float32 at every use, which affects the smallest levels.
 *
 * @param round - applied to the result of every operation on the levels
 * @returns `timeSteps + 1` levels, descending to 0
 */
export function iddpmLevels(
  timeSteps: number,
  round: (value: number) => number = (value) => value,
  { c1 = 0.001, c2 = 0.008 }: IddpmConstants = {},
): Float64Array {
  const { fround } = Math;
  const alphaBar = (j: number): number => {
    const angle = fround(fround(fround(fround(0.5 * Math.PI) * j) / timeSteps) / fround(c2 + 1));
    return fround(fround(Math.sin(angle)) ** 2);
  };
  const levels = new Float64Array(timeSteps + 1);
  for (let j = timeSteps; j > 0; j--) {
    const ratio = Math.max(fround(alphaBar(j - 1) / alphaBar(j)), fround(c1));
    const total = round(round((levels[j] as number) ** 2) + 1);
    levels[j - 1] = round(Math.sqrt(round(round(total / ratio) - 1)));
  }
  return levels;
}
