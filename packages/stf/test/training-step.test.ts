/** The two halves of a training step, a loop of one's own from the same parts, and losses of one's own. */

import { scope, type Tensor, tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { DataOrder } from "../src/data/order.js";
import type { NetworkConfig } from "../src/networks/build.js";
import { edmPreconditioning } from "../src/preconditioning/edm.js";
import { denoisingTarget } from "../src/targets/denoising.js";
import { stableFieldTarget } from "../src/targets/stable-field.js";
import { perturbedImages } from "../src/targets/target.js";
import { addGradients, type Loss, weightedError, weightedSquaredError } from "../src/training/loss.js";
import { type PerturbSettings, perturb } from "../src/training/perturb.js";
import { disposeState, initialState, type TrainingState } from "../src/training/state.js";
import { applyGradients, computeGradients, type TrainingSettings, trainingStep } from "../src/training/step.js";
import { blobs, relativeDeviation, sameBits, tensorsLeft } from "./support.js";

const bank = blobs(60, 8);
afterAll(() => bank.dispose());
const config: NetworkConfig = {
  arch: "ddpmpp",
  precond: "edm",
  shape: bank.shape,
  modelChannels: 8,
  channelMult: [1, 2],
  numBlocks: 1,
  attnResolutions: [4],
  dropout: 0,
};
const settings: TrainingSettings & PerturbSettings = {
  seed: 5,
  batch: 16,
  microBatch: 16,
  learningRate: { peak: 4e-3, rampup: 0 },
  ema: { halflife: 200, rampupRatio: 0.05 },
  lossScaling: 1,
  noiseLevels: (random) => Math.exp(-1.2 + 1.2 * random.normal()),
  target: stableFieldTarget(),
  references: 32,
};
const data = { bank, order: new DataOrder(bank.count, settings.seed) };

/** What `body` makes of a state that has two steps behind it: its own result, the weights, moments and averages, and the clock. */
function after<T>(body: (state: TrainingState) => T): { result: T; tensors: Tensor[]; clock: number[] } {
  const state = initialState(config, 5, "fp32");
  for (let i = 0; i < 2; i++) trainingStep(state, data, settings);
  const result = body(state);
  const { parameters, ema, optimizer, images } = state;
  const flat = [parameters.values, ema.average.values, optimizer.expAvg, optimizer.expAvgSq];
  const tensors = flat.map((each) => each.detach().clone());
  disposeState(state);
  return { result, tensors, clock: [images, optimizer.stepCount] };
}

const areSame = (left: Tensor[], right: Tensor[]): boolean => left.every((each, i) => sameBits(each, right[i]!));

describe("the halves of a step", () => {
  test("give the step, to the last bit, and the first alone changes gradients only", () => {
    scope(() => {
      const whole = after((state) => trainingStep(state, data, settings));
      const untouched = after(() => undefined);
      const first = after((state) => computeGradients(state, data, settings).count);
      expect(first.result).toBe(16 * 64);
      expect(areSame(first.tensors, untouched.tensors)).toBe(true);
      expect(first.clock).toEqual(untouched.clock);
      const halves = after((state) => {
        // Once more than needed: it sets the gradients, and does not add to them.
        computeGradients(state, data, settings);
        return applyGradients(state, computeGradients(state, data, settings), settings);
      });
      expect(halves).toMatchObject({ result: whole.result, clock: whole.clock });
      expect(areSame(halves.tensors, whole.tensors)).toBe(true);
      expect(areSame(halves.tensors, untouched.tensors)).toBe(false);
    });
  });

  test("what happens to the gradients in between is what the weights follow", () => {
    scope(() => {
      // The mean over two processes that happen to have the same samples, by their sum. Powers of two lose no bit.
      const agreed = after((state) => {
        const { sums, count } = computeGradients(state, data, { ...settings, lossScaling: 2 });
        state.parameters.gradients.mul_(0.5);
        return applyGradients(state, { sums: sums.mul(2), count: 2 * count }, settings);
      });
      const whole = after((state) => trainingStep(state, data, settings));
      expect(areSame(agreed.tensors, whole.tensors)).toBe(true);
      expect(agreed.result).toEqual({ ...whole.result, count: 2 * whole.result.count });
    });
  });

  test("gradients that are spoiled in between leave everything but the clock as it was", () => {
    scope(() => {
      const spoiled = after((state) => {
        const sums = computeGradients(state, data, settings);
        state.parameters.gradients.narrow(0, 7, 1).fill_(Number.NaN);
        return applyGradients(state, sums, settings).isSkipped;
      });
      const untouched = after(() => undefined);
      expect(spoiled.result).toBe(true);
      expect(areSame(spoiled.tensors, untouched.tensors)).toBe(true);
      expect(spoiled.clock).toEqual([untouched.clock[0]! + settings.batch, untouched.clock[1]]);
    });
  });

  test("leave no tensors behind", () => {
    after((state) => {
      const step = (): void => void applyGradients(state, computeGradients(state, data, settings), settings);
      step();
      expect(tensorsLeft(step)).toBe(0);
    });
  });
});

test("a loop of one's own from the same parts gives the step, to the last bit", () => {
  scope(() => {
    const denoising = { ...settings, target: denoisingTarget };
    const whole = after((state) => trainingStep(state, data, denoising));
    const own = after((state) => {
      const { network, parameters, images } = state;
      parameters.zeroGrad();
      const samples = Array.from({ length: 16 }, (_, i) => images + i);
      const { seed, noiseLevels } = settings;
      const batch = perturb(samples, data.order.range(images, 16), bank, { seed, noiseLevels });
      const error = weightedError(network, batch, denoisingTarget.of(batch));
      return applyGradients(state, { sums: addGradients(error, 1 / 16), count: error.numel }, settings);
    });
    expect(own.result).toEqual(whole.result);
    expect(areSame(own.tensors, whole.tensors)).toBe(true);
  });
});

describe("a loss of one's own", () => {
  test("that of the preconditioning is the default, to the last bit", () => {
    scope(() => {
      const loss = weightedSquaredError(edmPreconditioning());
      const [own, plain] = [{ loss }, {}].map((more) =>
        after((state) => trainingStep(state, data, { ...settings, ...more })),
      );
      expect(own!.result).toEqual(plain!.result);
      expect(areSame(own!.tensors, plain!.tensors)).toBe(true);
    });
  });

  test("pseudo-Huber: the step reports its mean, and follows its gradient", () => {
    const c = 0.03;
    const huber: Loss = (output, target) =>
      scope(() =>
        output
          .sub(target)
          .square()
          .add(c ** 2)
          .sqrt()
          .sub(c),
      );
    scope(() => {
      const { result } = after((state) => {
        const { network, images, parameters } = state;
        const samples = Array.from({ length: 16 }, (_, i) => images + i);
        const batch = perturb(samples, data.order.range(images, 16), bank, settings);
        const difference = network.forward(perturbedImages(batch), batch.sigma).sub(batch.source);
        const numbers = difference.toFloat64Array();
        const values = numbers.map((d) => Math.sqrt(d ** 2 + c ** 2) - c);
        const slopes = numbers.map((d) => d / Math.sqrt(d ** 2 + c ** 2) / 16);
        // The gradient by the chain rule: slopes of the loss times what the network makes of its weights.
        parameters.zeroGrad();
        const factors = tensor(slopes, { shape: difference.shape, dtype: "float32" });
        network.forward(perturbedImages(batch), batch.sigma).mul(factors).sum().backward();
        const expected = parameters.gradients.toFloat64Array();
        const loss = trainingStep(state, data, { ...settings, target: denoisingTarget, loss: huber });
        expect(relativeDeviation(parameters.gradients, expected)).toBeLessThan(1e-5);
        return { loss, mean: values.reduce((sum, value) => sum + value, 0) / values.length };
      });
      expect(Math.abs(result.loss.mean / result.mean - 1)).toBeLessThan(1e-5);
      expect(result.loss.count).toBe(1024);
    });
  });
});
