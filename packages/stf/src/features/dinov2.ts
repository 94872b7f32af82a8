/**
 * DINOv2's vision transformers (Oquab et al. 2023), whose features judge images more like people do than Inception's (Stein
 * et al. 2023).
 */

import {
  callOperator,
  cat,
  conv2d,
  type Device,
  keep,
  layerNorm,
  linear,
  noGrad,
  scope,
  type Tensor,
  tensor,
} from "@stf/torch";
import { InputError } from "../common/errors.js";
import type { FeatureNetwork } from "./feature-network.js";
import { asColours, extractInBatches } from "./image-batches.js";

/** Side of the images that the network takes, and of their patches. */
const SIDE = 224;
const PATCH = 14;
const GRID = SIDE / PATCH;

/** Channels of a head of attention. */
const HEAD = 64;

const EPSILON = 1e-6;

/** ImageNet's means and standard deviations of red, green and blue, of values on [0, 1]. */
const MEAN = [0.485, 0.456, 0.406];
const DEVIATION = [0.229, 0.224, 0.225];

/**
 * The published network adds this to the number of patches when it interpolates the positions: its sampling points are
 * at i 37 / 16.1, not at i 37 / 16.
 */
const INTERPOLATION_OFFSET = 0.1;

/** Sizes of a network. */
export interface Dinov2Sizes {
  /** Number of features. */
  readonly width: number;
  /** Number of blocks. */
  readonly depth: number;
  /** Patches along a side of the images that it was trained with. */
  readonly grid: number;
}

/** The shapes of all its tensors, by name in the state dict. */
export function dinov2Shapes({ width, depth, grid }: Dinov2Sizes): Map<string, readonly number[]> {
  const layer = (name: string, outputs: number, inputs: number): [string, readonly number[]][] => [
    [`${name}.weight`, [outputs, inputs]],
    [`${name}.bias`, [outputs]],
  ];
  const norm = (name: string): [string, readonly number[]][] => [
    [`${name}.weight`, [width]],
    [`${name}.bias`, [width]],
  ];
  const blocks = Array.from({ length: depth }, (_, i) => `blocks.${i}`).flatMap((block) => [
    ...norm(`${block}.norm1`),
    ...layer(`${block}.attn.qkv`, 3 * width, width),
    ...layer(`${block}.attn.proj`, width, width),
    [`${block}.ls1.gamma`, [width]] as [string, readonly number[]],
    ...norm(`${block}.norm2`),
    ...layer(`${block}.mlp.fc1`, 4 * width, width),
    ...layer(`${block}.mlp.fc2`, width, 4 * width),
    [`${block}.ls2.gamma`, [width]] as [string, readonly number[]],
  ]);
  return new Map([
    ["cls_token", [1, 1, width]],
    ["pos_embed", [1, 1 + grid * grid, width]],
    ["mask_token", [1, width]],
    ["patch_embed.proj.weight", [width, 3, PATCH, PATCH]],
    ["patch_embed.proj.bias", [width]],
    ...blocks,
    ...norm("norm"),
  ]);
}

