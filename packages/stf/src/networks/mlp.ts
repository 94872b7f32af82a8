import { cat, Linear, Module, scope, type Tensor, zeros } from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";
import { PositionalEmbedding } from "./embedding.js";
import type { Conditions, Network } from "./network.js";

/** The configuration of a perceptron. */
export interface MlpOptions {
  /** Shape of the items. */
  readonly shape: ImageShape;
  /** Channels of the output; those of the items when left out. */
  readonly outChannels?: number;
  /** Width of the hidden layers. */
  readonly width?: number;
  /** Number of hidden layers. */
  readonly hiddenLayers?: number;
  /** Number of classes; 0 for an unconditional network. */
  readonly labelDim?: number;
  /** Width of the augmentation labels; 0 for none. */
  readonly augmentDim?: number;
}

/** Width of the noise embedding, and the largest label: some preconditionings number levels up to 1000. */
const NOISE_CHANNELS = 32;
const LARGEST_LABEL = 1000;

/**
 * A multi-layer perceptron with SiLU, on the values, an embedding of the noise level, and the labels side by side. For
 * vectors and very small images.
 *
 * Shapes: input `[B, C, H, W]`, noise labels `[B]`, output `[B, outChannels, H, W]`.
 */
export class Mlp extends Module implements Network {
  readonly shape: ImageShape;
  readonly labelDim: number;
  private readonly augmentDim: number;
  private readonly mapNoise: PositionalEmbedding;
  private readonly layers: readonly Linear[];

  constructor({
    shape,
    outChannels = shape.channels,
    width = 128,
    hiddenLayers = 3,
    labelDim = 0,
    augmentDim = 0,
  }: MlpOptions) {
    super();
    const area = shape.height * shape.width;
    this.shape = shape;
    this.labelDim = labelDim;
    this.augmentDim = augmentDim;
    this.mapNoise = this.registerModule(
      "map_noise",
      new PositionalEmbedding(NOISE_CHANNELS, { maxPositions: LARGEST_LABEL }),
    );
    const widths = [
      shape.channels * area + NOISE_CHANNELS + labelDim + augmentDim,
      ...new Array<number>(hiddenLayers).fill(width),
    ];
    this.layers = [...widths, outChannels * area]
      .slice(1)
      .map((size, i) => this.registerModule(`layer${i}`, new Linear(widths[i] as number, size)));
  }

  /**
   * The raw output F, `[B, outChannels, H, W]`, in the dtype of `x`.
   *
   * @param x - scaled noisy items, `[B, C, H, W]`
   * @param noiseLabels - c_noise of each item, `[B]`, float32 or float64
   */
  forward(x: Tensor, noiseLabels: Tensor, { labels, augmentLabels }: Conditions = {}): Tensor {
    return scope(() => {
      const [batch = 0, , height = 1, width = 1] = x.shape;
      const { dtype } = x;
      const parts = [x.contiguous().view([batch, -1]), this.mapNoise.forward(noiseLabels)];
      const condition = (given: Tensor | undefined, size: number): Tensor[] =>
        size > 0 ? [given ?? zeros([batch, size], { dtype, device: x.device })] : [];
      const inputs = [...parts, ...condition(labels, this.labelDim), ...condition(augmentLabels, this.augmentDim)];
      let hidden = cat(
        inputs.map((part) => part.to({ dtype })),
        1,
      );
      this.layers.forEach((layer, i) => {
        hidden = layer.forward(i === 0 ? hidden : hidden.silu());
      });
      return hidden.view([batch, -1, height, width]);
    });
  }
}
