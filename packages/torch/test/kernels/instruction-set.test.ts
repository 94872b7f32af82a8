/** That the other tests of this folder test what they are run for. */

import { engineReport } from "@stf/torch";
import { instructionSets } from "@stf/torch/installation";
import { expect, test } from "vitest";

test("the kernels use the instruction set that the environment names, or the best", () => {
  const asked = process.env["TORCH_INSTRUCTION_SET"];
  expect(engineReport().instructionSet).toBe(asked ?? instructionSets().at(-1));
});
