/**
 * The floating-point operations of a network, a multiplication and an addition counting as two: those of its convolutions, linear
 * layers and attention, which are nearly all. Derived from the names and shapes of its weights.
 */

/** A training step consists of the forward pass and the gradients of inputs and of weights, each of the same cost. */
export const PASSES_PER_STEP = 3;

/** Names in the state dict say at which resolution a layer works, such as `enc.16x16_block0.conv0.weight`. */
function areaOf(name: string, resolution: number): number {
  const size = Number(/\.(\d+)x\d+_/.exec(name)?.[1] ?? resolution);
  // Downsampled after its convolution; every other layer that resamples does so before.
  const isAtFinerLevel = name.includes("_aux_residual.");
  return (isAtFinerLevel ? 2 * size : size) ** 2;
}

/**
 * Of one forward pass over one image.
 *
 * @param shapes - the shape of every tensor in the state dict
 * @param resolution - height and width of the image
 */
export function forwardFlops(shapes: Iterable<readonly [string, readonly number[]]>, resolution: number): number {
  let flops = 0;
  for (const [name, shape] of shapes) {
    if (!name.endsWith(".weight") || shape.length < 2) continue;
    const weights = shape.reduce((product, size) => product * size, 1);
    const isConvolution = shape.length === 4;
    flops += 2 * weights * (isConvolution ? areaOf(name, resolution) : 1);
    // Queries times keys, and their weights times values: for all heads together, each channel with every pair of pixels.
    if (name.endsWith(".qkv.weight")) flops += 2 * 2 * (shape[1] as number) * areaOf(name, resolution) ** 2;
  }
  return flops;
}
