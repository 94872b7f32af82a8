// @ts-check
/** Bundles the code of pages if it has changed: what runs in browsers, and what draws plots in Node with the same code. */

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runMain, runStep } from "../packages/torch/tools/steps.mjs";
import { licencesOf } from "./licences.mjs";
import { logFile, root } from "./paths.mjs";

const sources = join(root, "packages", "stf", "pages");
/** What pages share with the code that writes them. */
const shared = ["packages/stf/src/pages/page-numbers.ts"];
const bundles = join(root, "packages", "stf", "dist", "pages", "bundles");
/** Written last: without it, or with another digest in it, there is something to do. */
const stamp = join(bundles, "sources.sha256");

/** @satisfies {import("esbuild").BuildOptions} */
const browser = { platform: "browser", format: "iife", target: "es2022" };
/** @satisfies {import("esbuild").BuildOptions} */
const node = { platform: "node", format: "cjs", target: "node20" };

/** Bundles for browsers are inlined into pages; those for Node hold a DOM besides. */
const entries = /** @type {const} */ ([
  { name: "variance", platform: browser },
  { name: "variance-plot", platform: node },
]);

export async function bundlePages() {
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === sourceDigest()) return;
  await runStep({
    title: "Bundling the code of pages",
    name: "esbuild",
    command: process.execPath,
    args: [fileURLToPath(import.meta.url)],
    cwd: root,
    log: logFile("pages"),
    hint: "Correct the errors above, then try again.",
    quiet: true,
  });
}

/** The digest of everything that the bundles depend on. */
function sourceDigest() {
  const own = readdirSync(sources, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  const tools = ["scripts/pages.mjs", "scripts/licences.mjs", "package-lock.json"];
  const files = [
    ...own.sort().map((name) => join(sources, name)),
    ...[...shared, ...tools].map((name) => join(root, name)),
  ];
  const hash = createHash("sha256");
  for (const file of files) hash.update(`${file.slice(root.length)}\n`).update(readFileSync(file));
  return hash.digest("hex");
}

async function bundleAll() {
  const digest = sourceDigest();
  const { build } = await import("esbuild");
  for (const { name, platform } of entries) {
    const { outputFiles, metafile } = await build({
      entryPoints: [join(sources, `${name}.ts`)],
      bundle: true,
      write: false,
      metafile: true,
      absWorkingDir: root,
      minify: true,
      legalComments: "none",
      ...platform,
    });
    mkdirSync(bundles, { recursive: true });
    const code = outputFiles[0]?.text ?? "";
    const file = join(bundles, platform.platform === "node" ? `${name}.cjs` : `${name}.js`);
    const used = Object.entries(Object.values(metafile.outputs)[0]?.inputs ?? {}).filter(
      ([, part]) => part.bytesInOutput > 0,
    );
    writeFileSync(file, `/*!\n${licencesOf(used.map(([path]) => path))}\n*/\n${code}`);
  }
  writeFileSync(stamp, digest);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await runMain(bundleAll);
