/** Lower bounds of the distance from each item of a bank to its nearest neighbour. */

import { scope, type Tensor, tensor, zeros } from "@stf/torch";
import { partOf } from "../common/ranks.js";
import type { Bank } from "./bank.js";
import { DividedBank, type RowRanks } from "./divided-bank.js";

/** Items compared at a time: a block of that many squared distances is held as float32. */
const ITEMS_AT_ONCE = 2048;
/** Number of values that an item is reduced to for comparison, as far as its size allows. */
const MOST_VALUES = 256;
/** The rounding of one float32 operation; a sum of d products is off by at most d times that, relative to the norms. */
const ROUNDING = 2 ** -24;

/** The side of the squares whose means represent an item: as small as the number of values allows. */
function squareSide({ channels, height, width }: Bank["shape"]): number {
  const values = (side: number): number => channels * Math.ceil(height / side) * Math.ceil(width / side);
  let side = 1;
  while (values(side) > MOST_VALUES && 2 * side <= Math.min(height, width)) side *= 2;
  return side;
}

/** sum / side of each square of each item, `[N, d]`: an orthonormal projection, which never increases a distance. */
function projected(bank: Bank, side: number): Tensor {
  const { channels, height, width } = bank.shape;
  return scope(() => {
    const [down, across] = [Math.ceil(height / side), Math.ceil(width / side)];
    const result = zeros([bank.count, channels * down * across], { device: bank.device });
    for (let first = 0; first < bank.count; first += ITEMS_AT_ONCE) {
      const length = Math.min(ITEMS_AT_ONCE, bank.count - first);
      scope(() => {
        const images = bank.toValues(bank.rows.narrow(0, first, length)).view([length, channels, height, width]);
        const padded = images.pad([0, across * side - width, 0, down * side - height]);
        const sums = side === 1 ? padded : padded.avgPool2d(side).mul_(side);
        result.narrow(0, first, length).copy_(sums.reshape([length, -1]));
      });
    }
    return result;
  });
}

/** Which distances {@link nearestDistances} computes. */
export interface DistanceOptions {
  /** The processes that call it with the same items, or with their parts of them; this one alone when left out. */
  readonly ranks?: RowRanks | undefined;
  /** The number of items to compare with all, from the first; all when left out. */
  readonly count?: number | undefined;
}

/**
 * For each item a lower bound of the distance to its nearest neighbour, in network input values, float64 `[N]`.
 * Items are compared by the means of small squares, so the bound is that of their coarse structure; for vectors and very
 * small images it is the distance itself, up to rounding. The cost is N² d products, of which each of several processes computes its
 * share: all of them get the same bounds as one process would.
 *
 * @param onProgress - called with the items done so far, of those of this process
 * @throws RangeError for a part of the items without the processes that have the others
 */
export function nearestDistances(
  bank: Bank | DividedBank,
  onProgress?: (done: number, total: number) => void,
  { ranks, count = bank.count }: DistanceOptions = {},
): Float64Array {
  const { shape, device } = bank;
  // Whole blocks: the rounding of a product may depend on the size of its matrices.
  const blocks = partOf(Math.ceil(count / ITEMS_AT_ONCE), ranks ?? { rank: 0, size: 1 });
  const own = { first: blocks.first * ITEMS_AT_ONCE, end: Math.min(blocks.end * ITEMS_AT_ONCE, count) };
  const bounds = new Float64Array(Math.max(own.end - own.first, 0));
  return scope(() => {
    const items = allProjected(bank, squareSide(shape), ranks);
    const norms = items.square().sum(1);
    for (let first = own.first; first < own.end; first += ITEMS_AT_ONCE) {
      const length = Math.min(ITEMS_AT_ONCE, count - first);
      const rows = items.narrow(0, first, length);
      const rowNorms = norms.narrow(0, first, length).unsqueeze(1);
      const nearest = scope(() => {
        const least = zeros([length], { device }).fill_(Number.POSITIVE_INFINITY);
        for (let other = 0; other < bank.count; other += ITEMS_AT_ONCE) {
          scope(() => {
            const width = Math.min(ITEMS_AT_ONCE, bank.count - other);
            const otherNorms = norms.narrow(0, other, width);
            const total = rowNorms.add(otherNorms);
            const distances = total.addmm(rows, items.narrow(0, other, width).t(), { alpha: -2 });
            distances.sub_(total, { alpha: items.size(1) * ROUNDING });
            if (other === first) distances.diagonal().fill_(Number.POSITIVE_INFINITY);
            least.copy_(least.minimum(distances.amin([1])));
          });
        }
        return least.clamp_(0).sqrt_().toFloat64Array();
      });
      bounds.set(nearest, first - own.first);
      onProgress?.(first + length - own.first, own.end - own.first);
    }
    return ranks ? ranks.gatherRows(tensor(bounds)).toFloat64Array() : bounds;
  });
}

/** {@link projected} of all items, whoever has them. */
function allProjected(bank: Bank | DividedBank, side: number, ranks: RowRanks | undefined): Tensor {
  if (!(bank instanceof DividedBank)) return projected(bank, side);
  if (!ranks) throw new RangeError("a part of the images needs the processes that have the others, found none");
  return ranks.gatherRows(projected(bank.own, side));
}
