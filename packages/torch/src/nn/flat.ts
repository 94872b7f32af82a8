/**
 * Flat storage: all parameters of a module as views into one tensor, and all gradients into another. Optimizer steps,
 * averaging, clipping, reductions between processes and checkpoints then take a few calls, whatever the network.
 */

import { noGrad } from "../autograd.js";
import { zeros } from "../operators.generated.js";
import { keep, scope } from "../scope.js";
import { elementCount } from "../shape.js";
import type { Tensor } from "../tensor.js";
import type { Module } from "./module.js";

/** Every parameter starts on a 64-byte boundary, which is best for vectorised kernels. */
const ALIGNMENT = 16;

/** A parameter, and where it begins in the flat tensors. */
export interface PlacedParameter {
  /** The module's own. */
  readonly parameter: Tensor;
  /** Its first element in {@link FlatParameters.values}. */
  readonly offset: number;
}

interface Entry extends PlacedParameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** Convolution weights are laid out like `channels_last` activations, which saves a copy in every convolution. */
function stridesFor(shape: readonly number[]): number[] {
  const [, channels = 1, height = 1, width = 1] = shape;
  if (shape.length === 4) return [channels * height * width, 1, width * channels, channels];
  return shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
}

/** The flat storage of one module's parameters. Creating it moves the parameters into it and keeps their values. */
export class FlatParameters {
  /** All parameters, float32 `[length]`; gaps between them are zero. */
  readonly values: Tensor;
  /** All gradients in the same order. Backward passes add to them. Empty when the parameters are not trainable. */
  readonly gradients: Tensor;
  readonly #entries: readonly Entry[];

  /** @param options.trainable - false excludes the parameters from autograd and saves the memory for gradients */
  constructor(module: Module, { trainable = true }: { trainable?: boolean } = {}) {
    const { device } = module;
    const entries: Entry[] = [];
    let length = 0;
    for (const [name, parameter] of module.namedParameters()) {
      const { shape } = parameter;
      entries.push({ name, parameter, shape, strides: stridesFor(shape), offset: length });
      length += Math.ceil(elementCount(shape) / ALIGNMENT) * ALIGNMENT;
    }
    this.#entries = entries;
    this.values = keep(zeros([length], { device }));
    this.gradients = keep(zeros([trainable ? length : 0], { device }));
    const parameters = new Map(module.namedParameters());
    noGrad(() =>
      scope(() => {
        const gradients = trainable ? this.viewsOf(this.gradients) : undefined;
        for (const [name, view] of this.viewsOf(this.values)) {
          const parameter = parameters.get(name) as Tensor;
          parameter.setData(view.copy_(parameter));
          parameter.requiresGrad_(trainable);
          parameter.grad = gradients?.get(name) ?? null;
        }
      }),
    );
  }

  /** The parameters, in the order of the flat tensors. */
  get placed(): readonly PlacedParameter[] {
    return this.#entries;
  }

  /** Another flat tensor of this layout, filled with zeros, for a moment or an average. The caller owns it. */
  zerosLike(): Tensor {
    return keep(this.values.zerosLike());
  }

  /** Views of a flat tensor of this layout as parameters, by name. */
  viewsOf(flat: Tensor): Map<string, Tensor> {
    return new Map(
      this.#entries.map(({ name, shape, strides, offset }) => [name, flat.asStrided(shape, strides, offset)]),
    );
  }

  /** Sets all gradients to zero. */
  zeroGrad(): void {
    this.gradients.zero_();
  }

  /** Frees the flat tensors. The module's parameters are views and keep the storage alive. */
  dispose(): void {
    this.values.dispose();
    this.gradients.dispose();
  }
}
