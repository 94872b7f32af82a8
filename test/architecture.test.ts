/** The direction of imports: parts may only know what lies below them. Layers are listed from top to bottom. */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Folders of packages/stf/src. A part may import parts of lower layers, not its neighbors. */
const stfLayers = [
  ["cli"],
  ["jobs"],
  ["config"],
  ["checkpoints", "images", "pages"],
  ["training", "sampling", "features"],
  ["analysis", "analytic"],
  ["networks", "targets", "metrics"],
  ["augmentation", "preconditioning"],
  ["data", "processes"],
  ["codecs", "random", "column", "run"],
] as const;

/** Any part of stf may import this one, which imports nothing but Node. */
const STF_COMMON = "common";

/** Files and folders of packages/torch/src. Parts of one layer may import each other, without cycles. */
const torchLayers = [
  ["index"],
  ["serialization", "distributed"],
  ["optim"],
  ["nn"],
  ["create", "random", "autograd", "engine", "operators", "resample", "rows", "mapped-file"],
  ["tensor"],
  ["operators.generated"],
  ["dispatch", "scope", "shape", "dtype", "errors", "native", "installation"],
] as const;

interface Import {
  /** What is imported, as written. */
  readonly from: string;
  /** `import type`: nothing of it is left at run time. */
  readonly typeOnly: boolean;
  /** `import()`: not before the call. */
  readonly dynamic: boolean;
}

/** The imports and re-exports of a module. Statements begin at the start of a line, as the formatter leaves them. */
function importsOf(source: string): Import[] {
  const text = source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  const found: Import[] = [];
  const clause = String.raw`(?:[\w$]+|\*(?:\s+as\s+[\w$]+)?|\{[^}]*\})`;
  const statement = new RegExp(
    String.raw`^(?:import|export)\s+(type\s+)?(?:${clause}(?:\s*,\s*${clause})?\s+from\s+)?"([^"\n]+)"`,
    "gm",
  );
  for (const [, type, from] of text.matchAll(statement)) {
    found.push({ from: from as string, typeOnly: type !== undefined, dynamic: false });
  }
  for (const [, from] of text.matchAll(/\bimport\(\s*"([^"\n]+)"/g)) {
    found.push({ from: from as string, typeOnly: false, dynamic: true });
  }
  return found;
}

interface Module {
  /** Path below the package's src, without .ts: "targets/target". */
  readonly path: string;
  readonly imports: readonly Import[];
}

function modulesOf(source: string): Module[] {
  return readdirSync(source, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => ({
      path: name.split(sep).join("/").replace(/\.ts$/, ""),
      imports: importsOf(readFileSync(join(source, name), "utf8")),
    }));
}

/** The module that a relative import means, as a path below src; undefined for packages and Node's own modules. */
function target({ path }: Module, from: string): string | undefined {
  return from.startsWith(".") ? join(dirname(path), from).split(sep).join("/").replace(/\.js$/, "") : undefined;
}

/** The part that a module belongs to: its folder, or itself. */
const partOf = (path: string): string => path.split("/")[0] as string;

const isNode = (from: string): boolean => from.startsWith("node:");

/** Imports that go up, or out of what is listed. */
function stfViolations(modules: readonly Module[]): string[] {
  const layerOf = (part: string): number => stfLayers.findIndex((layer) => layer.some((name) => name === part));
  return modules.flatMap((module) => {
    const part = partOf(module.path);
    if (module.path === "index") {
      const commands = module.imports.filter(({ from }) => from.startsWith("./cli/"));
      return commands.map(({ from }) => `index imports ${from}: the library must not need the command line`);
    }
    if (part !== STF_COMMON && layerOf(part) < 0) return [`${module.path}: "${part}" has no layer; give it one here`];
    return module.imports.flatMap(({ from }) => {
      const imported = target(module, from);
      if (imported === undefined) {
        return part === STF_COMMON && !isNode(from) ? [`${module.path} imports ${from}, not only Node's modules`] : [];
      }
      const other = partOf(imported);
      if (other === part || (other === STF_COMMON && part !== STF_COMMON)) return [];
      const goesDown = part !== STF_COMMON && layerOf(other) > layerOf(part);
      return goesDown ? [] : [`${module.path} imports ${imported}: "${part}" must not know "${other}"`];
    });
  });
}

