/** The end of a residual block in one pass, against two stock operators. */

import { grad, scaledAdd_, TorchError } from "@stf/torch";
import { expect } from "vitest";
import { expectClose, normal, scopedTest } from "../support.js";

for (const dtype of ["float32", "bfloat16", "float64"] as const) {
  for (const memoryFormat of ["channelsLast", "contiguous"] as const) {
    scopedTest(`(self + other) scale in ${dtype}, ${memoryFormat}, with gradients`, () => {
      // A number of elements that is no multiple of a vector's.
      const [a, b] = [1, 2].map((seed) => normal([3, 5, 7, 3], seed).to({ dtype, memoryFormat }).requiresGrad_());
      // In place on a leaf is an error, so on something computed from one.
      const self = a!.mul(1);
      const sum = scaledAdd_(self, b!, 0.7);
      expect(sum).toBe(self);
      const expected = a!.detach().double().add(b!.detach().double()).mul(0.7);
      const tolerance = { float32: 1e-6, bfloat16: 2 ** -8, float64: 0.7e-15 }[dtype];
      expectClose(sum.double(), expected, { rtol: tolerance, atol: tolerance });
      const dy = normal([3, 5, 7, 3], 3).to({ dtype });
      for (const gradient of grad([sum], [a!, b!], { gradOutputs: [dy] })) {
        expectClose(gradient.double(), dy.double().mul(0.7), { rtol: tolerance, atol: tolerance });
      }
    });
  }
}

scopedTest("a bias is added to every channel, and has the sum of the gradients", () => {
  const [a, b] = [1, 2].map((seed) => normal([3, 4, 5, 2], seed).requiresGrad_());
  const bias = normal([4], 3).requiresGrad_();
  const sum = scaledAdd_(a!.mul(1), b!, 0.7, bias);
  expectClose(
    sum,
    a!
      .detach()
      .add(b!.detach())
      .add(bias.detach().view([1, 4, 1, 1]))
      .mul(0.7),
    { rtol: 1e-14 },
  );
  const dy = normal([3, 4, 5, 2], 4);
  const [, , found] = grad([sum], [a!, b!, bias], { gradOutputs: [dy] });
  expectClose(found!, dy.mul(0.7).sum([0, 2, 3]), { rtol: 1e-6 });
  expect(() => scaledAdd_(a!.mul(1), b!, 1, normal([5]))).toThrow(/bias.*4/);
});

scopedTest("layouts that differ, and sizes that are broadcast, go through stock operators", () => {
  const a = normal([2, 3, 4, 5], 1).float();
  const expected = a.add(normal([3, 1, 1], 2).float()).mul(2);
  expectClose(scaledAdd_(a, normal([3, 1, 1], 2).float(), 2), expected, { rtol: 1e-6, atol: 1e-6 });
  const b = normal([2, 3, 4, 5], 3).float();
  const both = b.add(a).mul(0.5);
  expectClose(scaledAdd_(b, a.to({ memoryFormat: "channelsLast" }), 0.5), both, { rtol: 1e-6, atol: 1e-6 });
});

scopedTest("shapes that do not fit, and leaves that require a gradient, are errors", () => {
  expect(() => scaledAdd_(normal([2, 3]), normal([2, 4]), 1)).toThrow(TorchError);
  expect(() => scaledAdd_(normal([2, 3]).float().requiresGrad_(), normal([2, 3]).float(), 1)).toThrow(/leaf/);
});
