/** Checks of the tensors of a published network, whose sizes are known. */

import { formatShape, scope, type Tensor } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { abbreviated } from "../common/text.js";
import type { StoredWeight } from "./stored-weights.js";

/**
 * @param what - the network, in messages
 * @throws InputError naming what is missing, unknown, of another shape, or not a floating-point number
 */
export function checkShapes(
  what: string,
  found: ReadonlyMap<string, StoredWeight>,
  wanted: ReadonlyMap<string, readonly number[]>,
): void {
  const missing = [...wanted.keys()].filter((name) => !found.has(name));
  const unknown = [...found.keys()].filter((name) => !wanted.has(name));
  const different = [...wanted].filter(([name, shape]) => String(found.get(name)?.shape ?? shape) !== String(shape));
  const complaints = [
    ...(missing.length > 0 ? [`it lacks ${abbreviated(missing)}`] : []),
    ...(unknown.length > 0 ? [`it has also ${abbreviated(unknown)}`] : []),
    ...different.slice(0, 1).map(([name, shape]) => {
      const others = different.length > 1 ? `, and ${different.length - 1} more have other shapes` : "";
      return `its "${name}" has the shape ${formatShape(found.get(name)?.shape ?? [])}, expected ${formatShape(shape)}${others}`;
    }),
  ];
  if (complaints.length > 0) throw new InputError(`it is not ${what}: ${complaints.join("; ")}`);
  for (const [name, { dtype }] of found) {
    if (!/^b?float/.test(dtype)) throw new InputError(`its "${name}" must hold floating-point numbers, found ${dtype}`);
  }
}

/**
 * Reads a tensor. The caller disposes of it.
 *
 * @throws InputError when a number in it is not finite
 */
export function readFinite(name: string, weight: StoredWeight): Tensor {
  const tensor = weight.toTensor();
  if (scope(() => tensor.isfinite().all().item()) !== 0) return tensor;
  tensor.dispose();
  throw new InputError(`its "${name}" has numbers that are not finite; it is damaged`);
}
