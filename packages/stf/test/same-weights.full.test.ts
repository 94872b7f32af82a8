/** More trainings in several processes that have the weights of one. */

import { describe } from "vitest";
import { testSameWeights } from "./same-weights.js";

describe("the same weights, step by step,", () => {
  testSameWeights("in two processes as in one", [], 2);
  testSameWeights(
    "in three, with parts of different sizes, all references and recomputation",
    ["--rbatch=all", "--augment=0", "--recompute"],
    3,
  );
  testSameWeights(
    "in four, with a limit on gradients and two averages",
    ["--clip=0.5", "--average=power", "--augment=0"],
    4,
  );
});
