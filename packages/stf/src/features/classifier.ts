/** A small convolutional classifier whose last hidden layer describes images. */

import { Conv2d, type Device, GroupNorm, kaimingNormal, Linear, Module, noGrad, scope, type Tensor } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { formatImageShape, type ImageShape } from "../common/image-shape.js";
import { normalize } from "../data/image-bank.js";
import type { ExtractedFeatures, FeatureNetwork } from "./feature-network.js";

/** The sizes of a classifier. */
export interface ClassifierConfig {
  /** Shape of the images that it takes. */
  readonly shape: ImageShape;
  /** Number of classes, at least 2. */
  readonly classes: number;
  /** Number of features. */
  readonly dimension: number;
  /** Channels of the first stage; each further stage has twice as many, up to four times this number. */
  readonly width: number;
}

/** What a classifier computes for a batch. */
export interface ClassifierOutput extends ExtractedFeatures {
  /** Class scores before softmax, `[B, classes]` */
  readonly logits: Tensor;
}

/** The smallest height and width: there is something to halve. */
export const SMALLEST_SIZE = 4;

const CHANNELS_PER_GROUP = 8;

/** Stages are added while at least this many pixels are left on the shorter side. */
const SMALLEST_MAP = 3;

/** For activations with half of the variance of their inputs, as after SiLU: He et al. 2015. */
const init = kaimingNormal(Math.sqrt(2));

/** A 3x3 convolution without bias, and a normalisation, which has one, with SiLU. */
class Layer extends Module {
  private readonly conv: Conv2d;
  private readonly norm: GroupNorm;

  constructor(inputs: number, outputs: number) {
    super();
    this.conv = this.registerModule("conv", new Conv2d(inputs, outputs, 3, { padding: 1, bias: false, init }));
    // The largest number of groups that divides the channels into groups of at least that size.
    let groups = Math.max(1, Math.floor(outputs / CHANNELS_PER_GROUP));
    while (outputs % groups !== 0) groups--;
    this.norm = this.registerModule("norm", new GroupNorm(groups, outputs, { silu: true }));
  }

  /** @param options.halve - whether to keep only the largest value of every 2x2 pixels */
  forward(x: Tensor, { halve = false }: { halve?: boolean } = {}): Tensor {
    return scope(() => {
      const maps = this.conv.forward(x);
      return this.norm.forward(halve ? maps.maxPool2d(2) : maps);
    });
  }
}

/** Halves the size; then a residual layer, if it does not change the number of channels. */
class Stage extends Module {
  private readonly first: Layer;
  private readonly second: Layer;
  private readonly isResidual: boolean;

  constructor(inputs: number, width: number, outputs: number) {
    super();
    this.first = this.registerModule("first", new Layer(inputs, width));
    this.second = this.registerModule("second", new Layer(width, outputs));
    this.isResidual = width === outputs;
  }

  forward(x: Tensor): Tensor {
    return scope(() => {
      const halved = this.first.forward(x, { halve: true });
      const result = this.second.forward(halved);
      return this.isResidual ? result.add(halved) : result;
    });
  }
}

/** The number of times that images are halved. */
function stageCount({ height, width }: ImageShape): number {
  return Math.max(1, Math.floor(Math.log2(Math.min(height, width) / SMALLEST_MAP)));
}

/**
 * Stages of two 3x3 convolutions, group normalisation and SiLU, each of which halves the size by max pooling; the mean over
 * the remaining pixels gives the features, and a linear layer the classes. Group normalisation sees one image at a time, so
 * that the features of an image never depend on its batch, in training or afterwards.
 */
export class Classifier extends Module {
  /** The sizes. */
  readonly config: ClassifierConfig;
  private readonly stages: readonly Stage[];
  private readonly head: Linear;

  /**
   * Draws the weights from the global generator.
   *
   * @throws InputError for images that are too small
   */
  constructor(config: ClassifierConfig) {
    super();
    const { shape, classes, dimension, width } = config;
    if (Math.min(shape.height, shape.width) < SMALLEST_SIZE) {
      throw new InputError(
        `a classifier needs images of at least ${SMALLEST_SIZE}x${SMALLEST_SIZE} pixels, found ${formatImageShape(shape)}`,
      );
    }
    this.config = config;
    const count = stageCount(shape);
    const widthOf = (stage: number): number => width * Math.min(2 ** stage, 4);
    this.stages = Array.from({ length: count }, (_, i) => {
      const [inputs, own] = [i === 0 ? shape.channels : widthOf(i - 1), widthOf(i)];
      return this.registerModule(`stage${i}`, new Stage(inputs, own, i === count - 1 ? dimension : own));
    });
    this.head = this.registerModule("head", new Linear(dimension, classes));
  }

  /**
   * Features and class scores, with gradients for the weights.
   *
   * @param images - float32 `[B, C, H, W]` of the classifier's shape, values in [-1, 1]
   */
  forward(images: Tensor): ClassifierOutput {
    return scope(() => {
      let x = images.to({ memoryFormat: "channelsLast" });
      for (const stage of this.stages) x = stage.forward(x);
      const features = x.mean([2, 3]);
      return { features, logits: this.head.forward(features) };
    });
  }
}

/** Grey images for a network that takes RGB have three equal channels. */
function withChannels(images: Tensor, channels: number): Tensor {
  return images.size(1) === 1 && channels === 3 ? images.expand([images.size(0), 3, -1, -1]) : images;
}

/** @throws InputError when a classifier cannot describe images of this shape */
function checkImages(images: Tensor, { shape }: ClassifierConfig): void {
  const [, channels = 0, height = 0, width = 0] = images.shape;
  const fits = height === shape.height && width === shape.width;
  if (fits && (channels === shape.channels || channels === 1)) return;
  throw new InputError(
    `the classifier describes images of ${formatImageShape(shape)}, as it was trained on, found ${formatImageShape({ channels, height, width })}; take images of that size, or train a classifier on such images`,
  );
}

/**
 * A trained classifier as a feature network. It takes images of the shape that it was trained on, and never resizes: a
 * classifier for RGB also takes grey images, as three equal channels.
 *
 * @param network - the network takes ownership
 * @param about - what it was trained on, in one line, and the SHA-256 of its file
 */
export function classifierFeatures(
  network: Classifier,
  { title, sha256 }: { readonly title: string; readonly sha256: string },
): FeatureNetwork {
  const { config } = network.eval();
  return {
    name: "classifier",
    title,
    sha256,
    resize: "none",
    dimension: config.dimension,
    classes: config.classes,
    get device(): Device {
      return network.device;
    },
    extract(images: Tensor): ExtractedFeatures {
      checkImages(images, config);
      return noGrad(() => scope(() => network.forward(normalize(withChannels(images, config.shape.channels)))));
    },
    dispose: () => network.dispose(),
  };
}
