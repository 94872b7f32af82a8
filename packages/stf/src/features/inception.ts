/** The Inception network of the Fréchet inception distance. */

import {
  cat,
  conv2d,
  conv3x3,
  type Device,
  keep,
  linear,
  noGrad,
  type StateDict,
  scope,
  type Tensor,
} from "@stf/torch";
import { InputError } from "../common/errors.js";
import type { ExtractedFeatures, FeatureNetwork } from "./feature-network.js";
import {
  type ConvolutionLayer,
  INCEPTION_SIDE,
  inceptionLayers,
  type Layer,
  type PoolLayer,
} from "./inception-layers.js";
import { tensorflowResize } from "./tensorflow-resize.js";

/** Added to variances before their roots are taken. */
const EPSILON = 1e-3;

/** Images that are computed at a time on a CPU: more take more memory and are not faster. */
const CPU_BATCH = 16;

/**
 * How images become the network's input: as in the original network of 2015, torch-fidelity and NVIDIA's metrics, or as in pytorch-fid. They
 * differ in where pixels are and in the grey level that becomes 0, and so in every feature.
 */
export type InceptionResize = "tensorflow" | "pytorch";

/** Options of {@link inceptionNetwork}. */
export interface InceptionOptions {
  /** SHA-256 of the file that the weights are from. */
  readonly sha256: string;
  /** How images are resized; "tensorflow" by default. */
  readonly resize?: InceptionResize;
  /** Where to compute. */
  readonly device?: Device;
}

interface Preparation {
  readonly name: string;
  /** Bytes to the input of the network. */
  readonly prepare: (images: Tensor) => Tensor;
}

const preparations: Readonly<Record<InceptionResize, Preparation>> = {
  tensorflow: {
    name: `tensorflow-bilinear-${INCEPTION_SIDE}`,
    prepare: (images) => tensorflowResize(images, INCEPTION_SIDE, INCEPTION_SIDE).sub_(128).div_(128),
  },
  pytorch: {
    name: `pytorch-bilinear-${INCEPTION_SIDE}`,
    prepare: (images) => images.div(255).upsampleBilinear2d([INCEPTION_SIDE, INCEPTION_SIDE], false).mul_(2).sub_(1),
  },
};

