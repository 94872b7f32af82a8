/**
 * Trading time for memory (Chen et al. 2016, "Training deep nets with sublinear memory cost"): only the outputs of a network's
 * parts are kept, and each part is recomputed when the backward pass reaches it.
 */

import { noGrad } from "../autograd.js";
import { keep, scope } from "../scope.js";
import type { Tensor } from "../tensor.js";

/** Computes a tensor from tensors; its random numbers must be the same every time. */
export type Part = (...inputs: Tensor[]) => Tensor;

/** Runs the parts of one forward pass, and their backward pass. */
export class Recomputation {
  readonly #steps: { readonly backward: () => void; readonly kept: readonly Tensor[] }[] = [];
  readonly #outputs = new WeakSet<Tensor>();

  /**
   * The output of a part. Its intermediate results are not kept.
   *
   * @param inputs - outputs of {@link run} and {@link cut}, or tensors that need no gradient
   */
  run(part: Part, ...inputs: Tensor[]): Tensor {
    const output = keep(noGrad(() => scope(() => part(...inputs)))).requiresGrad_();
    // The owner of the other inputs may free them before they are needed again.
    const held = inputs.map((input) => (this.#outputs.has(input) ? input : keep(input.detach())));
    const backward = (): void => {
      const gradient = output.grad;
      if (gradient) part(...held).backward({ gradient });
    };
    this.#record(output, backward, [output, ...held.filter((input) => !this.#outputs.has(input))]);
    return output;
  }

  /** Makes `x`, which was computed with ordinary autograd, an input of parts. */
  cut(x: Tensor): Tensor {
    const leaf = keep(x.detach()).requiresGrad_();
    const backward = (): void => {
      const gradient = leaf.grad;
      if (gradient) x.backward({ gradient });
    };
    this.#record(leaf, backward, [keep(x), leaf]);
    return leaf;
  }

  #record(output: Tensor, backward: () => void, kept: readonly Tensor[]): void {
    this.#outputs.add(output);
    this.#steps.push({ backward, kept });
  }

  /** Propagates the gradients that a backward pass left at the last outputs through all parts, and frees the outputs. */
  backward(): void {
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      const { backward, kept } = step;
      try {
        scope(backward);
      } finally {
        for (const tensor of kept) tensor.dispose();
      }
    }
  }

  /** Frees what is kept, without a backward pass. What `using` calls. */
  [Symbol.dispose](): void {
    for (const { kept } of this.#steps) for (const tensor of kept) tensor.dispose();
    this.#steps.length = 0;
  }
}
