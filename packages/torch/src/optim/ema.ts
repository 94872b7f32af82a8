import { noGrad } from "../autograd.js";
import type { FlatParameters } from "../nn/flat.js";

/** Exponential moving average of the parameters of one module, kept as the parameters of another of the same layout. */
export class ExponentialMovingAverage {
  /** What is averaged. */
  readonly source: FlatParameters;
  /** The parameters that hold the average. */
  readonly average: FlatParameters;

  /**
   * Starts with a copy of the source's values.
   *
   * @throws TorchError when the layouts differ.
   */
  constructor(source: FlatParameters, average: FlatParameters) {
    this.source = source;
    this.average = average;
    noGrad(() => average.values.copy_(source.values));
  }

  /** average <- decay * average + (1 - decay) * source, in float32. The decay lies in [0, 1]; 0 copies. */
  update(decay: number): void {
    noGrad(() => this.average.values.lerp_(this.source.values, 1 - decay));
  }
}