interface Affine {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

interface Block {
  readonly norm1: Affine;
  readonly qkv: Affine;
  readonly proj: Affine;
  readonly norm2: Affine;
  readonly fc1: Affine;
  readonly fc2: Affine;
}

interface Weights {
  readonly patches: Affine;
  /** What is added to the first token, `[1, 1, width]`, and to the patches, `[1, 256, width]`. */
  readonly first: Tensor;
  readonly positions: Tensor;
  readonly blocks: readonly Block[];
  readonly norm: Affine;
}

/** Gives a tensor by its name in the state dict; it may be read on demand. */
export type WeightSource = (name: string) => Tensor;

/** Positions for 16x16 patches, from those of the grid in training. */
function interpolated(positions: Tensor, grid: number): Tensor {
  if (grid === GRID) return positions;
  const scale = (GRID + INTERPOLATION_OFFSET) / grid;
  const images = positions.reshape([1, grid, grid, -1]).permute([0, 3, 1, 2]);
  return images.upsampleBicubic2d([GRID, GRID], false, scale, scale).flatten(2).transpose(1, 2);
}

/** @param owned - receives all tensors of the result */
function readWeights(of: WeightSource, { depth, grid }: Dinov2Sizes, device: Device, owned: Tensor[]): Weights {
  const here = (x: Tensor): Tensor => {
    const copy = keep(x.to({ dtype: "float32", device, copy: true }).contiguous());
    owned.push(copy);
    return copy;
  };
  const affine = (name: string, factor?: Tensor): Affine =>
    scope(() => {
      const [weight, bias] = [of(`${name}.weight`), of(`${name}.bias`)];
      if (!factor) return { weight: here(weight), bias: here(bias) };
      return { weight: here(weight.mul(factor.reshape([-1, 1]))), bias: here(bias.mul(factor)) };
    });
  // The factors of the residual branches are part of the layers that end them.
  const scaled = (name: string, gamma: string): Affine => scope(() => affine(name, of(gamma)));
  const blocks = Array.from({ length: depth }, (_, i) => `blocks.${i}`).map((block) => ({
    norm1: affine(`${block}.norm1`),
    qkv: affine(`${block}.attn.qkv`),
    proj: scaled(`${block}.attn.proj`, `${block}.ls1.gamma`),
    norm2: affine(`${block}.norm2`),
    fc1: affine(`${block}.mlp.fc1`),
    fc2: scaled(`${block}.mlp.fc2`, `${block}.ls2.gamma`),
  }));
  return scope(() => {
    const positions = of("pos_embed").float();
    return {
      patches: affine("patch_embed.proj"),
      first: here(
        of("cls_token")
          .float()
          .add(positions.narrow(1, 0, 1)),
      ),
      positions: here(interpolated(positions.narrow(1, 1, grid * grid), grid)),
      blocks,
      norm: affine("norm"),
    };
  });
}

/** softmax(q kᵀ / 8) v for every head of 64 channels (Vaswani et al. 2017, equation 1): `[B, N, 3 W]` to `[B, N, W]`. */
function attend(qkv: Tensor): Tensor {
  const [batch = 0, tokens = 0, channels = 0] = qkv.shape;
  const heads = channels / 3 / HEAD;
  const parts = qkv.reshape([batch, tokens, 3, heads, HEAD]).permute([2, 0, 3, 1, 4]);
  const [q, k, v] = parts.unbind(0) as [Tensor, Tensor, Tensor];
  const weights = q
    .mul(HEAD ** -0.5)
    .matmul(k.transpose(2, 3))
    .softmax(3);
  return weights
    .matmul(v)
    .transpose(1, 2)
    .reshape([batch, tokens, channels / 3]);
}

const normalise = (x: Tensor, { weight, bias }: Affine): Tensor => layerNorm(x, [x.size(-1)], weight, bias, EPSILON);

const apply = (x: Tensor, { weight, bias }: Affine): Tensor => linear(x, weight, bias);

function applyBlock(x: Tensor, { norm1, qkv, proj, norm2, fc1, fc2 }: Block): Tensor {
  const attended = scope(() => x.add(apply(attend(apply(normalise(x, norm1), qkv)), proj)));
  return attended.add(apply(apply(normalise(attended, norm2), fc1).gelu(), fc2));
}

/** Bytes to values with the means and deviations of ImageNet. */
function prepare(images: Tensor): Tensor {
  const { device } = images;
  const resized = callOperator(
    "aten::_upsample_bicubic2d_aa",
    images.float(),
    [SIDE, SIDE],
    false,
    null,
    null,
  ) as Tensor;
  const channels = (values: readonly number[]): Tensor => tensor([...values], { device }).reshape([1, 3, 1, 1]);
  return asColours(resized.div(255)).sub_(channels(MEAN)).div_(channels(DEVIATION));
}

function featuresOf(images: Tensor, { patches, first, positions, blocks, norm }: Weights): Tensor {
  const tokens = conv2d(prepare(images), patches.weight, patches.bias, PATCH).flatten(2).transpose(1, 2).add(positions);
  let x = cat([first.expand([images.size(0), -1, -1]), tokens], 1);
  for (const block of blocks) x = scope(() => applyBlock(x, block));
  return normalise(x.select(1, 0), norm);
}

const titles: Readonly<Record<string, string>> = { "384x12": "ViT-S/14", "768x12": "ViT-B/14", "1024x24": "ViT-L/14" };

/**
 * A network of DINOv2 without registers: the class token after the last normalisation. Images are resized to 224x224 by
 * antialiased bicubic interpolation without rounding, as PIL does it with rounding, and normalised with the means and deviations
 * of ImageNet. Distances with the features of ViT-L/14 are called FD-DINOv2.
 *
 * @param weights - the tensors named in {@link dinov2Shapes}; copied
 */
export function dinov2Network(
  weights: WeightSource,
  sizes: Dinov2Sizes,
  { sha256, device = "cpu" }: { readonly sha256: string; readonly device?: Device },
): FeatureNetwork {
  const { width, depth } = sizes;
  if (width % HEAD !== 0) throw new InputError(`a transformer of DINOv2 has a multiple of 64 features, found ${width}`);
  const owned: Tensor[] = [];
  const dispose = (): void => {
    for (const tensor of owned) tensor.dispose();
  };
  const own = noGrad(() => {
    try {
      return readWeights(weights, sizes, device, owned);
    } catch (error) {
      dispose();
      throw error;
    }
  });
  const kind = titles[`${width}x${depth}`] ?? `transformer of width ${width} and depth ${depth}`;
  return {
    name: "dinov2",
    title: `DINOv2 ${kind}, trained on LVD-142M`,
    sha256,
    resize: `bicubic-antialias-${SIDE}`,
    dimension: width,
    classes: 0,
    device,
    extract: (images) => extractInBatches(images, device, (batch) => ({ features: featuresOf(batch, own) })),
    dispose,
  };
}
