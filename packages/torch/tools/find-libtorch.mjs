// @ts-check
/** Finds a libtorch to build against: the one that LIBTORCH names, then a Python's torch, then the system's. */

import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { delimiter, join, resolve, sep } from "node:path";
import { StepError } from "./steps.mjs";

const OLDEST_VERSION = [1, 13];
const LIBRARY_SUFFIX = process.platform === "darwin" ? "dylib" : "so";
const SYSTEM_PREFIXES = ["/usr", "/usr/local", "/opt/homebrew"];
/** Debian's name of this processor in library folders. @type {Readonly<Record<string, string>>} */
const TRIPLETS = {
  x64: "x86_64-linux-gnu",
  arm64: "aarch64-linux-gnu",
  ppc64: "powerpc64le-linux-gnu",
  riscv64: "riscv64-linux-gnu",
  s390x: "s390x-linux-gnu",
};
/** Prints where torch is without importing it, which would take seconds. */
const WHERE_IS_TORCH =
  "import importlib.util as u; s = u.find_spec('torch'); print((s and list(s.submodule_search_locations or [])[:1] or [''])[0])";

/**
 * @typedef {object} Installation
 * @property {string} prefix Folder that holds include/ and lib/.
 * @property {string} version Such as "1.13.0" or "2.4.0+cu121".
 * @property {boolean} cuda Whether the library was built with CUDA.
 * @property {string} cxxStandard The C++ standard that its headers require, such as "17".
 * @property {string[]} includeDirs
 * @property {string[]} cudaIncludeDirs Folders that may hold the headers of CUDA and NCCL; none without CUDA.
 * @property {string} libraryDir
 */

/** @typedef {Installation & { origin: "LIBTORCH" | "python" | "system", how: string }} Libtorch */

/**
 * The first usable libtorch, and what was wrong with every location tried before it.
 * @param {NodeJS.ProcessEnv} [environment]
 * @returns {{ libtorch?: Libtorch, tried: string[] }}
 */
export function findLibtorch(environment = process.env) {
  const named = environment["LIBTORCH"];
  if (named) return { libtorch: namedLibtorch(resolve(named)), tried: [] };
  const tried = ["LIBTORCH: not set"];
  for (const python of pythons(environment)) {
    const found = inspectPython(python);
    if (typeof found !== "string") {
      return { libtorch: { ...found, origin: "python", how: `torch of ${python}` }, tried };
    }
    tried.push(`${python}: ${found}`);
  }
  for (const prefix of SYSTEM_PREFIXES.filter((folder) => existsSync(folder))) {
    const found = inspectPrefix(prefix);
    if (typeof found !== "string") {
      return { libtorch: { ...found, origin: "system", how: `headers and libraries under ${prefix}` }, tried };
    }
    tried.push(`${prefix}: ${found}`);
  }
  return { tried };
}

/** @param {string} prefix @returns {Libtorch} */
function namedLibtorch(prefix) {
  const found = inspectPrefix(prefix);
  if (typeof found === "string") {
    throw new StepError(
      `LIBTORCH must name a libtorch folder with include/ and lib/; ${prefix}: ${found}. Correct LIBTORCH, or unset it to use a Python's or the system's libtorch.`,
    );
  }
  return { ...found, origin: "LIBTORCH", how: "named by the environment variable LIBTORCH" };
}

/** @param {NodeJS.ProcessEnv} environment @returns {Set<string>} */
function pythons(environment) {
  const commands = [environment["PYTHON"], "python3", "/usr/bin/python3"];
  return new Set(commands.flatMap((command) => (command && findCommand(command, environment)) || []));
}

/** @param {string} python @returns {Installation | string} */
function inspectPython(python) {
  // Started in the root folder: Python also looks for packages in the folder it is started in.
  const answer = spawnSync(python, ["-c", WHERE_IS_TORCH], { cwd: "/", encoding: "utf8", timeout: 10_000 });
  const folder = answer.stdout?.trim();
  if (answer.status !== 0) return "does not run";
  if (!folder) return "has no torch";
  const headers = join(folder, "include", "ATen");
  if (!existsSync(headers)) return `its torch in ${folder} has no headers`;
  // A distribution's torch only links to the headers and libraries of the system, which are tried after this.
  if (!realpathSync(headers).startsWith(realpathSync(folder) + sep)) return `its torch in ${folder} is the system's`;
  return inspectPrefix(folder);
}

/**
 * The installation under a prefix, or what is wrong with it.
 * @param {string} prefix
 * @returns {Installation | string}
 */
