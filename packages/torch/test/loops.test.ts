/** What the loops, compiled once per instruction set, leave for the linker to choose from. */

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { addonPath } from "@stf/torch/installation";
import { describe, expect, test } from "vitest";

const objects = join(dirname(addonPath), "CMakeFiles");
const hasNm = spawnSync("nm", ["--version"]).status === 0;

/**
 * Lines of nm for what an object file defines where others see it, or runs when it is loaded. Capital letters are global
 * symbols; weak ones are W and V, unique ones u.
 */
function sharedSymbols(lines: string, set: string): string[] {
  const isOwn = (line: string): boolean => /^[0-9a-f]+ T /.test(line) && line.includes(` addon::${set}::`);
  return lines
    .split("\n")
    .filter((line) => /^[0-9a-f]+ ([A-Zu] |. _GLOBAL__sub_I_)/.test(line))
    .filter((line) => !isOwn(line));
}

describe("objects of loops define nothing but what is in the namespace of their instruction set", () => {
  for (const set of ["baseline", "avx2", "avx512", "avx512vnni", "avx512bf16"]) {
    const folder = join(objects, `loops_${set}.dir`, "kernels");
    test(set, ({ skip }) => {
      if (process.env["TORCH_SANITIZE"] === "1")
        skip("with sanitizers functions are not inlined; no one else runs that build");
      if (!hasNm) skip("nm, of binutils, is not installed");
      if (!existsSync(folder) && set !== "baseline") skip("not of this kind of processor");
      const files = readdirSync(folder).filter((name) => name.endsWith(".o"));
      expect(files.length).toBeGreaterThan(5);
      const paths = files.map((name) => join(folder, name));
      const { stdout } = spawnSync("nm", ["--demangle", "--defined-only", ...paths], { encoding: "utf8" });
      expect(stdout).toContain(` addon::${set}::adamLoop()`);
      expect(sharedSymbols(stdout, set)).toEqual([]);
    });
  }

  test("others are noticed", () => {
    const lines = [
      "0000000000000640 T addon::avx2::adamLoop()",
      "0000000000000000 t addon::avx2::(anonymous namespace)::adam(float*)",
      "0000000000000010 r addon::avx2::(anonymous namespace)::constants",
      "                 U memset",
    ];
    const wrong = [
      "0000000000000000 W std::vector<float, std::allocator<float> >::_M_default_append(unsigned long)",
      "0000000000000000 V DW.ref.__gxx_personality_v0",
      "0000000000000000 u std::ranges::begin",
      "0000000000000640 T addon::avx512::adamLoop()",
      "0000000000000000 W unsigned int addon::Dropout::hash<unsigned int>(unsigned int) const",
      "0000000000000000 t _GLOBAL__sub_I_adam_loops.cc",
    ];
    expect(sharedSymbols([...lines, ...wrong].join("\n"), "avx2")).toEqual(wrong);
  });
});
