/** Adam (Kingma and Ba, 2015, algorithm 1), in PyTorch's formulation, on flat storage. */

import { noGrad } from "../autograd.js";
import type { FlatParameters } from "../nn/flat.js";
import { scope } from "../scope.js";
import type { Tensor } from "../tensor.js";

export interface AdamOptions {
  /** Decay rates of the first and second moment. */
  betas?: readonly [number, number];
  /** Added to the root of the second moment. */
  eps?: number;
}

export class Adam {
  readonly parameters: FlatParameters;
  readonly betas: readonly [number, number];
  readonly eps: number;
  /** First moment, flat. */
  readonly expAvg: Tensor;
  /** Second moment, flat. */
  readonly expAvgSq: Tensor;
  /** Steps taken so far. */
  stepCount = 0;

  constructor(parameters: FlatParameters, { betas = [0.9, 0.999], eps = 1e-8 }: AdamOptions = {}) {
    this.parameters = parameters;
    this.betas = betas;
    this.eps = eps;
    this.expAvg = parameters.zerosLike();
    this.expAvgSq = parameters.zerosLike();
  }

  /** One update with learning rate `lr` from the gradients at hand. */
  step(lr: number): void {
    this.stepCount++;
    const [beta1, beta2] = this.betas;
    const { values, gradients } = this.parameters;
    noGrad(() =>
      scope(() => {
        this.expAvg.mul_(beta1).add_(gradients, { alpha: 1 - beta1 });
        this.expAvgSq.mul_(beta2).addcmul_(gradients, gradients, { value: 1 - beta2 });
        const correction = Math.sqrt(1 - beta2 ** this.stepCount);
        const denominator = this.expAvgSq.sqrt().div_(correction).add_(this.eps);
        values.addcdiv_(this.expAvg, denominator, { value: -lr / (1 - beta1 ** this.stepCount) });
      }),
    );
  }

  dispose(): void {
    this.expAvg.dispose();
    this.expAvgSq.dispose();
  }
}