function inspectPrefix(prefix) {
  if (!existsSync(prefix)) return "no such folder";
  const include = join(prefix, "include");
  const apiInclude = join(include, "torch", "csrc", "api", "include");
  for (const header of [join(include, "ATen", "ATen.h"), join(apiInclude, "torch", "all.h")]) {
    if (!existsSync(header)) return `no ${header}`;
  }
  const libraryDir = libraryFolders(prefix).find((folder) => existsSync(join(folder, libraryFile("torch_cpu"))));
  if (!libraryDir) return `no ${join(prefix, "lib", libraryFile("torch_cpu"))}`;
  const version = readVersion(prefix);
  const cuda = existsSync(join(libraryDir, libraryFile("torch_cuda")));
  if (isTooOld(version)) return `libtorch ${version}, but ${OLDEST_VERSION.join(".")} or later is needed`;
  return {
    prefix,
    version,
    cuda,
    cxxStandard: readCxxStandard(join(apiInclude, "torch", "all.h")),
    includeDirs: [include, apiInclude],
    cudaIncludeDirs: cuda ? findCudaIncludeDirs(prefix) : [],
    libraryDir,
  };
}

/**
 * A wheel's CUDA comes as separate wheels, whose folders are beside torch; otherwise a toolkit may be installed.
 * @param {string} prefix
 */
function findCudaIncludeDirs(prefix) {
  const wheels = join(prefix, "..", "nvidia");
  const parts = existsSync(wheels) ? readdirSync(wheels).map((name) => join(wheels, name)) : [];
  const toolkits = [process.env["CUDA_HOME"], "/usr/local/cuda", "/usr"].filter((folder) => folder !== undefined);
  return [...parts, ...toolkits].map((folder) => join(folder, "include")).filter((folder) => existsSync(folder));
}

/** @param {string} prefix */
function libraryFolders(prefix) {
  const triplet = TRIPLETS[process.arch];
  return ["lib", "lib64", ...(triplet ? [join("lib", triplet)] : [])].map((folder) => join(prefix, folder));
}

/** @param {string} name */
export function libraryFile(name) {
  return `lib${name}.${LIBRARY_SUFFIX}`;
}

/** The version file of a wheel or archive also has the CUDA version; the headers always exist. */
/** @param {string} prefix */
function readVersion(prefix) {
  const wheel = /^__version__ = ["'](.+)["']/m.exec(readIfThere(join(prefix, "version.py")))?.[1];
  const archive = readIfThere(join(prefix, "build-version")).trim();
  return wheel || archive || readHeaderVersion(join(prefix, "include", "torch"));
}

/** @param {string} torchHeaders */
function readHeaderVersion(torchHeaders) {
  const files = [join("csrc", "api", "include", "torch", "version.h"), join("headeronly", "version.h")];
  const text = files.map((file) => readIfThere(join(torchHeaders, file))).join("\n");
  const parts = ["MAJOR", "MINOR", "PATCH"].map((part) => new RegExp(`TORCH_VERSION_${part} (\\d+)`).exec(text)?.[1]);
  return parts.every((part) => part !== undefined) ? parts.join(".") : "unknown";
}

/** @param {string} version */
function isTooOld(version) {
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_VERSION;
  return major < oldestMajor || (major === oldestMajor && minor < oldestMinor);
}

/** The addon itself needs C++17. */
/** @param {string} header */
function readCxxStandard(header) {
  const asked = /C\+\+(\d+) or later/.exec(readIfThere(header))?.[1];
  return String(Math.max(17, Number(asked ?? 17)));
}

/** @param {string} path */
function readIfThere(path) {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

/**
 * The path of a command, looked up as a shell would.
 * @param {string} command
 * @param {NodeJS.ProcessEnv} [environment]
 * @returns {string | undefined}
 */
export function findCommand(command, environment = process.env) {
  if (command.includes(sep)) return isExecutable(command) ? command : undefined;
  const folders = (environment["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  return folders.map((folder) => join(folder, command)).find(isExecutable);
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * The libtorch to build against; without one, the error lists every location that was tried.
 * @returns {Libtorch}
 */
export function requireLibtorch() {
  const { libtorch, tried } = findLibtorch();
  if (libtorch) return libtorch;
  throw new StepError(
    [
      `libtorch ${OLDEST_VERSION.join(".")} or later with its headers must be installed; none was found:`,
      ...tried.map((place) => `  - ${place}`),
      'Run "npm run setup" on Debian or Ubuntu, install torch for python3, or set LIBTORCH to a libtorch folder.',
    ].join("\n"),
  );
}
