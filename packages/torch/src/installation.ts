/**
 * What was built, against which libtorch, on which processor. Reads files only: usable where libtorch cannot be loaded.
 *
 * @module @stf/torch/installation
 */

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { EngineUnavailableError } from "./errors.js";

/** The libtorch that the addon was built against, as the build recorded it. */
export interface BuiltAgainst {
  /** Such as "1.13.0". */
  readonly version: string;
  /** How it was found, in words. */
  readonly how: string;
  /** Where it was found: the variable LIBTORCH, a Python, the system. */
  readonly origin: "LIBTORCH" | "python" | "system";
  /** The folder with libtorch's libraries. */
  readonly libraryDir: string;
  /** The folders with its headers. */
  readonly includeDirs: readonly string[];
  /** Whether it has operators for GPUs. */
  readonly cuda: boolean;
  /** Folders that may hold the headers of CUDA and NCCL; none without CUDA. */
  readonly cudaIncludeDirs: readonly string[];
}

/** The package's root folder, the same from `src` and from `dist`. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "native", "CMakeLists.txt"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new EngineUnavailableError("the folder of @stf/torch's native sources is missing", []);
    folder = parent;
  }
  return folder;
}

/** With TORCH_SANITIZE=1 the addon is the one that `build-native.mjs --sanitize` makes, which reports its own mistakes. */
const isSanitized = process.env["TORCH_SANITIZE"] === "1";

const buildFolder = join(packageRoot(), "native", isSanitized ? "build-sanitize" : "build");

/** Where the addon is, or would be after a build. */
export const addonPath = join(buildFolder, "torch.node");

/** Whether the addon was built. */
export function isAddonBuilt(): boolean {
  return existsSync(addonPath);
}

/** The libtorch of the last build; undefined before the first. */
export function builtAgainst(): BuiltAgainst | undefined {
  try {
    return JSON.parse(readFileSync(join(buildFolder, "libtorch.json"), "utf8")) as BuiltAgainst;
  } catch {
    return undefined;
  }
}

const hasHeader = (folders: readonly string[], path: string): boolean =>
  folders.some((folder) => existsSync(join(folder, path)));

/** Whether the addon could reduce between processes over Gloo: libtorch's part, Gloo's headers and Gloo's library. */
export function hasGloo({ includeDirs, libraryDir }: BuiltAgainst): boolean {
  // A wheel's libtorch includes Gloo; Debian's has it as a separate library.
  const library = existsSync(join(libraryDir, "libgloo.so")) || existsSync(join(libraryDir, "libtorch_python.so"));
  const own = "torch/csrc/distributed/c10d/ProcessGroupGloo.hpp";
  return hasHeader(includeDirs, own) && hasHeader(includeDirs, "gloo/context.h") && library;
}

/** Whether the addon could reduce between GPUs over NCCL: libtorch's part, and the headers of NCCL and CUDA. */
export function hasNccl({ includeDirs, cuda, cudaIncludeDirs }: BuiltAgainst): boolean {
  const folders = [...includeDirs, ...cudaIncludeDirs];
  const own = "torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp";
  return cuda && hasHeader(includeDirs, own) && hasHeader(folders, "nccl.h") && hasHeader(folders, "cuda_runtime.h");
}

/**
 * The OpenBLAS that Debian's libtorch multiplies matrices with: based on OpenMP, like libtorch itself, or with its own threads,
 * which compete with libtorch's. Undefined if there is neither, as with a wheel, which includes its own.
 */
export function openBlasThreads({ libraryDir }: BuiltAgainst): "openmp" | "own" | undefined {
  if (existsSync(join(libraryDir, "openblas-openmp"))) return "openmp";
  return existsSync(join(libraryDir, "openblas-pthread")) ? "own" : undefined;
}

/** Features of this processor that matter to libtorch, in the kernel's spelling. Empty if the kernel does not list them. */
export function processorFlags(): ReadonlySet<string> {
  try {
    const line = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"));
    return new Set(line?.[1]?.trim().split(/\s+/) ?? []);
  } catch {
    return new Set();
  }
}

/**
 * The instruction sets that the kernels are compiled for and this processor supports, from the simplest to the best, which is the
 * one used. The environment variable TORCH_INSTRUCTION_SET selects another one.
 */
export function instructionSets(): ("baseline" | "avx2" | "avx512" | "avx512vnni" | "avx512bf16")[] {
  const flags = processorFlags();
  const wanted = [
    ["avx2", ["avx2", "fma"]],
    ["avx512", ["avx512f", "avx512bw", "avx512vl", "avx512dq"]],
    ["avx512vnni", ["avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"]],
    ["avx512bf16", ["avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni", "avx512_bf16"]],
  ] as const;
  return ["baseline", ...wanted.filter(([, names]) => names.every((name) => flags.has(name))).map(([name]) => name)];
}

/** How this processor handles bfloat16: multiplies matrices of it (AMX), computes with it (AVX-512), or neither. */
export function bfloat16Support(): "amx" | "avx512" | "emulated" {
  const flags = processorFlags();
  return flags.has("amx_bf16") ? "amx" : flags.has("avx512_bf16") ? "avx512" : "emulated";
}
