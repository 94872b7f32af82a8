/** A step of Adam on flat storage, whose float32 path is a loop of the addon, against its formulas in float64. */

import { callOperator, full, type Tensor } from "@stf/torch";
import { describe, expect } from "vitest";
import { expectClose, normal, scopedTest } from "../support.js";

const [lr, beta1, beta2, eps, weightDecay, step] = [0.1, 0.8, 0.95, 1e-6, 0.3, 3] as const;

const adam = (state: readonly Tensor[], average?: Tensor, decay = 0): unknown =>
  callOperator("stf::adam_", ...state, lr, beta1, beta2, eps, weightDecay, step, average ?? null, decay);

/** Algorithm 1 of Kingma and Ba for the step of that number, with decoupled weight decay. */
function expected([value, gradient, expAvg, expAvgSq]: readonly Tensor[]): [Tensor, Tensor, Tensor] {
  const first = expAvg!.mul(beta1).add(gradient!.mul(1 - beta1));
  const second = expAvgSq!.mul(beta2).add(gradient!.square().mul(1 - beta2));
  const change = first.div(1 - beta1 ** step).div(
    second
      .div(1 - beta2 ** step)
      .sqrt()
      .add(eps),
  );
  return [value!.mul(1 - lr * weightDecay).sub(change.mul(lr)), first, second];
}

// Less than a vector, several with a rest, and more than one thread takes.
describe.each([1, 15, 37, 40_003])("%i parameters", (count) => {
  const inputs = (): Tensor[] =>
    [1, 2, 3, 4].map((seed) => normal([count], seed)).map((t, i) => (i === 3 ? t.square() : t));

  scopedTest("values and both moments", () => {
    const exact = inputs();
    const state = exact.map((input) => input.float());
    adam(state);
    const [value, first, second] = expected(exact);
    expectClose(state[0]!.double(), value, { rtol: 1e-5, atol: 1e-6 });
    expectClose(state[2]!.double(), first, { rtol: 1e-5, atol: 1e-6 });
    expectClose(state[3]!.double(), second, { rtol: 1e-5, atol: 1e-6 });
  });

  scopedTest("an average goes along, from either end to the last bit", () => {
    for (const decay of [0, 0.3, 0.999, 1]) {
      const state = inputs().map((input) => input.float());
      const average = full([count], 0.25);
      adam(state, average, decay);
      if (decay === 0) expect(average.equal(state[0]!)).toBe(true);
      if (decay === 1) expect(average.equal(full([count], 0.25))).toBe(true);
      const mixed = state[0]!
        .double()
        .mul(1 - decay)
        .add(0.25 * decay);
      expectClose(average.double(), mixed, { rtol: 1e-6, atol: 1e-6 });
    }
  });
});
