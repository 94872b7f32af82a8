/**
 * One pass of expectation-maximization over images: their responsibilities under the present mixture, and the mixture that
 * they lead to. The covariances are only multiplied with the present directions, a few columns each, which is a step of
 * subspace iteration.
 */

import { noGrad, scope, stack, type Tensor, tensor, zeros } from "@stf/torch";
import type { Bank } from "../data/bank.js";
import { LowRankMixture, type MixtureParameters } from "./low-rank-mixture.js";
import { nystromDirections } from "./principal-directions.js";

/** What a pass needs to know. */
export interface PassSettings {
  /** The noise level at which components are told apart. */
  readonly sigma: number;
  /** Components with fewer images are dropped. */
  readonly leastImages: number;
  /** Most directions of a component. */
  readonly rank: number;
  /** Images, by index, in the order in which they are summed up. */
  readonly items: Int32Array;
}

/** The result of a pass. */
export interface Pass {
  readonly mixture: LowRankMixture;
  /** The mean over the images of a lower bound of E_eps ln p(y + sigma eps) under the mixture before the pass, in nats. */
  readonly bound: number;
  /** Number of components that were dropped. */
  readonly dropped: number;
}

/** Values that are processed at a time, and most images. */
const VALUES_AT_ONCE = 2 ** 22;
const IMAGES_AT_ONCE = 2048;

/**
 * Smaller probabilities of components count as 0: most of the images belong to one component, and cost one product instead
 * of K.
 */
const LEAST_PROBABILITY = 1e-6;

/** A direction is estimated from this many images at least; with fewer, it would describe these and not their kind. */
const IMAGES_PER_DIRECTION = 4;

/** Calls `use` with the values of some items of a bank, as many at a time as fit in memory, float32 `[n, D]`. */
export function forEachChunk(bank: Bank, items: Int32Array, use: (values: Tensor) => void): void {
  const step = Math.max(1, Math.min(IMAGES_AT_ONCE, Math.floor(VALUES_AT_ONCE / bank.dimension)));
  for (let first = 0; first < items.length; first += step) {
    scope(() => use(bank.toValues(bank.gather(items.subarray(first, first + step)))));
  }
}

/** Weighted sums over images of x = y - origin, one for each of K components, all float64. */
interface Sums {
  /** sum w, `[K]` */
  readonly counts: Tensor;
  /** sum w x, `[K, D]` */
  readonly firsts: Tensor;
  /** sum w |x|², `[K]` */
  readonly squares: Tensor;
  /** sum w x x^T Q, `[K, D, q]` */
  readonly products: Tensor;
}

/** Probabilities without negligible ones. */
function withoutTraces(probabilities: Tensor): Tensor {
  return scope(() => {
    const kept = probabilities.mul(probabilities.gt(LEAST_PROBABILITY));
    return kept.div(kept.sum(1, true));
  });
}

function addChunk({ counts, firsts, squares, products }: Sums, x: Tensor, probabilities: Tensor, bases: Tensor): void {
  const exact = x.double();
  const weights = probabilities.t();
  counts.add_(weights.sum(1));
  firsts.add_(weights.mm(exact));
  squares.add_(weights.mv(exact.square().sum(1)));
  for (let m = 0; m < counts.numel; m++) {
    scope(() => {
      const own = weights.select(0, m);
      const members = own.nonzero().flatten();
      if (members.numel === 0) return;
      const rows = x.indexSelect(0, members);
      const weighted = rows.mul(own.indexSelect(0, members).float().unsqueeze(1));
      products.select(0, m).add_(weighted.t().mm(rows.mm(bases.select(0, m).t())));
    });
  }
}

/** One Gaussian of those that a pass leads to. */
interface Component {
  readonly count: number;
  /** float64 `[D]` */
  readonly mean: Tensor;
  /** float64 `[r, D]` */
  readonly directions: Tensor;
  /** `[r]` */
  readonly variances: Float64Array;
  readonly rest: number;
}

