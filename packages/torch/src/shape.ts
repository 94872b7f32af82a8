/** Checks of shapes at public entries. */

import { ShapeError } from "./errors.js";

/** One entry per axis: a size, or null for any. */
export type ShapePattern = readonly (number | null)[];

/** A shape as text, such as "[64, 3, 32, 32]". */
export function formatShape(shape: ShapePattern): string {
  return `[${shape.map((size) => size ?? "any").join(", ")}]`;
}

/**
 * Checks that a shape fits a pattern.
 *
 * @param what - the name of the thing in the error
 * @throws ShapeError naming `what`, the expected and the found shape.
 */
export function checkShape(what: string, found: readonly number[], expected: ShapePattern): void {
  const fits =
    found.length === expected.length && expected.every((size, axis) => size === null || size === found[axis]);
  if (!fits) throw new ShapeError(`${what} must have shape ${formatShape(expected)}, found ${formatShape(found)}`);
}

/** The product of the sizes: the number of elements. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
