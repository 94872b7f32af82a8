/** Analyses as jobs: what comes out, what is refused, and data of which little can be said. */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FileFormatError, memory } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { saveNetwork } from "../src/checkpoints/network-file.js";
import { describeVariance } from "../src/cli/analyze-report.js";
import { InputError, UsageError } from "../src/common/errors.js";
import type { AnalyzeRequest } from "../src/config/analyze-request.js";
import { divideImages, selectImages } from "../src/data/held-out.js";
import { digestOfImages } from "../src/data/image-digest.js";
import { openDataset } from "../src/data/open.js";
import { type AnalyzeResult, analyze } from "../src/jobs/analyze.js";
import { jobContext, Stopped } from "../src/jobs/context.js";
import { buildDenoiser, type NetworkConfig } from "../src/networks/build.js";
import { preconditioningNames } from "../src/preconditioning/table.js";
import { idxBytes, listener } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-analyze-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);

/** A data set of grey 4x4 images, with labels if there are any. */
function dataset(name: string, images: readonly (readonly number[])[], labels?: readonly number[]): string {
  writeFileSync(at(`${name}-images-idx3-ubyte`), idxBytes([images.length, 4, 4], images.flat()));
  if (labels) writeFileSync(at(`${name}-labels-idx1-ubyte`), idxBytes([labels.length], labels));
  return at(`${name}-images-idx3-ubyte`);
}

/** Ramps of light from left to right, of which no two are alike. */
const ramps = (count: number, seed = 0): number[][] =>
  Array.from({ length: count }, (_, k) =>
    Array.from({ length: 16 }, (_, p) => Math.round(127 + 120 * Math.sin(seed + k * 1.7 + ((p % 4) * k) / count))),
  );

function network(name: string, change: Partial<NetworkConfig> = {}): string {
  const config: NetworkConfig = {
    arch: "mlp",
    precond: "edm",
    shape: { channels: 1, height: 4, width: 4 },
    modelChannels: 8,
    channelMult: [1],
    numBlocks: 1,
    attnResolutions: [],
    dropout: 0,
    ...change,
  };
  const denoiser = buildDenoiser(config);
  saveNetwork(at(name), denoiser, config, { images: 1000 });
  denoiser.dispose();
  return at(name);
}

const data = dataset("ramps", ramps(30));
const classes = dataset(
  "classes",
  ramps(31),
  Array.from({ length: 31 }, (_, k) => (k === 30 ? 2 : k % 2)),
);
const other = dataset("other", ramps(12, 0.9));
const plain = network("plain.safetensors");
const conditional = network("conditional.safetensors", { labelDim: 3 });
const small = { data, num: 6, levels: 5, outdir: at("out") } as const;
const quick = { ...small, networkNum: 3 } as const;

const storedAt = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));

