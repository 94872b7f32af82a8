/** `--dry-run` says how much memory a training takes, within 20 %; memory-estimate.full.test.ts has larger networks. */

import { test } from "vitest";
import { expectMemoryAsEstimated } from "./memory-estimate.js";

test.each([
  ["a small U-Net", 96, ["--cbase=32", "--cres=1,1,2", "--num-blocks=1", "--attn=8", "--stf", "--rbatch=all"]],
  ["adm", 24, ["--arch=adm", "--cbase=64", "--cres=1,2,2", "--num-blocks=1", "--attn=8"]],
] as const)("%s", (_, batch, options) => expectMemoryAsEstimated(batch, options));