/** A convolution with the normalisation that follows it. */
interface Folded {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

/** Weights by name; all are owned by the network. */
interface Weights {
  readonly convolutions: ReadonlyMap<string, Folded>;
  readonly classes: Tensor;
}

function part(state: StateDict, name: string): Tensor {
  const tensor = state.get(name);
  if (!tensor) throw new InputError(`the weights of the Inception network lack "${name}"`);
  return tensor;
}

/** One convolution for both: s w and b - s m with s = g / sqrt(v + epsilon), computed in float64. */
function fold(state: StateDict, name: string): Folded {
  const double = (suffix: string): Tensor => part(state, `${name}.${suffix}`).to({ dtype: "float64" });
  const scale = double("bn.weight").mul_(double("bn.running_var").add_(EPSILON).rsqrt_());
  const weight = double("conv.weight").mul_(scale.reshape([-1, 1, 1, 1]));
  const bias = double("bn.bias").sub_(double("bn.running_mean").mul_(scale));
  return { weight: weight.float(), bias: bias.float() };
}

function* convolutionsOf(layers: readonly Layer[]): Generator<ConvolutionLayer> {
  for (const layer of layers) {
    if (layer.kind === "convolution") yield layer;
    else if (layer.kind === "branches") for (const branch of layer.branches) yield* convolutionsOf(branch);
  }
}

function foldAll(state: StateDict, device: Device): Weights {
  // cuDNN is slow with channels_last images in float32.
  const memoryFormat = device === "cpu" ? "channelsLast" : "contiguous";
  const convolutions = new Map<string, Folded>();
  for (const { name } of convolutionsOf(inceptionLayers)) {
    const folded = scope(() => {
      const { weight, bias } = fold(state, name);
      return { weight: weight.to({ device, memoryFormat }), bias: bias.to({ device }) };
    });
    convolutions.set(name, { weight: keep(folded.weight), bias: keep(folded.bias) });
  }
  const classes = keep(part(state, "fc.weight").to({ dtype: "float32", device, copy: true }));
  return { convolutions, classes };
}

function convolve(layer: ConvolutionLayer, { weight, bias }: Folded, x: Tensor): Tensor {
  const [height, width] = layer.kernel;
  const isPadded = height === 3 && width === 3 && layer.padding[0] === 1;
  const y = isPadded ? conv3x3(x, weight, bias) : conv2d(x, weight, bias, layer.stride, layer.padding);
  return y.relu_();
}

const pool = ({ kind, stride, padding }: PoolLayer, x: Tensor): Tensor =>
  kind === "maximum" ? x.maxPool2d(3, stride, padding) : x.avgPool2d(3, stride, padding, false, false);

function apply(layer: Layer, weights: Weights, x: Tensor): Tensor {
  if (layer.kind === "branches")
    return cat(
      layer.branches.map((branch) => applyAll(branch, weights, x)),
      1,
    );
  if (layer.kind !== "convolution") return pool(layer, x);
  return convolve(layer, weights.convolutions.get(layer.name) as Folded, x);
}

/** Each activation is freed when the next one is computed. */
function applyAll(layers: readonly Layer[], weights: Weights, x: Tensor): Tensor {
  let current = x;
  for (const layer of layers) {
    const next = scope(() => apply(layer, weights, current));
    if (current !== x) current.dispose();
    current = next;
  }
  return current;
}

/** @throws InputError for tensors that are not images */
function checkImages(images: Tensor): void {
  const { shape, dtype } = images;
  const isImages = shape.length === 4 && dtype === "uint8" && (shape[1] === 1 || shape[1] === 3);
  if (isImages && !shape.includes(0)) return;
  throw new InputError(
    `the Inception network describes images as bytes [B, 1 or 3, H, W], at least one, found ${dtype} [${shape.join(", ")}]`,
  );
}

function featuresOf(images: Tensor, weights: Weights, { prepare }: Preparation): ExtractedFeatures {
  const input = prepare(images.float());
  const memoryFormat = images.device === "cpu" ? "channelsLast" : "contiguous";
  const colours = input.expand([-1, 3, -1, -1]).contiguous({ memoryFormat });
  const features = applyAll(inceptionLayers, weights, colours).mean([2, 3]);
  return { features, logits: linear(features, weights.classes) };
}

/**
 * The Inception-v3 network of Fréchet distances (Heusel et al. 2017): 2048 features per image, the mean over the pixels of its last block. Grey
 * images are taken as colours with three equal channels.
 *
 * The logits leave out the bias of the classifier, as the original Inception Score does (Salimans et al. 2016) and other programs that
 * reproduce it.
 *
 * @param state - the tensors named in {@link inceptionShapes}; copied
 * @throws InputError when one is missing
 */
export function inceptionNetwork(
  state: StateDict,
  { sha256, resize = "tensorflow", device = "cpu" }: InceptionOptions,
): FeatureNetwork {
  const weights = noGrad(() => foldAll(state, device));
  const preparation = preparations[resize];
  const [classes = 0, dimension = 0] = weights.classes.shape;
  return {
    name: "inception",
    title: "Inception-v3 of 2015-12-05, trained on ImageNet",
    sha256,
    resize: preparation.name,
    dimension,
    classes,
    device,
    extract(images) {
      checkImages(images);
      return noGrad(() =>
        scope(() => {
          const here = images.to({ device });
          const size = device === "cpu" ? CPU_BATCH : here.size(0);
          const parts = here.split(size).map((some) => scope(() => featuresOf(some, weights, preparation)));
          const joined = (of: (found: ExtractedFeatures) => Tensor): Tensor => cat(parts.map(of));
          return { features: joined(({ features }) => features), logits: joined(({ logits }) => logits as Tensor) };
        }),
      );
    },
    dispose() {
      for (const { weight, bias } of weights.convolutions.values()) {
        weight.dispose();
        bias.dispose();
      }
      weights.classes.dispose();
    },
  };
}