/** Analyses, checks what holds of every analysis, and returns it with what was printed. */
async function analyzed(request: AnalyzeRequest): Promise<AnalyzeResult & { readonly lines: readonly string[] }> {
  const { tensors } = memory();
  const { lines, reporter } = listener();
  const result = await analyze(request, jobContext({ reporter }));
  expect(memory().tensors).toBe(tensors);
  const printed = [...lines, ...describeVariance(result.report)];
  // Nothing that is no number: JSON would turn it into null.
  expect(storedAt(result.json)).toEqual(result.report);
  const page = readFileSync(result.page, "utf8").replace(/<script[\s\S]*?<\/script>/g, "");
  for (const text of [printed.join("\n"), page, readFileSync(result.plot, "utf8")]) {
    expect(text).not.toMatch(/NaN|Infinity|undefined|\[object|∞/);
  }
  return { ...result, lines: printed };
}

type Kind = typeof UsageError | typeof InputError | typeof FileFormatError;

/** A job that refuses says why, leaves no tensors and no new folder. */
async function refused(request: AnalyzeRequest, kind: Kind, says: RegExp) {
  const { tensors } = memory();
  const found = existsSync(at("never"));
  const error = await analyze({ ...quick, outdir: at("never"), ...request }).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(kind);
  expect((error as Error).message).toMatch(says);
  expect((error as Error).message).not.toContain("\n");
  expect(memory().tensors).toBe(tensors);
  expect(existsSync(at("never"))).toBe(found);
}

describe("an analysis of images", () => {
  test("writes what it returns, the same for the same seed", async () => {
    const { report, json, page, plot, problem } = await analyzed({ ...small, references: [1, 4, "all"] });
    expect([json, page, plot]).toEqual(["json", "html", "svg"].map((end) => join(small.outdir, `variance.${end}`)));
    expect(readdirSync(small.outdir)).toHaveLength(3);
    expect(problem).toBeUndefined();
    expect(report).toMatchObject({ references: [1, 4, "all"], precond: "edm", networks: [], bias: [] });
    expect(report.data).toMatchObject({ count: 30, dimension: 16 });
    const again = await analyzed({ ...small, references: [1, 4, "all"] });
    expect(again.report.levels).toEqual(report.levels);
    const another = await analyzed({ ...small, references: [1, 4, "all"], seed: 1 });
    expect(another.report.levels).not.toEqual(report.levels);
  });

  test("numbers of references of at least as many as there are images are all", async () => {
    const { report, lines } = await analyzed({ ...small, references: [29, 30, 5000] });
    expect(report.references).toEqual([1, 29, "all"]);
    expect(lines[0]).toBe('note: 30, 5000 references are all that there are: "all"');
    const usual = await analyzed(small);
    expect(usual.report.references).toEqual([1, 16, "all"]);
    expect(usual.lines.join("\n")).not.toContain("note:");
    // Of two classes of 15 images, and one of a single one.
    const byClass = await analyzed({ ...small, data: classes, cond: true, references: [14, 15] });
    expect(byClass.report.references).toEqual([1, 14, "all"]);
  });

  test("with mirror images looks for sources among twice as many", async () => {
    const { report, lines } = await analyzed({ ...small, xflip: true });
    expect(report.data.count).toBe(60);
    expect(lines[0]).toContain("60 images with their mirror images");
    expect(report.suggested.options).toContain("--xflip=1");
  });

  test.each(preconditioningNames)("of the levels of %s suggests to train it", async (precond) => {
    const { report } = await analyzed({ ...small, precond });
    expect(report.precond).toBe(precond);
    const [first, second] = [report.levels[0]!, report.levels.at(-1)!];
    expect(first.sigma).toBeLessThan(second.sigma);
    expect(report.suggested.options.includes(`--precond=${precond}`)).toBe(precond !== "edm");
  });

  test.each([
    { levels: 1 },
    { levels: 1000, num: 2 },
    { num: 2 },
    { references: [1] },
    { references: ["all"] as const },
    { sigmaMin: 1e-15 },
    { sigmaMax: 1e15 },
    { fraction: 1e-12 },
    { fraction: 1 - 1e-12 },
  ])("of %j", async (change) => {
    const { report } = await analyzed({ ...small, ...change });
    expect(report.levels).toHaveLength(change.levels ?? 5);
  });

  test("at levels of one source says so, and suggests no references", async () => {
    const { report } = await analyzed({ ...small, sigmaMax: 0.003 });
    expect(report.findings[0]).toMatch(/^At all of these noise levels, up to sigma = 0.003, .*one possible source/);
    expect(report.findings.join()).not.toMatch(/leave|To bring/);
    expect(report.suggested.references).toBe(1);
  });

  test("at levels that hide everything says so", async () => {
    const { report } = await analyzed({ ...small, sigmaMin: 100, sigmaMax: 1000 });
    expect(report.findings[0]).toMatch(/^From sigma = 100 on a noisy image could come from nearly any image; below/);
  });

  test("checks the bias of targets of half of few images", async () => {
    const { report, lines } = await analyzed({ ...small, data: classes, cond: true, checkBias: true });
    expect(report.bias.map(({ name }) => name)).toEqual([
      "stable target",
      "source excluded",
      "mixed classes",
      "independent augmentation",
    ]);
    expect(report.bias.map(({ references }) => references)).toEqual([7, 7, 7, 7]);
    expect(lines.join("\n")).toContain("squared bias of targets of 7 references");
  });
});

describe("data of which little can be said", () => {
  const image = ramps(3)[2] as number[];
  test.each([
    { name: "one", images: [image] },
    { name: "equal", images: [image, image, image] },
    { name: "black", images: [image.map(() => 0), image.map(() => 0)] },
  ])("$name: no variance", async ({ name, images }) => {
    const { report, lines } = await analyzed({
      ...quick,
      data: dataset(name, images),
      network: [plain],
      heldOut: other,
      checkBias: true,
    });
    expect(report.levels.every(({ floor }) => floor.value === 0)).toBe(true);
    expect(report.findings[0]).toBe("All images are equal: every target is that image, and has no variance.");
    expect(report.networks[0]?.levels.every(({ seen }) => seen.explained === null)).toBe(true);
    expect(lines[0]).toMatch(images.length === 1 ? /: 1 image in 16/ : /: \d images in 16/);
  });

  test("a class of one image, and classes of nothing else", async () => {
    const alone = dataset("alone", ramps(4), [0, 1, 2, 3]);
    const { report } = await analyzed({ ...small, data: alone, cond: true });
    expect(report.findings[0]).toMatch(/^All images of a class are equal/);
    expect((await analyzed({ ...small, data: classes, cond: true })).report.data.variance).toBeGreaterThan(0);
  });

  test("two images, and two that differ by a grey level", async () => {
    const changed = image.map((value, p) => (p === 5 ? value + 1 : value));
    for (const [name, second] of [["two", ramps(5)[4]!] as const, ["near", changed] as const]) {
      const { report } = await analyzed({ ...small, data: dataset(name, [image, second]) });
      expect(report.references).toEqual([1, "all"]);
      expect(report.levels.at(-1)?.posterior?.effective.value).toBeCloseTo(2, 1);
    }
  });

  test("a single value per image", async () => {
    const path = at("pixel-images-idx3-ubyte");
    writeFileSync(
      path,
      idxBytes(
        [20, 1, 1],
        Array.from({ length: 20 }, (_, k) => 12 * k),
      ),
    );
    const { report, lines } = await analyzed({ ...small, data: path, checkBias: true });
    expect(report.bias.map(({ name }) => name)).toEqual(["stable target", "source excluded"]);
    expect(lines[0]).toContain("20 images in 1 dimension, ");
  });
});

describe("networks", () => {
  test("one, several, each once, with images that they were not trained on", async () => {
    const vp = network("vp.safetensors", { precond: "vp" });
    const { report, lines } = await analyzed({ ...quick, network: [plain, vp, plain], heldOut: other });
    expect(report.networks.map(({ file, images }) => [file, images])).toEqual([
      [plain, 1000],
      [vp, 1000],
    ]);
    expect(report.networks.every(({ levels }) => levels.every(({ unseen }) => unseen !== undefined))).toBe(true);
    // Where next to nothing can be explained no proportion of it is printed.
    const last = lines.slice(lines.indexOf(plain)).find((line) => /^ *80 /.test(line));
    expect(last?.split(/ {2,}/).at(-4)).toBe("-");
  });

  test("their own preconditioning decides, unless another one is asked for", async () => {
    const vp = network("own.safetensors", { precond: "vp" });
    const own = await analyzed({ ...quick, network: [vp] });
    expect(own.report.precond).toBe("vp");
    expect(own.report.suggested.options).toContain("--precond=vp");
    expect((await analyzed({ ...quick, network: [vp], precond: "edm" })).report.precond).toBe("edm");
  });

  test("of classes", async () => {
    const { report } = await analyzed({ ...quick, data: classes, network: [conditional], cond: true });
    expect(report.networks).toHaveLength(1);
    expect(report.networks[0]?.levels[0]).not.toHaveProperty("unseen");
  });

  test("a share is divided as in training", async () => {
    const { report } = await analyzed({ ...quick, network: [plain], heldOut: 0.3 });
    const bank = await openDataset(data);
    const { training, heldOut } = divideImages(bank, 0.3);
    expect(heldOut).toHaveLength(9);
    const part = selectImages(bank, training);
    expect(report.protocol.method["data"]).toMatchObject({ count: 21, sha256: digestOfImages(part) });
    part.dispose();
    bank.dispose();
  });
});

describe("mixtures", () => {
  const mixture = (name: string, components: unknown): string => {
    writeFileSync(at(`${name}.json`), JSON.stringify({ components }));
    return at(`${name}.json`);
  };
  const few = { num: 4, levels: 4, outdir: at("mixtures"), references: [1, 4] };
  const point = { mean: [1, 1], deviation: 0 };

  test.each(["two-gaussians", "ring-of-gaussians"])("%s", async (name) => {
    const { report, lines } = await analyzed({ ...few, mixture: name, checkBias: true });
    expect(report).toMatchObject({ references: [1, 4], costs: [], data: { count: null, dimension: 2 } });
    expect(report.suggested.options).toEqual([]);
    expect(lines.join("\n")).not.toMatch(/\bimages?\b/);
  });

  test.each([
    { name: "discrete", components: [{ mean: [-1, -1], deviation: 0 }, point] },
    { name: "nearly discrete", components: [{ mean: [-1, -1], deviation: 1e-200 }, point] },
    {
      name: "equal means",
      components: [
        { mean: [1, 1], deviation: 0.3 },
        { mean: [1, 1], deviation: 0.1 },
      ],
    },
    { name: "one component", components: [{ mean: [0, 0], deviation: [0.5, 0] }] },
    { name: "one point", components: [point] },
    { name: "one dimension", components: [{ mean: [0], deviation: 0.5 }] },
    { name: "many dimensions", components: [{ mean: new Array<number>(1000).fill(0.2), deviation: 0.5 }] },
    {
      name: "light",
      components: [
        { ...point, weight: 1e-300 },
        { mean: [0, 0], deviation: 1, weight: 1e-300 },
      ],
    },
    {
      name: "heavy",
      components: [
        { ...point, weight: 1e308 },
        { mean: [0, 0], deviation: 1, weight: 1e308 },
      ],
    },
    {
      name: "far apart",
      components: [
        { mean: [1e6, 0], deviation: 1 },
        { mean: [0, 0], deviation: 1e6 },
      ],
    },
  ])("$name", async ({ name, components }) => {
    const { report } = await analyzed({ ...few, mixture: mixture(name, components) });
    expect(report.levels).toHaveLength(4);
    if (name === "one point") expect(report.findings[0]).toMatch(/^All points are equal/);
    if (name === "heavy") expect(report.data.variance).toBeCloseTo(0.75, 12);
  });

  test("that cannot be used", async () => {
    const no = { data: null, num: 2, levels: 2, networkNum: undefined } as const;
    const file = (text: string): string => {
      writeFileSync(at("bad.json"), text);
      return at("bad.json");
    };
    const { networkNum: _, ...base } = quick;
    const refuse = async (request: AnalyzeRequest, kind: typeof UsageError | typeof InputError, says: RegExp) => {
      const error = await analyze({ ...base, ...no, outdir: at("never"), ...request } as AnalyzeRequest).catch(
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(kind);
      expect((error as Error).message).toMatch(says);
      expect(existsSync(at("never"))).toBe(false);
    };
    await refuse({ mixture: "two-gausians" }, InputError, /no such file; did you mean two-gaussians\?/);
    await refuse({ mixture: file("{") }, InputError, /bad\.json must be JSON/);
    await refuse({ mixture: file("null") }, InputError, /needs a list of "components", found none/);
    await refuse(
      { mixture: mixture("huge", [{ mean: [1e7], deviation: 1 }]) },
      InputError,
      /at most 1000000, found 10000000/,
    );
    await refuse({ mixture: at("x.json"), dimension: 3 }, UsageError, /^'dimension' is for mixtures by name/);
    await refuse({ mixture: "two-gaussians", references: ["all"] }, UsageError, /there is no "all"/);
    await refuse({ mixture: "two-gaussians", dimension: 100_000 }, UsageError, /must be at most 335 .*found 1024/);
  });
});

describe("what is refused", () => {
  test.each<[AnalyzeRequest, typeof UsageError | typeof InputError, RegExp]>([
    [{ network: [plain], data: at("nowhere") }, InputError, /there is no data set at .*nowhere/],
    [{ network: [plain], mixture: "two-gaussians" }, UsageError, /'data' and 'mixture' exclude each other/],
    [{}, UsageError, /^'networkNum' needs a 'network'/],
    [{ network: [plain], dimension: 3 }, UsageError, /^'dimension' is that of a 'mixture'/],
    [{ network: [plain], cond: true }, UsageError, /^'cond=1' needs class-conditional networks/],
    [{ network: [conditional] }, UsageError, /is class-conditional.*add 'cond=1'/],
    [{ network: [conditional], cond: true }, UsageError, /^'cond' needs class labels, and .* has none/],
    [{ network: [plain], sigmaMin: 100 }, UsageError, /^'sigmaMin' must be below 'sigmaMax', found 100 and 80/],
    [{ network: [plain], sigmaMin: 2, sigmaMax: 1 }, UsageError, /^'sigmaMin' must be below 'sigmaMax', found 2 and 1/],
    [{ network: [plain], sigmaMin: 1e-30 }, UsageError, /'sigmaMin' .*must be a number from 1e-15 to/],
    [
      { network: [plain], precond: "vp", sigmaMax: 1000 },
      UsageError,
      /within 0\.001 to 152\.2, the noise levels of vp/,
    ],
    [{ network: [plain], heldOut: data }, UsageError, /^'heldOut' must differ from 'data'/],
    [{ network: [plain], heldOut: 0.001 }, UsageError, /^'heldOut' must hold out an image at least/],
    [{ network: [plain], heldOut: 0.999 }, UsageError, /^'heldOut' must leave images to train on/],
    [{ network: [plain], heldOut: at("nowhere") }, InputError, /held-out images cannot be read/],
    [{ network: [at("nowhere")] }, InputError, /no network snapshot at/],
    [{ network: [folder] }, InputError, /must be a network snapshot or a run folder/],
    [{ network: [plain], fraction: 1 }, UsageError, /'fraction' .*must be a number above 0 and below 1/],
  ])("%j", async (request, kind, says) => {
    await refused(request, kind, says);
  });

  test("networks of other images and classes, and damaged ones", async () => {
    const large = network("large.safetensors", { shape: { channels: 1, height: 5, width: 4 } });
    await refused({ network: [plain, large] }, InputError, /must hold images of .* like those of .*large.*, found/);
    const binary = network("binary.safetensors", { labelDim: 2 });
    await refused({ network: [binary], data: classes, cond: true }, InputError, /only classes of .*0 to 1, found 2/);
    writeFileSync(at("cut.safetensors"), readFileSync(plain).subarray(0, 500));
    await refused({ network: [at("cut.safetensors")] }, FileFormatError, /cut\.safetensors cannot be read/);
  });

  test("a folder that cannot be written, before the work", async () => {
    writeFileSync(at("a-file"), "in the way");
    mkdirSync(at("busy/variance.json"), { recursive: true });
    const asked = { ...quick, network: [plain] };
    const updates: string[] = [];
    const reporter = { ...listener().reporter, update: (line: string) => void updates.push(line) };
    for (const outdir of [at("a-file"), at("a-file/inside"), at("busy")]) {
      await expect(analyze({ ...asked, outdir }, jobContext({ reporter }))).rejects.toThrow(
        /choose another with 'outdir'/,
      );
    }
    expect(updates).toEqual([]);
  });
});

test("it says how far it is, and stops where it is told to, with nothing written", async () => {
  const updates: string[] = [];
  const reporter = { ...listener().reporter, update: (line: string) => void updates.push(line) };
  const request = { ...quick, network: [plain], checkBias: true, outdir: at("stopped") };
  await analyze(request, jobContext({ reporter }));
  for (const part of [/^noisy samples: 3 of 6, \d+s left$/, /^references at the peak: /, /^errors of networks: 33 %/]) {
    expect(updates.some((line) => part.test(line))).toBe(true);
  }
  expect(updates.some((line) => /^bias: 96 of 96/.test(line))).toBe(true);
  rmSync(at("stopped"), { recursive: true });
  const { tensors } = memory();
  for (const calls of [1, 4, 9, 14, 40]) {
    let asked = 0;
    const context = jobContext({ shouldStop: () => ++asked > calls });
    await expect(analyze(request, context)).rejects.toThrow(Stopped);
    expect(existsSync(at("stopped"))).toBe(false);
    expect(memory().tensors).toBe(tensors);
  }
});
