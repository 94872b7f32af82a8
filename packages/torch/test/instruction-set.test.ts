/** Which instruction sets the kernels may be asked for, and on whose threads they run. */

import { spawnSync } from "node:child_process";
import { addonPath, instructionSets } from "@stf/torch/installation";
import { describe, expect, test } from "vitest";
import { dtypeCode } from "../src/dtype.js";

/** What a script prints that has the addon, in a process of its own. */
function withAddon(body: string, env: Record<string, string> = {}): { stdout: string; stderr: string } {
  const script = `const addon = require(process.argv[1]); addon.initialize(Error, new Float64Array(34)); ${body}`;
  return spawnSync(process.execPath, ["-e", script, addonPath], { env: { ...process.env, ...env }, encoding: "utf8" });
}

describe("a name that is unknown, or not of this processor, is refused in one line", () => {
  const own: string[] = instructionSets();
  const all = ["baseline", "avx2", "avx512", "avx512vnni", "avx512bf16"];
  test.each(["sse", "AVX2", ...all.filter((name) => !own.includes(name))])("%s", (name) => {
    expect(withAddon("", { TORCH_INSTRUCTION_SET: name }).stderr).toContain(
      `Error: TORCH_INSTRUCTION_SET must name one that this processor has (${own.join(", ")}), found "${name}"; ` +
        "without it the last of these is used\n",
    );
  });
});

test.skipIf(process.platform !== "linux")("loops are shared out, among the threads that libtorch has anyway", () => {
  const { stdout, stderr } = withAddon(`
    const threads = () => require("node:fs").readdirSync("/proc/self/task").length;
    const [a, b] = [0, 1].map(() => addon.fromBytes(new Uint8Array(4 << 20), ${dtypeCode("float32")}, [1 << 20], "cpu"));
    addon.setThreads(4);
    const before = threads();
    for (const name of ["stf::scaled_add_", "aten::add_.Tensor"]) {
      addon.call(addon.operator(name), a, b, 1);
      console.log(threads() - before);
    }`);
  expect([stdout, stderr]).toEqual(["3\n3\n", ""]);
});
