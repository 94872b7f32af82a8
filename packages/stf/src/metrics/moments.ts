/** Means and scatter matrices of several groups of vectors at once, batch by batch. */

import { cat, keep, scope, type Tensor, zeros } from "@stf/torch";

/** What is summed over `count` items, each of which is G vectors of k values. */
export interface Moments {
  readonly count: number;
  /** float64 `[G, k]` */
  readonly mean: Tensor;
  /** sum (f - mean) (f - mean)^T, float64 `[G, k, k]` */
  readonly scatter: Tensor;
}

/**
 * Sums up moments. A batch is centred on its own mean, and the shift between the means is accounted for as in Chan, Golub and
 * LeVeque 1983, equation 2.1, with which nothing is lost when means are large compared with the spread. The shift
 * is one further row of the batch, so that an update is one product of matrices.
 */
export class RunningMoments {
  #moments: Moments | undefined;

  /** Undefined before the first item. Owned by this object. */
  get moments(): Moments | undefined {
    return this.#moments;
  }

  get count(): number {
    return this.#moments?.count ?? 0;
  }

  /** @param batch - floating point `[G, B, k]`; sums are kept on its device */
  add(batch: Tensor): void {
    const [groups, items, size] = batch.shape as [number, number, number];
    if (items === 0) return;
    this.#moments ??= emptyMoments(groups, size, batch);
    const { count, mean, scatter } = this.#moments;
    scope(() => {
      const values = batch.double();
      const own = values.mean([1]);
      const shift = own.sub(mean);
      const total = count + items;
      const jump = shift.mul(Math.sqrt((count * items) / total)).unsqueeze(1);
      const rows = cat([values.sub(own.unsqueeze(1)), jump], 1);
      scatter.baddbmm_(rows.transpose(1, 2), rows);
      mean.add_(shift.mul_(items / total));
    });
    this.#moments = { count: count + items, mean, scatter };
  }

  /** Adds what was summed elsewhere over other items. */
  merge(other: Moments): void {
    const [groups, size] = other.mean.shape as [number, number];
    this.#moments ??= emptyMoments(groups, size, other.mean);
    const { count, mean, scatter } = this.#moments;
    const total = count + other.count;
    if (other.count === 0) return;
    scope(() => {
      const shift = other.mean.to({ device: mean.device }).sub(mean);
      const jump = shift.mul(Math.sqrt((count * other.count) / total)).unsqueeze(1);
      scatter.add_(other.scatter.to({ device: mean.device })).baddbmm_(jump.transpose(1, 2), jump);
      mean.add_(shift.mul_(other.count / total));
    });
    this.#moments = { count: total, mean, scatter };
  }

  dispose(): void {
    this.#moments?.mean.dispose();
    this.#moments?.scatter.dispose();
    this.#moments = undefined;
  }
}

function emptyMoments(groups: number, size: number, { device }: Tensor): Moments {
  const options = { dtype: "float64", device } as const;
  return {
    count: 0,
    mean: keep(zeros([groups, size], options)),
    scatter: keep(zeros([groups, size, size], options)),
  };
}
