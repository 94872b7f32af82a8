// @ts-check
/** Installs the npm packages when they are not the ones that package-lock.json names. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runStep } from "../packages/torch/tools/steps.mjs";
import { logFile, root } from "./paths.mjs";

/** npm's own waits between attempts add up to more than a minute per package when there is no network. */
const QUICK_RETRIES = ["--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"];

/** @typedef {{ version?: string, integrity?: string, link?: boolean, optional?: boolean }} LockedPackage */

/** @returns {Promise<boolean>} whether anything was installed */
export async function installNpmPackages() {
  if (installedMatchesLock()) return false;
  const npm = process.env["npm_execpath"];
  const [command, script] = npm?.endsWith(".js") ? [process.execPath, [npm]] : ["npm", []];
  await runStep({
    title: "Installing npm packages",
    name: "npm install",
    command,
    // Not "npm ci": it fails when the lock file was written where optional packages for other systems were not available.
    // With NODE_ENV=production npm would leave out the compiler, and without --no-save it may rewrite the lock file.
    args: [...script, "install", "--no-save", "--include=dev", "--no-audit", "--no-fund", ...QUICK_RETRIES],
    cwd: root,
    log: logFile("npm-install"),
    hint: "Check the network connection and npm's registry setting, then try again.",
  });
  return true;
}

/**
 * npm writes node_modules/.package-lock.json at the end of an installation, so comparing it with package-lock.json also
 * detects an interrupted installation, and accepts one that the user made with "npm install".
 */
function installedMatchesLock() {
  const installed = lockedPackages(join(root, "node_modules", ".package-lock.json"));
  if (installed === undefined) return false;
  const wanted = lockedPackages(join(root, "package-lock.json")) ?? {};
  return Object.entries(wanted).every(([folder, entry]) => folder === "" || isInstalled(entry, installed[folder]));
}

/** @param {string} path @returns {Record<string, LockedPackage> | undefined} */
function lockedPackages(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).packages : undefined;
}

/**
 * An optional package may be missing: most of them are programs for other processors and systems.
 * @param {LockedPackage} wanted
 * @param {LockedPackage | undefined} installed
 */
function isInstalled(wanted, installed) {
  if (installed === undefined) return wanted.optional === true;
  return installed.version === wanted.version && installed.integrity === wanted.integrity;
}
