// @ts-check
/**
 * Packs what `bench/gpu.sh` needs on a machine without network, Node and npm packages into one archive:
 *
 *     node bench/gpu-pack.mjs --images=cifar10-test.zip [--published=CHECKOUT] [--out=build/gpu/stf-gpu.tar]
 *
 * The sources, the compiled TypeScript, the npm packages needed at run time, for the build and for tests, Node itself, images to train
 * on, and the published code. Uses only Node's own modules; needs tar, xz and git.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { runMain, StepError } from "../packages/torch/tools/steps.mjs";
import { root } from "../scripts/paths.mjs";

/** The packages that the workspaces and their tests load, besides each other. */
const NEEDED = ["commander", "fast-png", "sharp", "yauzl", "yazl", "node-api-headers", "vite", "vitest"];
const COMPILED = ["packages/torch", "packages/stf", "bench", "golden", "examples"];
const MOST_MEBIBYTES = 60;

/** @param {string} command @param {readonly string[]} args @param {string} [cwd] */
function run(command, args, cwd = root) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: "utf8", maxBuffer: 2 ** 28 });
  if (status === 0) return stdout;
  throw new StepError(`${command} must succeed; it failed: ${error?.message ?? stderr.trim()}`);
}

/** The folders of packages and everything that they depend on, as installed. @param {readonly string[]} names */
function closure(names) {
  /** @type {Set<string>} */
  const found = new Set();
  const queue = names.map((name) => ({ name, from: "node_modules" }));
  for (const { name, from } of queue) {
    const folder = [join(from, name), join("node_modules", name)].find((path) => existsSync(join(root, path)));
    if (folder === undefined || found.has(folder)) continue;
    found.add(folder);
    const manifest = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
    for (const field of ["dependencies", "optionalDependencies"]) {
      queue.push(
        ...Object.keys(manifest[field] ?? {}).map((next) => ({ name: next, from: join(folder, "node_modules") })),
      );
    }
  }
  return [...found];
}

/** Creates a file unless an earlier run has. @param {string} kept @param {string} target @param {(path: string) => void} make */
function cached(kept, target, make) {
  if (!existsSync(kept)) {
    make(`${kept}.part`);
    renameSync(`${kept}.part`, kept);
  }
  copyFileSync(kept, target);
}

/** @param {string} path @param {string} target */
function compressed(path, target) {
  run("sh", ["-c", 'xz --threads=0 --lzma2=preset=9,dict=64MiB --stdout "$0" > "$1"', path, target]);
}

await runMain(async () => {
  const { values } = parseArgs({
    options: {
      images: { type: "string" },
      published: { type: "string" },
      out: { type: "string", default: join("build", "gpu", "stf-gpu.tar") },
    },
  });
  if (values.images === undefined || !existsSync(values.images)) {
    throw new StepError("--images must name a data set to train on, such as a zip of JPEG images");
  }
  const out = resolve(values.out);
  const folder = join(dirname(out), "stf-gpu");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, "packed"), { recursive: true });

  const sources = run("git", ["ls-files", "--cached", "--others", "--exclude-standard"]).trim().split("\n");
  for (const file of sources.filter((path) => existsSync(join(root, path)))) {
    mkdirSync(join(folder, dirname(file)), { recursive: true });
    copyFileSync(join(root, file), join(folder, file));
  }
  for (const path of COMPILED.map((name) => join(name, "dist"))) {
    cpSync(join(root, path), join(folder, path), { recursive: true, preserveTimestamps: true });
  }
  const project = join(folder, "packed", "project.tar");
  run("tar", ["--create", "--file", project, "--exclude=./packed", "."], folder);
  compressed(project, `${project}.xz`);
  rmSync(project);

  // These take minutes to compress and rarely change.
  const cache = join(dirname(out), "cache");
  mkdirSync(cache, { recursive: true });
  const packages = closure(NEEDED);
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .update(NEEDED.join())
    .digest("hex");
  cached(join(cache, `npm-${lock.slice(0, 16)}.tar.xz`), join(folder, "packed", "npm.tar.xz"), (target) => {
    const links = ["node_modules/stf", "node_modules/@stf"];
    run("tar", ["--create", "--file", `${target}.tar`, ...packages, ...links]);
    compressed(`${target}.tar`, target);
    rmSync(`${target}.tar`);
  });
  cached(join(cache, `node-${process.version}-${process.arch}.xz`), join(folder, "packed", "node.xz"), (target) => {
    copyFileSync(process.execPath, `${target}.node`);
    spawnSync("strip", [`${target}.node`]); // A tenth of it is symbols; where there is no strip it travels as it is.
    compressed(`${target}.node`, target);
    rmSync(`${target}.node`);
  });
  copyFileSync(values.images, join(folder, "packed", `images-${basename(values.images)}`));
  if (values.published !== undefined) {
    run(
      "tar",
      ["--create", "--xz", "--exclude=.git", "--file", join(folder, "packed", "published.tar.xz"), "."],
      values.published,
    );
  }
  copyFileSync(join(root, "bench", "gpu.sh"), join(folder, "packed", "gpu.sh"));
  run("tar", ["--create", "--file", out, "--directory", folder, "packed"]);
  rmSync(folder, { recursive: true });
  const mebibytes = statSync(out).size / 2 ** 20;
  console.log(
    `${out}: ${mebibytes.toFixed(1)} MiB, ${packages.length} npm packages. There: tar xf ${basename(out)} && bash packed/gpu.sh`,
  );
  if (mebibytes > MOST_MEBIBYTES)
    throw new StepError(`the archive must not be larger than ${MOST_MEBIBYTES} MiB; use fewer images`);
});
