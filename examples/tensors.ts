/** Tensors in five lines: a gradient, by libtorch. Run: node examples/dist/tensors.js */

import { scope, tensor } from "@stf/torch";

const w = tensor([1, 2, 3]).requiresGrad_();
scope(() => w.mul(w).sum().backward());
console.log(`the gradient of w² at [1, 2, 3] is ${JSON.stringify(w.grad?.toArray())}`);
