// @ts-check
/** The tests that take minutes: stress, damaged files, killed runs, pages in a browser, and the addon under sanitizers. Runs after setup. */

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildNative } from "../packages/torch/tools/build-native.mjs";
import { runMain, StepError } from "../packages/torch/tools/steps.mjs";
import { root } from "./paths.mjs";
import { installBrowser } from "./system-packages.mjs";

/** A stage that has not ended after this long is considered hung. */
const MINUTES_PER_STAGE = 60;

const reports = join(root, "build", "sanitizer");

/**
 * @typedef {object} Stage
 * @property {string} name
 * @property {() => Promise<void>} run Throws a StepError when it fails.
 */

/** @type {readonly Stage[]} */
const stages = [
  { name: "long tests", run: () => runVitest({}) },
  { name: "build with sanitizers", run: async () => void (await buildNative({ sanitize: true })) },
  { name: "addon under sanitizers", run: runUnderSanitizers },
];

/**
 * @param {NodeJS.ProcessEnv} environment
 * @returns {Promise<void>}
 */
function runVitest(environment) {
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [vitest, "run", "--config", "vitest.full.config.ts"], {
      cwd: root,
      env: { ...process.env, ...environment },
      stdio: ["ignore", "inherit", "inherit"],
      timeout: MINUTES_PER_STAGE * 60_000,
      killSignal: "SIGKILL",
    });
    child.on("error", (error) => reject(new StepError(`vitest could not be started (${error.message})`)));
    child.on("close", (code, signal) => {
      if (code === 0) resolve();
      else reject(new StepError(signal ? `ended by ${signal} after ${MINUTES_PER_STAGE} minutes or less` : "failed"));
    });
  });
}

/**
 * Node itself is not instrumented, so the sanitizers' libraries have to be loaded before it. The C++ library as well: Node
 * has its own inside, and the sanitizer, which looks for the function that throws exceptions when it starts, would not
 * find it. Only one of the two sanitizers can write files: that for undefined behaviour, which continues after a
 * finding. The other one ends the process, so its report on the terminal cannot be missed.
 *
 * Leak detection is off. Node and libtorch keep memory until the process ends, and memory that V8's heap points to looks
 * lost to a sanitizer that cannot read that heap; every such stack passes through Node, as would those of the addon's own
 * leaks, so a suppression list could not tell them apart. The long tests count tensors, bytes and the process's
 * memory instead.
 */
async function runUnderSanitizers() {
  rmSync(reports, { recursive: true, force: true });
  mkdirSync(reports, { recursive: true });
  await runVitest({
    TORCH_SANITIZE: "1",
    LD_PRELOAD: ["libubsan.so", "libasan.so", "libstdc++.so"].map(compilerLibrary).join(" "),
    // A test asks for more memory than there is, which libtorch is to refuse, not the sanitizer.
    ASAN_OPTIONS:
      "allocator_may_return_null=1:verify_asan_link_order=0:detect_leaks=0:strict_string_checks=1:detect_stack_use_after_return=1",
    UBSAN_OPTIONS: `print_stacktrace=1:log_path=${join(reports, "undefined")}`,
  }).finally(printReports);
  if (readdirSync(reports).length > 0) throw new StepError(`the sanitizers' reports are in ${reports}`);
}

/** @param {string} name */
function compilerLibrary(name) {
  const compiler = process.env["CXX"] ?? "c++";
  const path = spawnSync(compiler, [`-print-file-name=${name}`], { encoding: "utf8" }).stdout?.trim();
  // A compiler without this library prints the bare name.
  if (path?.includes("/")) return path;
  throw new StepError(`${compiler} must come with ${name}, found none; install g++ and set CXX=g++`);
}

function printReports() {
  for (const name of readdirSync(reports)) console.error(readFileSync(join(reports, name), "utf8"));
}

await runMain(async () => {
  await installBrowser();
  const results = [];
  for (const { name, run } of stages) {
    const begin = performance.now();
    const problem = await run().then(
      () => undefined,
      (/** @type {unknown} */ error) => {
        if (error instanceof StepError) return error.message;
        throw error;
      },
    );
    const seconds = Math.round((performance.now() - begin) / 1000);
    results.push({ problem, line: `${name} ${seconds} s${problem === undefined ? "" : `: ${problem}`}` });
  }
  const failed = results.filter(({ problem }) => problem !== undefined).length;
  console.log(`${failed === 0 ? "all passed" : `${failed} failed`} (${results.map(({ line }) => line).join("; ")})`);
  if (failed > 0) process.exitCode = 1;
});