function torchViolations(modules: readonly Module[]): string[] {
  const layerOf = (part: string): number => torchLayers.findIndex((layer) => layer.some((name) => name === part));
  return modules.flatMap((module) => {
    const part = partOf(module.path);
    if (layerOf(part) < 0) return [`${module.path}: "${part}" has no layer; give it one here`];
    // Lower layers name the type Tensor, whose class extends what they generate.
    const atRunTime = module.imports.filter(({ typeOnly }) => !typeOnly);
    return atRunTime.flatMap(({ from }) => {
      const imported = target(module, from);
      if (imported === undefined) return isNode(from) ? [] : [`${module.path} imports the package ${from}`];
      const goesDown = layerOf(partOf(imported)) >= layerOf(part);
      return goesDown ? [] : [`${module.path} imports ${imported}, which lies above it`];
    });
  });
}

/** One cycle of imports at run time, as a list of modules; undefined when there is none. */
function cycleAmong(modules: readonly Module[]): string[] | undefined {
  const edges = new Map(
    modules.map((module) => [
      module.path,
      module.imports
        .filter(({ typeOnly }) => !typeOnly)
        .map(({ from }) => target(module, from))
        .filter((path) => path !== undefined),
    ]),
  );
  const finished = new Set<string>();
  const visit = (path: string, trail: readonly string[]): string[] | undefined => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path];
    if (finished.has(path)) return undefined;
    for (const next of edges.get(path) ?? []) {
      const cycle = visit(next, [...trail, path]);
      if (cycle) return cycle;
    }
    finished.add(path);
    return undefined;
  };
  for (const path of edges.keys()) {
    const cycle = visit(path, []);
    if (cycle) return cycle;
  }
  return undefined;
}

/** Packages and Node modules that are loaded as soon as `start` is, whatever it does afterwards. */
function loadedAtOnce(modules: readonly Module[], start: string): Set<string> {
  const byPath = new Map(modules.map((module) => [module.path, module]));
  const seen = new Set<string>();
  const packages = new Set<string>();
  const visit = (path: string): void => {
    const module = byPath.get(path);
    if (!module || seen.has(path)) return;
    seen.add(path);
    for (const { from, typeOnly, dynamic } of module.imports) {
      if (typeOnly || dynamic) continue;
      const imported = target(module, from);
      if (imported === undefined) packages.add(from);
      else visit(imported);
    }
  };
  visit(start);
  return packages;
}

const sources = {
  stf: join(root, "packages", "stf", "src"),
  torch: join(root, "packages", "torch", "src"),
};
const stf = modulesOf(sources.stf);
const torch = modulesOf(sources.torch);

