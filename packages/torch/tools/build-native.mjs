// @ts-check
/**
 * Builds native/build/torch.node with CMake, when its sources, libtorch or the Node-API headers have changed.
 * Usage: node build-native.mjs [--sanitize]
 */

import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findCudaCompiler } from "./find-cuda.mjs";
import { libraryFile, requireLibtorch } from "./find-libtorch.mjs";
import { runMain, runStep, StepError } from "./steps.mjs";

/** @typedef {import("./find-libtorch.mjs").Libtorch} Libtorch */
/** @typedef {import("./find-cuda.mjs").CudaCompiler} CudaCompiler */

/** Compiling one source file that includes libtorch's headers takes about this much memory. */
const BYTES_PER_COMPILER = 1.5 * 2 ** 30;

const nativeFolder = fileURLToPath(new URL("../native", import.meta.url));

/**
 * Builds the addon unless it is up to date.
 * @param {{ sanitize?: boolean, libtorch?: Libtorch }} [options]
 * @returns {Promise<boolean>} whether anything had to be built
 */
export async function buildNative({ sanitize = false, libtorch = requireLibtorch() } = {}) {
  const folder = join(nativeFolder, sanitize ? "build-sanitize" : "build");
  const stampFile = join(folder, "stamp.json");
  const previous = readStamp(stampFile);
  // Trying nvcc takes seconds. The sources are recorded after a successful build, which has already tried it.
  const cuda = findCudaCompiler(libtorch, process.env, (compiler) => {
    return (
      previous.sources !== undefined &&
      previous.configuration === currentStamp(libtorch, compiler, sanitize).configuration
    );
  });
  const stamp = currentStamp(libtorch, cuda, sanitize);
  mkdirSync(folder, { recursive: true });
  writeIfChanged(join(folder, "libtorch.json"), `${JSON.stringify(libtorch, undefined, 2)}\n`);
  const addon = join(folder, "torch.node");
  const configured = previous.configuration === stamp.configuration;
  if (configured && previous.sources === stamp.sources && existsSync(addon)) return false;

  if (!configured) {
    rmSync(stampFile, { force: true });
    forgetConfiguration(folder);
  }
  await configure(folder, libtorch, cuda, sanitize);
  writeFileSync(stampFile, JSON.stringify({ configuration: stamp.configuration }));
  await compile(folder, libtorch);
  if (!existsSync(addon)) throw new StepError(`CMake must write ${addon}; it did not. Delete ${folder} and try again.`);
  if (!sanitize) await tryToLoad(addon, folder);
  writeFileSync(stampFile, JSON.stringify(stamp));
  return true;
}

/**
 * The inputs of the build: with another configuration CMake has to start again.
 * @param {Libtorch} libtorch
 * @param {CudaCompiler | undefined} cuda
 * @param {boolean} sanitize
 * @returns {{ configuration: string, sources: string }}
 */
function currentStamp(libtorch, cuda, sanitize) {
  const library = statSync(join(libtorch.libraryDir, libraryFile("torch_cpu")));
  const { CXX, CXXFLAGS, LDFLAGS, CMAKE_GENERATOR } = process.env;
  return {
    configuration: hash([
      nativeFolder,
      libtorch.version,
      libtorch.libraryDir,
      ...libtorch.includeDirs,
      ...libtorch.cudaIncludeDirs,
      `${library.mtimeMs} ${library.size}`,
      nodeApiHeaders().version,
      nodeApiHeaders().include,
      // CMakeLists.txt links it if it exists, and it may be installed after the first build.
      `OpenBLAS on OpenMP: ${existsSync(join(libtorch.libraryDir, "openblas-openmp"))}`,
      `CUDA: ${JSON.stringify(cuda)}`,
      `${CXX} ${CXXFLAGS} ${LDFLAGS} ${CMAKE_GENERATOR} ${sanitize}`,
    ]),
    sources: hash(sourceFiles(nativeFolder).flatMap((path) => [path, readFileSync(path)])),
  };
}

/** @param {readonly (string | Uint8Array)[]} parts */
function hash(parts) {
  const sum = createHash("sha256");
  for (const part of parts) sum.update(part).update("\0");
  return sum.digest("hex");
}

