// @ts-check
/** Installs what npm cannot: libtorch, a C++ compiler with CMake, and Fashion-MNIST; a browser for the long tests. */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { findCommand, findLibtorch } from "../packages/torch/tools/find-libtorch.mjs";
import { runStep, StepError } from "../packages/torch/tools/steps.mjs";
import { findBrowser } from "./browser.mjs";
import { logFile } from "./paths.mjs";

const LIBTORCH_PACKAGES = ["libtorch-dev", "libgloo-dev", "libopenblas0-openmp"];
const FASHION_MNIST = "/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz";

/**
 * @typedef {object} Requirement
 * @property {readonly string[]} missing Debian packages that are missing.
 * @property {string} byHand What to install on another system.
 * @property {boolean} [optional] Whether setup can continue without it.
 */

/** @returns {Promise<boolean>} whether anything was installed */
export const installSystemPackages = () => install(findRequirements());

/** What only the long tests need. */
export async function installBrowser() {
  const missing = findBrowser() === undefined ? ["chromium"] : [];
  const byHand = "Chromium or Chrome, or set CHROMIUM to its path: without it, the tests of pages are left out";
  await install([{ missing, byHand, optional: true }]);
}

/**
 * Installs what is missing, or says what to do.
 * @param {Requirement[]} wanted
 */
async function install(wanted) {
  const requirements = wanted.filter(({ missing }) => missing.length > 0);
  if (requirements.length === 0) return false;
  const administrator = hasApt() ? becomeAdministrator() : undefined;
  if (administrator) {
    await installWithApt(administrator, packagesOf(requirements));
    return true;
  }
  const needed = requirements.filter(({ optional }) => !optional);
  const advice = hasApt() ? adviceForDebian(requirements) : adviceForOthers(requirements);
  if (needed.length > 0) throw new StepError(advice);
  console.log(advice);
  return false;
}

/** @returns {Requirement[]} */
function findRequirements() {
  const compilers = [process.env["CXX"], "c++", "g++", "clang++"];
  return [
    {
      missing: missingLibtorchPackages(),
      byHand:
        "libtorch 1.13 or later with its headers: install torch for python3, or set LIBTORCH to a libtorch folder that holds include/ and lib/",
    },
    { missing: compilers.some(isCommand) ? [] : ["g++"], byHand: "a C++17 compiler, such as g++ or clang++" },
    { missing: isCommand("cmake") ? [] : ["cmake"], byHand: "CMake 3.18 or later" },
    { missing: isCommand("make") || isCommand("ninja") ? [] : ["make"], byHand: "make" },
    {
      missing: existsSync(FASHION_MNIST) ? [] : ["dataset-fashion-mnist"],
      byHand:
        "Fashion-MNIST, the four files *-ubyte.gz: put them into a folder and pass it as --data=FOLDER when you train",
      optional: true,
    },
  ];
}

/** Another libtorch than Debian's needs none of Debian's packages. */
function missingLibtorchPackages() {
  const { libtorch } = findLibtorch();
  if (libtorch && !(hasApt() && libtorch.origin === "system" && libtorch.prefix === "/usr")) return [];
  const installed = installedPackages(LIBTORCH_PACKAGES);
  return LIBTORCH_PACKAGES.filter((name) => !installed.has(name));
}

/** @param {readonly string[]} names */
function installedPackages(names) {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: these are dpkg-query's placeholders
  const answer = spawnSync("dpkg-query", ["-W", "-f", "${Package} ${db:Status-Status}\\n", ...names], {
    encoding: "utf8",
  });
  const lines = (answer.stdout ?? "").split("\n").map((line) => line.split(" "));
  return new Set(lines.filter(([, status]) => status === "installed").map(([name]) => name));
}

function hasApt() {
  if (!isCommand("apt-get") || !existsSync("/etc/os-release")) return false;
  const ids = /^ID(?:_LIKE)?=.*\b(?:debian|ubuntu)\b/m;
  return ids.test(readFileSync("/etc/os-release", "utf8"));
}

/** @param {string | undefined} command */
function isCommand(command) {
  return command !== undefined && command !== "" && findCommand(command) !== undefined;
}

/**
 * The prefix of a command that only an administrator may run; undefined if this account cannot get those rights.
 * @returns {readonly string[] | undefined}
 */
function becomeAdministrator() {
  if (process.getuid?.() === 0) return [];
  if (!isCommand("sudo")) return undefined;
  if (spawnSync("sudo", ["-n", "true"]).status === 0) return ["sudo"];
  if (!process.stdin.isTTY) return undefined;
  console.log("Installing system packages needs an administrator's rights; sudo asks for your password.");
  return spawnSync("sudo", ["-v"], { stdio: "inherit" }).status === 0 ? ["sudo"] : undefined;
}

/**
 * @param {readonly string[]} administrator
 * @param {readonly string[]} packages
 */
async function installWithApt(administrator, packages) {
  const apt = [...administrator, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300"];
  const [command, ...args] = /** @type {[string, ...string[]]} */ (apt);
  await runStep({
    name: "apt-get update",
    title: "Updating the list of system packages",
    command,
    args: [...args, "update"],
    log: logFile("apt-get-update"),
    hint: "Check the network connection and the sources of apt, then try again.",
  });
  await runStep({
    name: "apt-get install",
    title: `Installing system packages: ${packages.join(" ")}`,
    command,
    args: [...args, "install", "-y", "--no-install-recommends", ...packages],
    log: logFile("apt-get-install"),
    hint: "Check the network connection, correct what the output above names, then try again.",
  });
}

/** @param {readonly Requirement[]} requirements */
function packagesOf(requirements) {
  return requirements.flatMap(({ missing }) => missing);
}

/** @param {readonly Requirement[]} requirements */
function adviceForDebian(requirements) {
  return [
    "These Debian packages are missing, and this account may not install them (it is not root and has no sudo):",
    ...packagesOf(requirements).map((name) => `  - ${name}`),
    `Ask an administrator to run: apt-get update && apt-get install -y --no-install-recommends ${packagesOf(requirements).join(" ")}`,
    "Without an administrator, install the same in folders of your own:",
    ...requirements.map(({ byHand }) => `  - ${byHand}`),
  ].join("\n");
}

/** @param {readonly Requirement[]} requirements */
function adviceForOthers(requirements) {
  return [
    "This system is not Debian or Ubuntu, so install by hand what is missing (in brackets: its name on Debian), then try again:",
    ...requirements.map(({ byHand, missing }) => `  - ${byHand} (${missing.join(" ")})`),
  ].join("\n");
}
