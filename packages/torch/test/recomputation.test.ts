/** Recomputation against ordinary backward passes. */

import { grad, Linear, manualSeed, memory, Recomputation, scope, type Tensor } from "@stf/torch";
import { expect } from "vitest";
import { expectClose, normal, scopedTest } from "./support.js";

/** A network with a skip: x -> a -> b, and the output sees both; what it computes on the way is counted. */
function forward(
  layers: readonly Linear[],
  x: Tensor,
  run: (part: (...inputs: Tensor[]) => Tensor, ...inputs: Tensor[]) => Tensor,
): Tensor {
  const [first, second, third] = layers as [Linear, Linear, Linear];
  const a = run((input) => first.forward(input).tanh(), x);
  const b = run((input) => second.forward(input).sin().mul(input), a);
  return run((left, right) => third.forward(left.add(right)).exp(), a, b);
}

const direct = (part: (...inputs: Tensor[]) => Tensor, ...inputs: Tensor[]): Tensor => part(...inputs);

scopedTest("gradients of parameters and of the input are those of an ordinary backward pass", () => {
  manualSeed(1);
  const layers = [new Linear(4, 6), new Linear(6, 6), new Linear(6, 3)];
  const start = normal([5, 4], 1).float().requiresGrad_();
  const parameters = layers.flatMap((layer) => layer.parameters());
  const expected = grad([forward(layers, start.mul(2), direct).square().sum()], [start, ...parameters]);

  const before = memory().tensors;
  using recomputation = new Recomputation();
  const loss = scope(() => {
    const x = recomputation.cut(start.mul(2));
    return forward(layers, x, (part, ...inputs) => recomputation.run(part, ...inputs))
      .square()
      .sum();
  });
  // Nothing has reached the parameters before the parts are computed again.
  loss.backward();
  expect(parameters.map((parameter) => parameter.grad)).toEqual(parameters.map(() => null));
  recomputation.backward();
  loss.dispose();
  expect(memory().tensors).toBe(before);
  for (const [i, gradient] of expected.entries()) {
    expectClose([start, ...parameters][i]!.grad!, gradient, { rtol: 1e-5, atol: 1e-6 });
  }
  for (const layer of layers) layer.dispose();
});

scopedTest("given up before the backward pass, it frees what it kept", () => {
  const layers = [new Linear(4, 6), new Linear(6, 6), new Linear(6, 3)];
  const x = normal([5, 4], 1).float();
  const before = memory().tensors;
  scope(() => {
    using recomputation = new Recomputation();
    forward(layers, x, (part, ...inputs) => recomputation.run(part, ...inputs));
  });
  expect(memory().tensors).toBe(before);
  for (const layer of layers) layer.dispose();
});
