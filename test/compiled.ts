/** Tests of the command, the examples and the benchmarks start what is compiled, which must not be older than its sources. */

import { compileTypeScript } from "../scripts/build.mjs";

export default compileTypeScript;