/** The Gaussian with the mean and covariance of component m's images, at most `rank` directions of it. */
function componentOf(m: number, count: number, sums: Sums, origin: Tensor, bases: Tensor, rank: number): Component {
  return scope(() => {
    const D = origin.numel;
    const mean = sums.firsts.select(0, m).div(count);
    const variance = sums.squares.select(0, m).div(count).sub(mean.square().sum()).item();
    const basis = bases.select(0, m).double().t();
    const shift = mean.unsqueeze(1).mm(mean.unsqueeze(0).mm(basis));
    const { vectors, eigenvalues } = nystromDirections(basis, sums.products.select(0, m).div(count).sub(shift));
    const width = Math.min(rank, vectors.size(1));
    const own = Math.min(width, Math.floor(count / IMAGES_PER_DIRECTION));
    const largest = eigenvalues.toFloat64Array().subarray(0, own);
    const left = variance - largest.reduce((sum, value) => sum + value, 0);
    const rest = own < D ? Math.max(left, 0) / (D - own) : 0;
    const variances = new Float64Array(width);
    variances.set(largest.map((value) => Math.max(value - rest, 0)));
    const directions = vectors.t().narrow(0, 0, width).contiguous();
    return { count, mean: mean.add(origin), directions, variances, rest };
  });
}

/** The mixture of the components that have enough images. */
function mixtureWith(
  { shape, sigmaFloor, directions: bases }: MixtureParameters,
  origin: Tensor,
  sums: Sums,
  { rank, leastImages }: PassSettings,
): LowRankMixture {
  const counts = sums.counts.toFloat64Array();
  // The probabilities of an image sum to 1 up to rounding.
  const kept = [...counts.keys()].filter((m) => (counts[m] as number) >= leastImages * (1 - 1e-9));
  const parts = kept.map((m) => componentOf(m, counts[m] as number, sums, origin, bases, rank));
  const { device } = origin;
  const numbers = (values: Float64Array, sizes: readonly number[]): Tensor => tensor(values, { shape: sizes, device });
  const K = parts.length;
  const variances = Float64Array.from(parts.flatMap((part) => [...part.variances]));
  return new LowRankMixture({
    shape,
    sigmaFloor,
    counts: Float64Array.from(parts, ({ count }) => count),
    means: stack(parts.map(({ mean }) => mean)),
    directions: stack(parts.map(({ directions }) => directions)).float(),
    variances: numbers(variances, [K, variances.length / K]),
    rest: numbers(
      Float64Array.from(parts, ({ rest }) => rest),
      [K],
    ),
  });
}

/**
 * Improves a mixture by one pass over images of a bank. The new mixture has the mean of the images, and as covariance
 * theirs up to what the directions do not hold, if no component was dropped.
 *
 * @param mixture - with at least as many directions as `rank`, from which the new ones are found, though they may have
 * variances of 0
 */
export function mixturePass(mixture: LowRankMixture, bank: Bank, settings: PassSettings): Pass {
  const { sigma, items } = settings;
  return noGrad(() =>
    scope(() => {
      const { directions: bases, means } = mixture.parameters;
      const [K, q, D] = bases.shape as [number, number, number];
      const options = { dtype: "float64", device: bank.device } as const;
      const sums: Sums = {
        counts: zeros([K], options),
        firsts: zeros([K, D], options),
        squares: zeros([K], options),
        products: zeros([K, D, q], options),
      };
      // Near the images' mean, so that products lose nothing.
      const origin = means.mean(0);
      let total = 0;
      forEachChunk(bank, items, (values) => {
        const { probabilities, bound } = mixture.responsibilities(values, sigma);
        total += bound.sum().item();
        addChunk(sums, values.sub(origin.float()), withoutTraces(probabilities), bases);
      });
      // Float32's origin is what was subtracted.
      const next = mixtureWith(mixture.parameters, origin.float().double(), sums, settings);
      return { mixture: next, bound: total / items.length, dropped: K - next.components };
    }),
  );
}
