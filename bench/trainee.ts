/** A network in training, with random images to train on. */

import { manualSeed, noGrad, randn, saveSafetensors, scope, tensor } from "@stf/torch";
import {
  DataOrder,
  type Denoiser,
  disposeState,
  forwardFlops,
  type ImageBank,
  initialState,
  logNormalLevels,
  type NetworkConfig,
  type Precision,
  type TrainingData,
  type TrainingSettings,
  type TrainingState,
  trainingStep,
} from "stf";
import { randomBank } from "./networks.js";
import type { Place } from "./place.js";

/** The options of the steps of one network. */
export type Objective = Pick<TrainingSettings, "target"> & Partial<TrainingSettings>;

/** Values of the output that both sides compare. */
const COMPARED = 4096;

export class Trainee {
  readonly #state: TrainingState;
  readonly #bank: ImageBank;
  readonly #data: TrainingData;
  readonly #config: NetworkConfig;
  readonly #batch: number;
  readonly #place: Place;

  /** @param images - in the data set; with classes, equally many of each */
  constructor(place: Place, config: NetworkConfig, precision: Precision, batch: number, images = 10_240) {
    const { device } = place;
    this.#place = place;
    this.#config = config;
    this.#batch = batch;
    this.#state = initialState(config, 0, precision, device);
    const bank = randomBank(config.shape, images, config.labelDim, device);
    this.#bank = bank;
    this.#data = { bank, order: new DataOrder(bank.count, 0) };
    this.#unsettle();
  }

  /** New networks end in layers near zero, so their outputs would agree whatever the layers before compute. */
  #unsettle(): void {
    const { network, averaged } = this.#state;
    manualSeed(1);
    noGrad(() => {
      for (const [, parameter] of network.namedParameters()) {
        const { shape } = parameter;
        const inputs = shape.slice(1).reduce((product, size) => product * size, 1);
        scope(
          () => void parameter.add_(randn(shape, { device: parameter.device }), { alpha: 0.3 / Math.sqrt(inputs) }),
        );
      }
    });
    averaged.loadStateDict(network.stateDict());
  }

  /** The averaged network. */
  get denoiser(): Denoiser {
    return this.#state.averaged;
  }

  /** Floating-point operations of one forward pass over one image. */
  get forwardFlops(): number {
    const shapes = [...this.#state.network.stateDict()].map(([name, { shape }]) => [name, shape] as const);
    return forwardFlops(shapes, this.#config.shape.height);
  }

  /** Seconds of one training step. */
  step(objective: Objective): number {
    const settings: TrainingSettings = {
      seed: 0,
      batch: this.#batch,
      microBatch: this.#batch,
      learningRate: { peak: 1e-3, rampup: 0 },
      ema: { halflife: 500_000, rampupRatio: null },
      lossScaling: 1,
      noiseLevels: logNormalLevels(-1.2, 1.2),
      sameClass: this.#bank.labels !== undefined,
      ...objective,
    };
    return this.#place.time(() => void trainingStep(this.#state, this.#data, settings));
  }

  saveWeights(path: string): void {
    saveSafetensors(path, this.#state.averaged.stateDict());
  }

  /** Writes inputs of the denoiser to a file, and returns its first outputs. */
  output(path: string): number[] {
    const sigma = Float64Array.of(0.5, 2);
    return scope(() => {
      const { device } = this.#place;
      const x = randn([sigma.length, ...Object.values(this.#config.shape)], { device });
      const inputs = { x, sigma: tensor(sigma, { dtype: "float32" }) };
      saveSafetensors(path, new Map(Object.entries(inputs)));
      return Array.from(this.denoiser.forward(x, sigma).flatten().slice(0, 0, COMPARED).toFloat32Array());
    });
  }

  dispose(): void {
    disposeState(this.#state);
    this.#bank.dispose();
  }
}