/** @param {string} folder @returns {string[]} */
function sourceFiles(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => !entry.name.startsWith("build"))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? sourceFiles(path) : [path];
    })
    .sort();
}

/** @returns {{ include: string, version: string }} */
function nodeApiHeaders() {
  const require = createRequire(import.meta.url);
  try {
    const manifest = require.resolve("node-api-headers/package.json");
    return { include: join(dirname(manifest), "include"), version: require(manifest).version };
  } catch {
    throw new StepError('The npm package node-api-headers must be installed; it is not. Run "npm run setup".');
  }
}

/** @param {string} path @returns {{ configuration?: string, sources?: string }} */
function readStamp(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return {};
  }
}

/** @param {string} path @param {string} text */
function writeIfChanged(path, text) {
  if (!existsSync(path) || readFileSync(path, "utf8") !== text) writeFileSync(path, text);
}

/** @param {string} folder */
function forgetConfiguration(folder) {
  for (const name of ["CMakeCache.txt", "CMakeFiles"]) rmSync(join(folder, name), { recursive: true, force: true });
}

/**
 * @param {string} folder
 * @param {Libtorch} libtorch
 * @param {CudaCompiler | undefined} cuda
 * @param {boolean} sanitize
 */
function configure(folder, libtorch, cuda, sanitize) {
  const variables = {
    CMAKE_BUILD_TYPE: "Release",
    CMAKE_CXX_STANDARD: libtorch.cxxStandard,
    TORCH_INCLUDE_DIRS: libtorch.includeDirs.join(";"),
    TORCH_LIBRARY_DIR: libtorch.libraryDir,
    NODE_API_INCLUDE_DIR: nodeApiHeaders().include,
    CUDA_COMPILER: cuda?.path ?? "",
    CUDA_ARCHITECTURES: cuda?.architectures.join(";") ?? "",
    CUDA_INCLUDE_DIR: cuda?.includeDir ?? "",
    NCCL_INCLUDE_DIRS: libtorch.cudaIncludeDirs.join(";"),
    SANITIZE: sanitize ? "ON" : "OFF",
  };
  return runStep({
    title: `Configuring the native addon for libtorch ${libtorch.version} (${libtorch.how})`,
    name: "The configuration with CMake",
    command: "cmake",
    args: ["-S", nativeFolder, "-B", folder, ...Object.entries(variables).map(([name, value]) => `-D${name}=${value}`)],
    log: join(folder, "configure.log"),
    hint: "It needs CMake 3.18 or later, make and a C++ compiler: install what the output above names, then try again.",
  });
}

/** @param {string} folder @param {Libtorch} libtorch */
function compile(folder, libtorch) {
  const jobs = process.env["CMAKE_BUILD_PARALLEL_LEVEL"] ?? String(parallelJobs());
  return runStep({
    title: `Compiling the native addon (${jobs} files at a time)`,
    name: "The compilation of the native addon",
    command: "cmake",
    args: ["--build", folder, "--parallel", jobs],
    log: join(folder, "compile.log"),
    hint: `Correct the errors above. It needs a C++${libtorch.cxxStandard} compiler and about 1.5 GB of memory per job: set CMAKE_BUILD_PARALLEL_LEVEL=1 if the compiler was killed.`,
  });
}

function parallelJobs() {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / BYTES_PER_COMPILER)));
}

/**
 * Loads it in a separate process, where a broken library can do no harm.
 * @param {string} addon
 * @param {string} folder
 */
function tryToLoad(addon, folder) {
  return runStep({
    title: "Loading the native addon",
    name: "Loading the native addon",
    command: process.execPath,
    args: ["-e", "require(process.argv[1])", addon],
    log: join(folder, "load.log"),
    hint: 'libtorch or a library that it needs is missing or does not fit: reinstall it, then run "npm run setup" again.',
    quiet: true,
  });
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await runMain(async () => {
    const sanitize = process.argv.includes("--sanitize");
    if (!(await buildNative({ sanitize }))) console.log("The native addon is up to date.");
  });
}
