/**
 * The layers of Inception-v3 (Szegedy et al. 2016) as in TensorFlow's archive of 2015-12-05, with which Fréchet distances are
 * measured. It is not the network of the same name that PyTorch distributes: its averages leave out the padding, its last block
 * takes maxima, and it has 1008 classes.
 */

/** A convolution without bias, followed by batch normalisation and ReLU. */
export interface ConvolutionLayer {
  readonly kind: "convolution";
  /** Name in the state dict, such as "Mixed_5b.branch1x1". */
  readonly name: string;
  /** Channels of its result, at full width. */
  readonly outputs: number;
  /** Height and width of the kernel. */
  readonly kernel: readonly [height: number, width: number];
  readonly stride: number;
  /** Zeros above and below, and at the sides. */
  readonly padding: readonly [height: number, width: number];
}

/** Maxima or means of 3x3 pixels. Means are those of the pixels inside the image. */
export interface PoolLayer {
  readonly kind: "maximum" | "mean";
  readonly stride: number;
  readonly padding: number;
}

/** Chains of layers side by side, whose channels are put together. */
export interface Branches {
  readonly kind: "branches";
  readonly branches: readonly (readonly Layer[])[];
}

/** One step of the network. */
export type Layer = ConvolutionLayer | PoolLayer | Branches;

type Kernel = readonly [height: number, width: number];

/** A convolution that keeps the size of the image. */
const same = (name: string, outputs: number, [height, width]: Kernel = [1, 1]): ConvolutionLayer => ({
  kind: "convolution",
  name,
  outputs,
  kernel: [height, width],
  stride: 1,
  padding: [(height - 1) / 2, (width - 1) / 2],
});

/** A 3x3 convolution without padding. */
const valid = (name: string, outputs: number, stride: number): ConvolutionLayer => ({
  kind: "convolution",
  name,
  outputs,
  kernel: [3, 3],
  stride,
  padding: [0, 0],
});

const halving: PoolLayer = { kind: "maximum", stride: 2, padding: 0 };
const mean: PoolLayer = { kind: "mean", stride: 1, padding: 1 };
const maximum: PoolLayer = { kind: "maximum", stride: 1, padding: 1 };

const branches = (...all: (readonly Layer[])[]): Branches => ({ kind: "branches", branches: all });

/** 35x35 pixels (figure 5 of the paper). */
const blockA = (name: string, pooled: number): Branches =>
  branches(
    [same(`${name}.branch1x1`, 64)],
    [same(`${name}.branch5x5_1`, 48), same(`${name}.branch5x5_2`, 64, [5, 5])],
    [
      same(`${name}.branch3x3dbl_1`, 64),
      same(`${name}.branch3x3dbl_2`, 96, [3, 3]),
      same(`${name}.branch3x3dbl_3`, 96, [3, 3]),
    ],
    [mean, same(`${name}.branch_pool`, pooled)],
  );

/** From 35x35 to 17x17 pixels. */
const blockB = (name: string): Branches =>
  branches(
    [valid(`${name}.branch3x3`, 384, 2)],
    [
      same(`${name}.branch3x3dbl_1`, 64),
      same(`${name}.branch3x3dbl_2`, 96, [3, 3]),
      valid(`${name}.branch3x3dbl_3`, 96, 2),
    ],
    [halving],
  );

/** 17x17 pixels, with 7x7 convolutions divided into rows and columns (figure 6). */
const blockC = (name: string, inner: number): Branches =>
  branches(
    [same(`${name}.branch1x1`, 192)],
    [
      same(`${name}.branch7x7_1`, inner),
      same(`${name}.branch7x7_2`, inner, [1, 7]),
      same(`${name}.branch7x7_3`, 192, [7, 1]),
    ],
    [
      same(`${name}.branch7x7dbl_1`, inner),
      same(`${name}.branch7x7dbl_2`, inner, [7, 1]),
      same(`${name}.branch7x7dbl_3`, inner, [1, 7]),
      same(`${name}.branch7x7dbl_4`, inner, [7, 1]),
      same(`${name}.branch7x7dbl_5`, 192, [1, 7]),
    ],
    [mean, same(`${name}.branch_pool`, 192)],
  );

