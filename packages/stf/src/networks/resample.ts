/** Resampling by two, alone or combined with a convolution, as in the U-Nets of the score-based literature. */

import { Conv2d, conv2d, convTranspose2d, type Initializer, Module, scope, type Tensor, tensor } from "@stf/torch";

/** Twice or half the height and width. */
export type Resampling = "up" | "down";

/** outer(f, f) / (sum f)², `[1, 1, L, L]`. */
function filterKernel(filter: readonly number[]): Tensor {
  const sum = filter.reduce((total, tap) => total + tap, 0);
  const taps = filter.map((row) => filter.map((column) => (row * column) / (sum * sum)));
  return scope(() => tensor(taps).view([1, 1, filter.length, filter.length]));
}

/** One filter for every channel, in the activations' dtype. */
function depthwise(kernel: Tensor, x: Tensor): Tensor {
  const length = kernel.size(-1);
  return kernel.to({ dtype: x.dtype }).expand([x.size(1), 1, length, length]);
}

const samePadding = (length: number): number => Math.floor((length - 1) / 2);

/** Filters and keeps every second row and column. The filter [1, 1] is the mean of 2 x 2 squares. */
function downsample(x: Tensor, kernel: Tensor, padding: number): Tensor {
  if (kernel.size(-1) === 2) return x.avgPool2d(2);
  return scope(() => conv2d(x, depthwise(kernel, x), null, 2, padding, 1, x.size(1)));
}

/** Inserts zeros between rows and columns and filters. The filter [1, 1] copies every value to a 2 x 2 square. */
function upsample(x: Tensor, kernel: Tensor): Tensor {
  const length = kernel.size(-1);
  if (length === 2) return x.upsampleNearest2d([2 * x.size(2), 2 * x.size(3)]);
  return scope(() => {
    // libtorch 1.13 gives bfloat16 another size on some processors.
    const wide = x.dtype === "bfloat16" && x.device === "cpu" ? x.float() : x;
    const filter = depthwise(kernel, wide).mul(4);
    return convTranspose2d(wide, filter, null, 2, samePadding(length), 0, x.size(1)).to({ dtype: x.dtype });
  });
}

export interface ResamplingConv2dOptions {
  resampling?: Resampling | undefined;
  filter?: readonly number[] | undefined;
  /** Convolve first, at the finer resolution, and filter last. Only for "down". */
  filterLast?: boolean;
  init?: Initializer;
  biasInit?: Initializer;
}

/**
 * A convolution that keeps the size, with optional resampling; zero padding at the border.
 *
 * Shapes: input `[B, inChannels, H, W]`, output `[B, outChannels, H', W']`. Keys: `weight`, `bias`, and with resampling
 * the buffer `resample_filter` `[1, 1, L, L]`.
 */
export class ResamplingConv2d extends Conv2d {
  private readonly resampling: Resampling | undefined;
  private readonly kernel: Tensor | undefined;
  private readonly filterLast: boolean;

  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number,
    { resampling, filter = [1, 1], filterLast = false, ...inits }: ResamplingConv2dOptions = {},
  ) {
    const padding = Math.floor(kernelSize / 2) + (filterLast ? samePadding(filter.length) : 0);
    super(inChannels, outChannels, kernelSize, { ...inits, padding });
    this.resampling = resampling;
    this.filterLast = filterLast;
    this.kernel = resampling && this.registerBuffer("resample_filter", filterKernel(filter));
  }

  override forward(x: Tensor, options: { bias?: Tensor | null } = {}): Tensor {
    const { resampling, kernel } = this;
    if (!resampling || !kernel) return super.forward(x, options);
    return scope(() => {
      if (this.filterLast) return downsample(super.forward(x, options), kernel, 0);
      return super.forward(resample(x, resampling, kernel), options);
    });
  }
}

function resample(x: Tensor, direction: Resampling, kernel: Tensor): Tensor {
  return direction === "down" ? downsample(x, kernel, samePadding(kernel.size(-1))) : upsample(x, kernel);
}

/** Resampling without weights; zero padding at the border. Key: the buffer `resample_filter` `[1, 1, L, L]`. */
export class Resample extends Module {
  private readonly direction: Resampling;
  private readonly kernel: Tensor;

  constructor(direction: Resampling, filter: readonly number[]) {
    super();
    this.direction = direction;
    this.kernel = this.registerBuffer("resample_filter", filterKernel(filter));
  }

  forward(x: Tensor): Tensor {
    return resample(x, this.direction, this.kernel);
  }
}
