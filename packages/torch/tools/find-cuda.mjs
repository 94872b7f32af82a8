// @ts-check
/** Finds a CUDA compiler that matches a libtorch, and what it should compile for. */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { findCommand } from "./find-libtorch.mjs";

/**
 * @typedef {object} CudaCompiler
 * @property {string} path The path of nvcc.
 * @property {string[]} architectures Its arguments for the GPUs to compile for.
 * @property {string} includeDir The folder of the toolkit's headers.
 * @property {string} version The version that nvcc reports.
 */

/**
 * The nvcc of the same major version as libtorch's CUDA that can compile here; undefined if there is none, or if
 * TORCH_CUDA_KERNELS is 0: then stock operators are used. A kernel of another major version would not find its runtime.
 * @param {{ prefix: string, version: string, cuda: boolean }} libtorch
 * @param {NodeJS.ProcessEnv} [environment]
 * @param {(compiler: CudaCompiler) => boolean} [isKnown] Whether it has compiled here before, so that it need not be tried again.
 * @returns {CudaCompiler | undefined}
 */
export function findCudaCompiler(libtorch, environment = process.env, isKnown = () => false) {
  const wanted = libtorch.cuda ? cudaMajor(libtorch) : undefined;
  if (wanted === undefined || environment["TORCH_CUDA_KERNELS"] === "0") return undefined;
  const folders = [environment["CUDA_HOME"], "/usr/local/cuda"].filter((folder) => folder !== undefined);
  const candidates = [findCommand("nvcc", environment), ...folders.map((folder) => join(folder, "bin", "nvcc"))];
  for (const path of candidates) {
    if (path === undefined || !existsSync(path)) continue;
    const version = spawnSync(path, ["--version"], { encoding: "utf8", timeout: 10_000 }).stdout ?? "";
    if (/release (\d+)\./.exec(version)?.[1] !== wanted) continue;
    const includeDir = [
      join(dirname(dirname(realpathSync(path))), "include"),
      ...folders.map((folder) => join(folder, "include")),
    ].find((folder) => existsSync(join(folder, "cuda_runtime_api.h")));
    if (includeDir === undefined) continue;
    const compiler = { path, architectures: architectures(), includeDir, version };
    if (isKnown(compiler) || compiles(compiler)) return compiler;
  }
  return undefined;
}

/** Whether nvcc works with this machine's compiler and GPUs. @param {CudaCompiler} compiler */
function compiles({ path, architectures }) {
  const folder = mkdtempSync(join(tmpdir(), "nvcc-"));
  try {
    const source = join(folder, "try.cu");
    writeFileSync(source, "#include <cstdint>\n__global__ void kernel(float* x) { *x = 1; }\n");
    const args = ["-std=c++17", ...architectures, "-c", source, "-o", join(folder, "try.o")];
    return spawnSync(path, args, { timeout: 60_000 }).status === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Such as "13", from a wheel's version file or from the end of a version such as 2.4.0+cu121. @param {{ prefix: string, version: string }} libtorch */
function cudaMajor({ prefix, version }) {
  const file = join(prefix, "version.py");
  const wheel = existsSync(file) ? /^cuda\b.*= ["'](\d+)\./m.exec(readFileSync(file, "utf8"))?.[1] : undefined;
  return wheel ?? /\+cu(\d+)\d$/.exec(version)?.[1];
}

/** The GPUs of this machine, and portable code for later ones; if there are none, every kind that the compiler supports. */
function architectures() {
  const query = ["--query-gpu=compute_cap", "--format=csv,noheader"];
  const answer = spawnSync("nvidia-smi", query, { encoding: "utf8", timeout: 10_000 });
  const found = new Set((answer.stdout ?? "").match(/\d+\.\d+/g)?.map((capability) => capability.replace(".", "")));
  if (answer.status !== 0 || found.size === 0) return ["-arch=all-major"];
  return [...found].map((number) => `-gencode=arch=compute_${number},code=[sm_${number},compute_${number}]`);
}
