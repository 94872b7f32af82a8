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
  /** The folder with libtorch's libraries. */
  readonly libraryDir: string;
  /** The folders with its headers. */
  readonly includeDirs: readonly string[];
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

/** Whether this libtorch can reduce between processes over Gloo: its own part, Gloo's headers and Gloo's library. */
export function hasGloo({ includeDirs, libraryDir }: BuiltAgainst): boolean {
  const header = (path: string): boolean => includeDirs.some((folder) => existsSync(join(folder, path)));
  // A wheel's libtorch has Gloo inside; Debian's has it as a library of its own.
  const library = existsSync(join(libraryDir, "libgloo.so")) || existsSync(join(libraryDir, "libtorch_python.so"));
  return header("torch/csrc/distributed/c10d/ProcessGroupGloo.hpp") && header("gloo/context.h") && library;
}

/** Features of this processor that matter to libtorch, in the kernel's spelling. Empty where the kernel does not say. */
export function processorFlags(): ReadonlySet<string> {
  try {
    const line = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"));
    return new Set(line?.[1]?.trim().split(/\s+/) ?? []);
  } catch {
    return new Set();
  }
}

/** How this processor handles bfloat16: multiplies matrices of it (AMX), computes with it (AVX-512), or neither. */
export function bfloat16Support(): "amx" | "avx512" | "emulated" {
  const flags = processorFlags();
  return flags.has("amx_bf16") ? "amx" : flags.has("avx512_bf16") ? "avx512" : "emulated";
}
