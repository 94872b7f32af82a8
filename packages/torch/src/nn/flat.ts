/**
 * Flat storage: all parameters of a module as views into one tensor, and all gradients into another. Optimizer steps,
 * averaging, clipping, reductions between processes and checkpoints then are a few calls, whatever the network.
 */

import { noGrad } from "../autograd.js";
import type { Device } from "../dtype.js";
import { zeros } from "../operators.generated.js";
import { keep, scope } from "../scope.js";
import { elementCount } from "../shape.js";
import type { Tensor } from "../tensor.js";
import type { Module } from "./module.js";

/** Every parameter starts on a 64-byte boundary, as vectorised kernels like it. */
const ALIGNMENT = 16;

interface Entry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}

/** Convolution weights lie as `channels_last` activations do, which saves a copy in every convolution. */
function stridesFor(shape: readonly number[]): number[] {
  const [, channels = 1, height = 1, width = 1] = shape;
  if (shape.length === 4) return [channels * height * width, 1, width * channels, channels];
  return shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
}

/** The flat storage of one module's parameters. Creating it moves the parameters into it; their values stay. */
export class FlatParameters {
  /** All parameters, float32 `[length]`; gaps between them are zero. */
  readonly values: Tensor;
  /** All gradients in the same order. Backward passes add to them. */
  readonly gradients: Tensor;
  readonly #entries: readonly Entry[];

  constructor(module: Module, { device = "cpu" }: { device?: Device } = {}) {
    const entries: Entry[] = [];
    let length = 0;
    for (const [name, parameter] of module.namedParameters()) {
      const { shape } = parameter;
      entries.push({ name, shape, strides: stridesFor(shape), offset: length });
      length += Math.ceil(elementCount(shape) / ALIGNMENT) * ALIGNMENT;
    }
    this.#entries = entries;
    this.values = keep(zeros([length], { device }));
    this.gradients = keep(zeros([length], { device }));
    const parameters = new Map(module.namedParameters());
    noGrad(() =>
      scope(() => {
        for (const [name, view] of this.viewsOf(this.values))
          parameters.get(name)?.setData(view.copy_(parameters.get(name) as Tensor));
        for (const [name, view] of this.viewsOf(this.gradients)) (parameters.get(name) as Tensor).grad = view;
      }),
    );
  }

  /** Another flat tensor of this layout, filled with zeros: room for a moment or an average. The caller owns it. */
  zerosLike(): Tensor {
    return keep(this.values.zerosLike());
  }

  /** A flat tensor of this layout seen as the parameters it stands for, by name. */
  viewsOf(flat: Tensor): Map<string, Tensor> {
    return new Map(
      this.#entries.map(({ name, shape, strides, offset }) => [name, flat.asStrided(shape, strides, offset)]),
    );
  }

  /** Sets all gradients to zero. */
  zeroGrad(): void {
    this.gradients.zero_();
  }

  dispose(): void {
    this.values.dispose();
    this.gradients.dispose();
  }
}
