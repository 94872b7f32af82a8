/**
 * Adam (Kingma and Ba, 2015, algorithm 1) and AdamW (Loshchilov and Hutter, 2019, algorithm 2), in PyTorch's formulation,
 * on flat storage.
 */

import { call, operator } from "../dispatch.js";
import type { FlatParameters } from "../nn/flat.js";
import type { Tensor } from "../tensor.js";
import type { ExponentialMovingAverage } from "./ema.js";

/** From native/kernels/adam.cc: one pass where its loop applies, stock operators elsewhere. */
const ADAM = operator("stf::adam_");

/** Options of an {@link Adam}. */
export interface AdamOptions {
  /** Decay rates of the first and second moment. */
  betas?: readonly [number, number];
  /** Added to the root of the second moment. */
  eps?: number;
  /** Decoupled weight decay (AdamW): each step first multiplies the parameters by 1 - lr weightDecay. */
  weightDecay?: number;
}

/**
 * Adam (Kingma and Ba 2015, algorithm 1), and with `weightDecay` AdamW (Loshchilov and Hutter 2019, algorithm 2), in
 * PyTorch's formulation. The moments are flat, as the parameters are.
 */
export class Adam {
  /** What is optimised. */
  readonly parameters: FlatParameters;
  /** Decay rates of the first and second moment. */
  readonly betas: readonly [number, number];
  /** Added to the root of the second moment. */
  readonly eps: number;
  /** Decoupled weight decay: each step first multiplies the parameters by 1 - lr weightDecay. */
  readonly weightDecay: number;
  /** First moment, flat. */
  readonly expAvg: Tensor;
  /** Second moment, flat. */
  readonly expAvgSq: Tensor;
  /** Steps taken so far. */
  stepCount = 0;

  /** Starts with moments of zero. The betas lie in [0, 1), `eps` and `weightDecay` are not negative. */
  constructor(parameters: FlatParameters, { betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0 }: AdamOptions = {}) {
    this.parameters = parameters;
    this.betas = betas;
    this.eps = eps;
    this.weightDecay = weightDecay;
    this.expAvg = parameters.zerosLike();
    this.expAvgSq = parameters.zerosLike();
  }

  /**
   * One update with learning rate `lr` from the current gradients.
   *
   * @param average - updated with the new parameters in the same pass, as {@link ExponentialMovingAverage.update} would
   * @throws TorchError when the average has another layout.
   */
  step(lr: number, average?: { readonly ema: ExponentialMovingAverage; readonly decay: number }): void {
    this.stepCount++;
    const { expAvg, expAvgSq, betas, eps, weightDecay } = this;
    const { values, gradients } = this.parameters;
    const state = [values, gradients, expAvg, expAvgSq].map((tensor) => tensor.handle);
    const averaged = average?.ema.average.values.handle;
    call(ADAM, ...state, lr, ...betas, eps, weightDecay, this.stepCount, averaged, average?.decay);
  }

  /** Frees the moments, not the parameters. */
  dispose(): void {
    this.expAvg.dispose();
    this.expAvgSq.dispose();
  }
}
