import {
  Adam,
  clipGradientNorm,
  ExponentialMovingAverage,
  FlatParameters,
  gradientNorm,
  Linear,
  manualSeed,
  memory,
  noGrad,
  scope,
  tensor,
} from "@stf/torch";
import { describe, expect, test } from "vitest";
import { expectClose, normal, scopedTest } from "./support.js";

/** A flat parameter tensor of 32 numbers: 6 weights and 2 biases, each on a boundary of 16. */
function flatLinear(): { layer: Linear; flat: FlatParameters; dispose(): void } {
  const layer = new Linear(3, 2);
  const flat = new FlatParameters(layer);
  const dispose = (): void => {
    flat.dispose();
    layer.dispose();
  };
  return { layer, flat, dispose };
}

describe("Adam", () => {
  const betas = [0.8, 0.95] as const;
  const eps = 1e-6;

  /** Algorithm 1 of Kingma and Ba in float64, for one parameter. */
  function reference(start: number, gradients: number[], rates: number[]): number {
    let [value, first, second] = [start, 0, 0];
    for (const [i, gradient] of gradients.entries()) {
      first = betas[0] * first + (1 - betas[0]) * gradient;
      second = betas[1] * second + (1 - betas[1]) * gradient ** 2;
      const firstUnbiased = first / (1 - betas[0] ** (i + 1));
      const secondUnbiased = second / (1 - betas[1] ** (i + 1));
      value -= (rates[i]! * firstUnbiased) / (Math.sqrt(secondUnbiased) + eps);
    }
    return value;
  }

  scopedTest("with weight decay shrinks the values first, apart from the gradient", () => {
    const { flat, dispose } = flatLinear();
    const adam = new Adam(flat, { betas, eps, weightDecay: 0.3 });
    const start = flat.values.toFloat64Array();
    const gradients = normal([3, 32], 4).float();
    const rates = [0.1, 0.05, 0.2];
    for (const [i, rate] of rates.entries()) {
      flat.gradients.copy_(gradients.select(0, i));
      adam.step(rate);
    }
    // Decoupled decay, step by step: Adam's own step does not see the shrinking.
    const expected = start.map((value, j) => {
      const column = Array.from(gradients.select(1, j).toFloat64Array());
      let found = value;
      let last = 0;
      for (const [i, rate] of rates.entries()) {
        const total = reference(0, column.slice(0, i + 1), rates.slice(0, i + 1));
        found = found * (1 - 0.3 * rate) + (total - last);
        last = total;
      }
      return found;
    });
    expectClose(flat.values, expected, { rtol: 1e-5, atol: 1e-6 });
    adam.dispose();
    dispose();
  });

  scopedTest("follows the algorithm for 20 steps of changing rate", () => {
    const { flat, dispose } = flatLinear();
    const adam = new Adam(flat, { betas, eps });
    const rates = Array.from({ length: 20 }, (_, i) => 0.1 / (1 + i));
    // Gradients of very different size: Adam's steps are of one size all the same.
    const gradients = normal([20, 32], 1)
      .mul(tensor([1e-4, 1, 1e3, 0], { dtype: "float64" }).repeat([8]))
      .float();
    const start = flat.values.toFloat64Array();
    for (const [i, rate] of rates.entries()) {
      flat.gradients.copy_(gradients.select(0, i));
      adam.step(rate);
    }
    expect(adam.stepCount).toBe(20);
    const expected = start.map((value, j) =>
      reference(value, Array.from(gradients.select(1, j).toFloat64Array()), rates),
    );
    expectClose(flat.values, expected, { rtol: 1e-5, atol: 1e-6 });
    expect(Math.abs(flat.values.select(0, 0).item() - start[0]!)).toBeGreaterThan(0.01);
    adam.dispose();
    dispose();
  });

  scopedTest("updates an average in the same pass as it would be after it", () => {
    for (const decay of [0, 0.3, 0.999, 1]) {
      const [apart, together] = [flatLinear(), flatLinear()];
      const results = [apart, together].map(({ flat }) => {
        flat.values.copy_(normal([32], 5).float());
        const target = flatLinear();
        const ema = new ExponentialMovingAverage(flat, target.flat);
        ema.average.values.copy_(normal([32], 6).float());
        flat.gradients.copy_(normal([32], 7).float());
        const adam = new Adam(flat, { betas, eps });
        if (flat === together.flat) {
          adam.step(0.1, { ema, decay });
        } else {
          adam.step(0.1);
          ema.update(decay);
        }
        const result = [flat.values.clone(), ema.average.values.clone()] as const;
        adam.dispose();
        target.dispose();
        return result;
      });
      expect(results[0]![0].equal(results[1]![0])).toBe(true);
      expectClose(results[1]![1], results[0]![1], { rtol: 1e-6, atol: 1e-7 });
      // A decay of 0 copies, to the last bit.
      if (decay === 0) expect(results[1]![1].equal(results[1]![0])).toBe(true);
      apart.dispose();
      together.dispose();
    }
  });

  scopedTest("an average of another layout is an error", () => {
    const { flat, dispose } = flatLinear();
    const other = new Linear(5, 40);
    const wrong = new FlatParameters(other);
    const adam = new Adam(flat);
    const ema = { average: wrong } as ExponentialMovingAverage;
    expect(() => adam.step(0.1, { ema, decay: 0.5 })).toThrow("must have the parameters' shape, [32]");
    adam.dispose();
    wrong.dispose();
    other.dispose();
    dispose();
  });

  scopedTest("moves every parameter by the rate in the first step, against its gradient", () => {
    const { flat, dispose } = flatLinear();
    const adam = new Adam(flat);
    const before = flat.values.clone();
    flat.gradients.copy_(normal([32], 2).float());
    adam.step(0.5);
    expectClose(flat.values.sub(before), flat.gradients.sign().mul(-0.5), { rtol: 1e-5, atol: 1e-6 });
    adam.dispose();
    dispose();
  });

  scopedTest("finds the minimum of a least-squares problem, and holds no more memory than at the start", () => {
    manualSeed(0);
    const { layer, flat, dispose } = flatLinear();
    const adam = new Adam(flat, { betas: [0.9, 0.99] });
    const x = normal([64, 3], 3).float();
    const y = x.matmul(tensor([1, -2, 0.5, 0, 3, 1], { shape: [3, 2] })).add(tensor([0.25, -1]));
    const before = memory();
    for (let i = 0; i < 500; i++) {
      scope(() => {
        flat.zeroGrad();
        layer.forward(x).mseLoss(y).backward();
      });
      adam.step(0.1 * 0.99 ** i);
    }
    expect(memory()).toEqual(before);
    expectClose(layer.weight.t(), [1, -2, 0.5, 0, 3, 1], { atol: 1e-3 });
    expectClose(layer.bias!, [0.25, -1], { atol: 1e-3 });
    adam.dispose();
    dispose();
  });

  test("disposing frees both moments", () => {
    const { flat, dispose } = flatLinear();
    const before = memory();
    new Adam(flat).dispose();
    expect(memory()).toEqual(before);
    dispose();
  });
});

