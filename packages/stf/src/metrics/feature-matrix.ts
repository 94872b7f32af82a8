/** What metrics on whole feature matrices share: checks of shapes, and rows in blocks. */

import { scope, type Tensor } from "@stf/torch";
import { InputError } from "../common/errors.js";

const ROWS_AT_ONCE = 4096;

/** @throws InputError unless both are finite, `[images, d]` with the same d and at least `least` images. */
export function checkFeatures(a: Tensor, b: Tensor, least: number): void {
  for (const features of [a, b]) {
    const { shape } = features;
    if (shape.length !== 2) throw new InputError(`features must be [images, d], found [${shape.join(", ")}]`);
    if ((shape[0] as number) < least) {
      throw new InputError(`this comparison needs at least ${least} images in each set, found ${shape[0]}`);
    }
    checkFinite(features);
  }
  if (a.size(1) === b.size(1)) return;
  throw new InputError(
    `${a.size(1)} features cannot be compared with ${b.size(1)} features; both sets must come from the same feature network`,
  );
}

/** @throws InputError when a value is infinite or not a number. */
export function checkFinite(values: Tensor): void {
  forEachBlock(values.size(0), ROWS_AT_ONCE, (first, length) => {
    if (values.narrow(0, first, length).isfinite().all().item() === 1) return;
    throw new InputError("the features are not all finite numbers, so they cannot be compared");
  });
}

/** Calls `body` for consecutive blocks of at most `size` of `count` rows; tensors made in it are freed. */
export function forEachBlock(count: number, size: number, body: (first: number, length: number) => void): void {
  for (let first = 0; first < count; first += size) {
    scope(() => body(first, Math.min(size, count - first)));
  }
}
