// @ts-check
/** Licences of bundled packages, which ask to be named in every copy of their code. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./paths.mjs";

/**
 * The licences of the packages to which modules belong: each text once, after the packages and holders of copyrights that have it.
 * @param {readonly string[]} modules Paths below the project's folder.
 */
export function licencesOf(modules) {
  const folders = new Set(modules.map(packageFolder).filter((folder) => folder !== undefined));
  /** @type {Map<string, string[]>} */
  const holders = new Map();
  for (const folder of [...folders].sort()) {
    const { name, version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const lines = licenceOf(folder).replaceAll("*/", "* /").trim().split(/\r?\n/);
    const isHolder = (/** @type {string} */ line) => /^\s*copyright\b.*\d{4}/i.test(line);
    const text = lines
      .filter((line) => !isHolder(line))
      .join("\n")
      .trim();
    const holder = lines.filter(isHolder).map((line) => line.trim());
    holders.set(text, [...(holders.get(text) ?? []), `${name} ${version}: ${holder.join("; ")}`]);
  }
  return [...holders].map(([text, packages]) => `${packages.join("\n")}\n\n${text}`).join("\n\n");
}

/** @param {string} module */
function packageFolder(module) {
  const folder = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(module)?.[0];
  return folder === undefined ? undefined : join(root, folder);
}

/** @param {string} folder */
function licenceOf(folder) {
  const file = readdirSync(folder).find((name) => /^licen[sc]e/i.test(name));
  if (file !== undefined) return readFileSync(join(folder, file), "utf8");
  const { license = "unknown", author = "" } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return `Copyright holder: ${typeof author === "string" ? author : author.name}\nLicence: ${license}`;
}