interface PackageFile {
  readonly name: string;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const packageFile = (name: string): PackageFile =>
  JSON.parse(readFileSync(join(root, "packages", name, "package.json"), "utf8")) as PackageFile;

describe("stf", () => {
  test("its parts import downwards only", () => {
    expect(stf.length).toBeGreaterThan(30);
    expect(stfViolations(stf)).toEqual([]);
  });

  test("has no cycles", () => {
    expect(cycleAmong(stf)).toBeUndefined();
  });

  test("imports what exists, inside its own sources", () => {
    const paths = new Set(stf.map(({ path }) => path));
    const lost = stf.flatMap((module) =>
      module.imports
        .map(({ from }) => target(module, from))
        .filter((path) => path !== undefined && !paths.has(path))
        .map((path) => `${module.path} imports ${path}`),
    );
    expect(lost).toEqual([]);
  });

  test("imports packages that it declares, and of @stf/torch what that exports", () => {
    const { dependencies, optionalDependencies, peerDependencies } = packageFile("stf");
    const declared = { ...dependencies, ...optionalDependencies, ...peerDependencies };
    const entries = Object.keys(packageFile("torch").exports).map((entry) => join("@stf/torch", entry));
    const wrong = stf.flatMap((module) =>
      module.imports
        .map(({ from }) => from)
        .filter((from) => target(module, from) === undefined && !isNode(from))
        .filter((from) => (from.startsWith("@stf/") ? !entries.includes(from) : !(from in declared)))
        .map((from) => `${module.path} imports ${from}`),
    );
    expect(wrong).toEqual([]);
    expect(Object.keys(declared)).toContain("@stf/torch");
  });

  test("help does not load libtorch", () => {
    expect([...loadedAtOnce(stf, "cli/main")].filter((from) => from.startsWith("@stf/"))).toEqual([]);
    // The same question about a command that computes has another answer.
    expect([...loadedAtOnce(stf, "jobs/train")]).toContain("@stf/torch");
  });
});

describe("torch", () => {
  test("its parts import downwards only, and no package", () => {
    expect(torch.length).toBeGreaterThan(20);
    expect(torchViolations(torch)).toEqual([]);
  });

  test("has no cycles", () => {
    expect(cycleAmong(torch)).toBeUndefined();
  });

  test("one file loads the addon", () => {
    const loading = torch.filter(({ imports }) => imports.some(({ from }) => from === "node:module"));
    expect(loading.map(({ path }) => path)).toEqual(["native"]);
  });
});

describe("this test", () => {
  test("reads all kinds of imports", () => {
    const source = [
      '/* import { no } from "commented"; */',
      '// import { no } from "commented";',
      'import "./effect.js";',
      'import fallback, { type A, b } from "./mixed.js";',
      'import * as all from "./all.js";',
      'import type { T } from "./types.js";',
      "import {",
      "  one,",
      "  type Two,",
      '} from "../lines.js";',
      'export { x } from "./x.js";',
      'export type { Y } from "./y.js";',
      'export * from "./star.js";',
      'const text = "to draw from", more = "not imported";',
      'export const from = "not imported";',
      'const lazy = await import("./lazy.js");',
    ].join("\n");
    const plain = (from: string): Import => ({ from, typeOnly: false, dynamic: false });
    expect(importsOf(source)).toEqual([
      plain("./effect.js"),
      plain("./mixed.js"),
      plain("./all.js"),
      { from: "./types.js", typeOnly: true, dynamic: false },
      plain("../lines.js"),
      plain("./x.js"),
      { from: "./y.js", typeOnly: true, dynamic: false },
      plain("./star.js"),
      { from: "./lazy.js", typeOnly: false, dynamic: true },
    ]);
  });

  const module = (path: string, ...from: string[]): Module => ({
    path,
    imports: from.map((name) => ({ from: name, typeOnly: false, dynamic: false })),
  });

  test("notices imports that go up or sideways, and parts without a layer", () => {
    const wrong = [
      module("data/order", "../training/step.js"),
      module("training/loop", "../sampling/heun.js"),
      module("common/text", "@stf/torch"),
      module("common/folders", "../data/open.js"),
      module("unlisted/part"),
      module("index", "./cli/train.js"),
    ];
    expect(stfViolations(wrong)).toHaveLength(wrong.length);
    const right = [module("cli/train", "../training/loop.js", "../common/errors.js", "@stf/torch", "node:fs")];
    expect(stfViolations(right)).toEqual([]);
    expect(
      torchViolations([module("scope", "./tensor.js"), module("nn/linear", "../optim/adam.js", "lodash")]),
    ).toHaveLength(3);
  });

  test("notices cycles, but not those of types", () => {
    const ring = [module("a", "./b.js"), module("b", "./c.js"), module("c", "./a.js")];
    expect(cycleAmong(ring)).toEqual(["a", "b", "c", "a"]);
    const typed = ring.map(({ path, imports }) => ({
      path,
      imports: imports.map((i) => ({ ...i, typeOnly: path === "c" })),
    }));
    expect(cycleAmong(typed)).toBeUndefined();
  });

  test("looks at the sources it means", () => {
    expect(relative(root, sources.stf).split(sep)).toEqual(["packages", "stf", "src"]);
    expect(packageFile("torch").name).toBe("@stf/torch");
  });
});