describe("ExponentialMovingAverage", () => {
  scopedTest("starts as a copy, then weighs the past geometrically", () => {
    const [source, average] = [flatLinear(), flatLinear()];
    expect(source.flat.values.equal(average.flat.values)).toBe(false);
    const ema = new ExponentialMovingAverage(source.flat, average.flat);
    expect(average.flat.values.equal(source.flat.values)).toBe(true);
    const start = source.flat.values.clone();
    const states = normal([10, 32], 4).float();
    const decay = 0.7;
    for (const state of states.unbind()) {
      noGrad(() => source.flat.values.copy_(state));
      ema.update(decay);
    }
    // decay^10 start + sum over k of (1 - decay) decay^(9 - k) state_k
    const weights = tensor(Float64Array.from({ length: 10 }, (_, k) => (1 - decay) * decay ** (9 - k)));
    const expected = states
      .double()
      .mul(weights.unsqueeze(1))
      .sum(0)
      .add(start.double().mul(decay ** 10));
    expectClose(average.flat.values.double(), expected, { rtol: 1e-5, atol: 1e-6 });
    source.dispose();
    average.dispose();
  });

  scopedTest("a decay of 0 copies, of 1 changes nothing, bit for bit", () => {
    const [source, average] = [flatLinear(), flatLinear()];
    const ema = new ExponentialMovingAverage(source.flat, average.flat);
    noGrad(() => source.flat.values.copy_(normal([32], 5).float().mul(1e4)));
    const before = average.flat.values.clone();
    ema.update(1);
    expect(average.flat.values.equal(before)).toBe(true);
    ema.update(0);
    expect(average.flat.values.equal(source.flat.values)).toBe(true);
    expect(average.layer.forward(normal([1, 3])).equal(source.layer.forward(normal([1, 3])))).toBe(true);
    source.dispose();
    average.dispose();
  });
});

describe("clipping by norm", () => {
  scopedTest("shrinks all gradients by one factor, and only when they are too long", () => {
    const { flat, dispose } = flatLinear();
    const gradients = normal([32], 3).float();
    const norm = Math.sqrt(gradients.toFloat64Array().reduce((sum, value) => sum + value * value, 0));
    flat.gradients.copy_(gradients);
    expect(clipGradientNorm(flat, 2 * norm)).toBeCloseTo(norm, 4);
    expectClose(flat.gradients, gradients, { rtol: 0, atol: 0 });
    expect(clipGradientNorm(flat, norm / 4)).toBeCloseTo(norm, 4);
    expectClose(flat.gradients, gradients.mul(0.25));
    expect(gradientNorm(flat)).toBeCloseTo(norm / 4, 4);
    dispose();
  });

  scopedTest("leaves gradients that are not finite, and says so", () => {
    const { flat, dispose } = flatLinear();
    flat.gradients.fill_(1).select(0, 0).fill_(Number.POSITIVE_INFINITY);
    expect(clipGradientNorm(flat, 1)).toBe(Number.POSITIVE_INFINITY);
    expect(flat.gradients.select(0, 1).item()).toBe(1);
    dispose();
  });
});
