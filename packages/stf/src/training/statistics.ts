import type { Statistic, StatisticName } from "../run/statistics.js";

/** Accumulates count, mean and standard deviation of named values until they are taken. */
export class Statistics<Name extends string = StatisticName> {
  readonly #moments = new Map<Name, { num: number; sum: number; squares: number }>();

  /** Adds `num` values with the given mean and mean square; one value when the rest is left out. */
  add(name: Name, mean: number, meanSquare = mean * mean, num = 1): void {
    const moments = this.#moments.get(name) ?? { num: 0, sum: 0, squares: 0 };
    moments.num += num;
    moments.sum += mean * num;
    moments.squares += meanSquare * num;
    this.#moments.set(name, moments);
  }

  /** The mean of a name's values since the last `take`; NaN when there are none. */
  mean(name: Name): number {
    const moments = this.#moments.get(name);
    return moments ? moments.sum / moments.num : Number.NaN;
  }

  /** Returns everything accumulated, and starts over. */
  take(): Partial<Record<Name, Statistic>> {
    const result: Partial<Record<Name, Statistic>> = {};
    for (const [name, { num, sum, squares }] of this.#moments) {
      const mean = sum / num;
      result[name] = { num, mean, std: num > 1 ? Math.sqrt(Math.max(squares / num - mean * mean, 0)) : 0 };
    }
    this.#moments.clear();
    return result;
  }
}
