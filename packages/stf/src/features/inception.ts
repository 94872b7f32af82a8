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
import type { FeatureNetwork } from "./feature-network.js";
import { asColours, extractInBatches } from "./image-batches.js";
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

/**
 * How images become the network's input: as in the original network of 2015, torch-fidelity and NVIDIA's metrics, or as in
 * pytorch-fid. They differ in where pixels are and in the grey level that becomes 0, and so in every feature.
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
  const double = (suffix: string): Tensor => part(state, `${name}.${suffix}`).to({ dtype: "float64", copy: true });
  return scope(() => {
    const scale = double("bn.weight").mul_(double("bn.running_var").add_(EPSILON).rsqrt_());
    const weight = double("conv.weight").mul_(scale.reshape([-1, 1, 1, 1]));
    const bias = double("bn.bias").sub_(double("bn.running_mean").mul_(scale));
    return { weight: weight.float(), bias: bias.float() };
  });
}

function* convolutionsOf(layers: readonly Layer[]): Generator<ConvolutionLayer> {
  for (const layer of layers) {
    if (layer.kind === "convolution") yield layer;
    else if (layer.kind === "branches") for (const branch of layer.branches) yield* convolutionsOf(branch);
  }
}

/** Channels that the fast 3x3 convolution computes together. */
const BLOCK = 32;

/**
 * Two convolutions in a row with a whole number of blocks of channels between them. The added channels are 0 and are multiplied
 * by 0. The second convolution is the most expensive of the network, and becomes twice as fast.
 */
function withWholeBlocks(first: Folded, second: Folded): [Folded, Folded] {
  const added = (BLOCK - (first.bias.numel % BLOCK)) % BLOCK;
  const weight = first.weight.pad([0, 0, 0, 0, 0, 0, 0, added]);
  return [
    { weight, bias: first.bias.pad([0, added]) },
    { weight: second.weight.pad([0, 0, 0, 0, 0, added]), bias: second.bias },
  ];
}

function foldAll(state: StateDict, device: Device): Weights {
  // cuDNN is slow with channels_last images in float32.
  const memoryFormat = device === "cpu" ? "channelsLast" : "contiguous";
  const convolutions = scope(() => {
    const folded = new Map(Array.from(convolutionsOf(inceptionLayers), ({ name }) => [name, fold(state, name)]));
    const [first, second] = ["Conv2d_3b_1x1", "Conv2d_4a_3x3"] as const;
    const widened = withWholeBlocks(folded.get(first) as Folded, folded.get(second) as Folded);
    folded.set(first, widened[0]).set(second, widened[1]);
    for (const [name, { weight, bias }] of folded) {
      folded.set(name, { weight: keep(weight.to({ device, memoryFormat })), bias: keep(bias.to({ device })) });
    }
    return folded;
  });
  const classes = keep(part(state, "fc.weight").to({ dtype: "float32", device, copy: true }));
  return { convolutions, classes };
}

/** The inside of images: what a 3x3 convolution without padding computes. */
const inside = (x: Tensor): Tensor => x.narrow(2, 1, x.size(2) - 2).narrow(3, 1, x.size(3) - 2);

function convolve(layer: ConvolutionLayer, { weight, bias }: Folded, x: Tensor): Tensor {
  const { kernel, stride, padding } = layer;
  if (kernel[0] !== 3 || kernel[1] !== 3 || stride !== 1) return conv2d(x, weight, bias, stride, padding).relu_();
  const y = conv3x3(x, weight, bias).relu_();
  // The fast kernel pads; leaving the border out afterwards is faster than another kernel.
  return padding[0] === 1 ? y : inside(y);
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

function featuresOf(images: Tensor, weights: Weights, { prepare }: Preparation): { features: Tensor; logits: Tensor } {
  const features = applyAll(inceptionLayers, weights, asColours(prepare(images.float()))).mean([2, 3]);
  return { features, logits: linear(features, weights.classes) };
}

/**
 * The Inception-v3 network of Fréchet distances (Heusel et al. 2017): 2048 features per image, the mean over the pixels of its
 * last block. Grey images are taken as colours with three equal channels.
 *
 * The logits leave out the bias of the classifier, as the original Inception Score does (Salimans et al. 2016) and other
 * programs that reproduce it.
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
    extract: (images) => extractInBatches(images, device, (batch) => featuresOf(batch, weights, preparation)),
    dispose() {
      for (const { weight, bias } of weights.convolutions.values()) {
        weight.dispose();
        bias.dispose();
      }
      weights.classes.dispose();
    },
  };
}
