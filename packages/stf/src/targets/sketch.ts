/** The images of a bank in a few coordinates, which show which of them a noisy image may come from. */

import { Generator, keep, linalgQr, noGrad, type RowSketch, randn, scope, sketchRows, Tensor } from "@stf/torch";
import type { Bank } from "../data/bank.js";

/** With fewer items, comparing all of them costs little. */
const LEAST_ITEMS = 4096;
/** Coordinates of an item. 64 leave out a ninth of the variance of Fashion-MNIST; more take longer than they save. */
const DIMENSIONS = 64;
/** Items from which the directions are found; any others would do, but keep more items. */
const SAMPLE = 8192;
/** Steps of subspace iteration. */
const ITERATIONS = 3;

/** Kept as long as the bank. Null for banks that have none. */
const known = new WeakMap<Bank, RowSketch | null>();

/** Orthonormal vectors close to the principal directions of some items, `[q, D]`. */
function principalDirections(centred: Tensor): Tensor {
  using generator = new Generator(0);
  let vectors = randn([centred.size(1), DIMENSIONS], { generator });
  for (let i = 0; i < ITERATIONS; i++) [vectors] = linalgQr(centred.t().mm(centred.mm(vectors)));
  return vectors.t().contiguous();
}

function makeSketch({ rows, count, dimension }: Bank): RowSketch | null {
  const isFast = rows.dtype === "uint8" && rows.device === "cpu";
  if (!isFast || count < LEAST_ITEMS || dimension < 2 * DIMENSIONS) return null;
  return noGrad(() =>
    scope(() => {
      const some = rows.slice(0, 0, count, Math.ceil(count / SAMPLE)).float();
      const mean = some.mean([0]);
      const sketch = sketchRows(rows, principalDirections(some.sub(mean)), mean);
      for (const value of Object.values(sketch)) if (value instanceof Tensor) keep(value);
      return sketch;
    }),
  );
}

/** The sketch of a bank of bytes on the CPU, made when it is first asked for; undefined for others, and for small ones. */
export function sketchOf(bank: Bank): RowSketch | undefined {
  const found = known.get(bank) ?? makeSketch(bank);
  known.set(bank, found);
  return found ?? undefined;
}