/** From 17x17 to 8x8 pixels. */
const blockD = (name: string): Branches =>
  branches(
    [same(`${name}.branch3x3_1`, 192), valid(`${name}.branch3x3_2`, 320, 2)],
    [
      same(`${name}.branch7x7x3_1`, 192),
      same(`${name}.branch7x7x3_2`, 192, [1, 7]),
      same(`${name}.branch7x7x3_3`, 192, [7, 1]),
      valid(`${name}.branch7x7x3_4`, 192, 2),
    ],
    [halving],
  );

/** 8x8 pixels (figure 7). */
const blockE = (name: string, pool: PoolLayer): Branches =>
  branches(
    [same(`${name}.branch1x1`, 320)],
    [
      same(`${name}.branch3x3_1`, 384),
      branches([same(`${name}.branch3x3_2a`, 384, [1, 3])], [same(`${name}.branch3x3_2b`, 384, [3, 1])]),
    ],
    [
      same(`${name}.branch3x3dbl_1`, 448),
      same(`${name}.branch3x3dbl_2`, 384, [3, 3]),
      branches([same(`${name}.branch3x3dbl_3a`, 384, [1, 3])], [same(`${name}.branch3x3dbl_3b`, 384, [3, 1])]),
    ],
    [pool, same(`${name}.branch_pool`, 192)],
  );

/** All layers from `[B, 3, 299, 299]` to `[B, 2048, 8, 8]`, whose mean over the pixels are the features. */
export const inceptionLayers: readonly Layer[] = [
  valid("Conv2d_1a_3x3", 32, 2),
  valid("Conv2d_2a_3x3", 32, 1),
  same("Conv2d_2b_3x3", 64, [3, 3]),
  halving,
  same("Conv2d_3b_1x1", 80),
  valid("Conv2d_4a_3x3", 192, 1),
  halving,
  blockA("Mixed_5b", 32),
  blockA("Mixed_5c", 64),
  blockA("Mixed_5d", 64),
  blockB("Mixed_6a"),
  blockC("Mixed_6b", 128),
  blockC("Mixed_6c", 160),
  blockC("Mixed_6d", 160),
  blockC("Mixed_6e", 192),
  blockD("Mixed_7a"),
  blockE("Mixed_7b", mean),
  // The published network takes maxima in its last block only.
  blockE("Mixed_7c", maximum),
];

/** Side of the images that the network takes. */
export const INCEPTION_SIDE = 299;

/** Number of features at full width. */
const FEATURES = 2048;

/** Number of classes at full width: ImageNet's 1000 and eight that were never used. */
const CLASSES = 1008;

/** Shapes by name, in the order of the network. */
function collect(
  layers: readonly Layer[],
  inputs: number,
  width: number,
  into: Map<string, readonly number[]>,
): number {
  let channels = inputs;
  for (const layer of layers) {
    if (layer.kind === "convolution") {
      const outputs = layer.outputs * width;
      into.set(`${layer.name}.conv.weight`, [outputs, channels, ...layer.kernel]);
      for (const part of ["weight", "bias", "running_mean", "running_var"])
        into.set(`${layer.name}.bn.${part}`, [outputs]);
      channels = outputs;
    } else if (layer.kind === "branches") {
      const from = channels;
      channels = layer.branches.reduce((sum, branch) => sum + collect(branch, from, width, into), 0);
    }
  }
  return channels;
}

/**
 * The shapes of all tensors that the network needs, by name in the state dict: 94 convolutions with their batch
 * normalisations, and the classifier.
 *
 * @param width - factor for the numbers of channels: 1 for the published network, 1/16 for small ones in tests
 */
export function inceptionShapes(width = 1): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  collect(inceptionLayers, 3, width, shapes);
  shapes.set("fc.weight", [CLASSES * width, FEATURES * width]);
  shapes.set("fc.bias", [CLASSES * width]);
  return shapes;
}
