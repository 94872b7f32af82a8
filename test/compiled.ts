/**
 * Tests of the command, the examples and the benchmarks start what is compiled, which must not be older than its sources. A
 * machine that was given both together, and no compiler, says so by STF_TEST_COMPILED=1.
 */

import { compileTypeScript } from "../scripts/build.mjs";
import { bundlePages } from "../scripts/pages.mjs";

export default async function compile(): Promise<void> {
  if (process.env["STF_TEST_COMPILED"] === "1") return;
  await compileTypeScript();
  await bundlePages();
}
