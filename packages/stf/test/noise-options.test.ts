/** The noise levels of training: their distribution, the options that set it, and the files that keep it. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadSafetensors, readSafetensorsMetadata } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { loadSnapshot } from "../src/checkpoints/network-file.js";
import { writePng } from "../src/codecs/png.js";
import { UsageError } from "../src/common/errors.js";
import { noiseOptionsOf } from "../src/config/noise-options.js";
import { changedOptions } from "../src/config/resolved-options.js";
import type { TrainOptions } from "../src/config/train-options.js";
import { statedOptions, type TrainRequest, trainingOptions } from "../src/config/train-request.js";
import { networkConfig } from "../src/config/training.js";
import { optionsForTransfer } from "../src/config/transfer.js";
import { jobContext } from "../src/jobs/context.js";
import { train } from "../src/jobs/train.js";
import type { NetworkConfig } from "../src/networks/build.js";
import { edmPreconditioning } from "../src/preconditioning/edm.js";
import { preconditioningOf } from "../src/preconditioning/table.js";
import { vePreconditioning } from "../src/preconditioning/ve.js";
import { logNormalLevels, type NoiseLevels } from "../src/processes/noise-levels.js";
import { KeyedRandom, randomKey } from "../src/random/keyed.js";
import { snapshotPath, statePath } from "../src/run/files.js";
import { blobs, chiSquare, chiSquareBound, listener, meanAndError, sameBits } from "./support.js";

const draws = (levels: NoiseLevels, count: number, seed = 4): number[] =>
  Array.from({ length: count }, (_, i) => levels(new KeyedRandom(randomKey(seed, "noiseLevel", i))));

/** Counts the numbers that are taken from it. */
class CountedRandom extends KeyedRandom {
  count = 0;

  override uniform(): number {
    this.count++;
    return super.uniform();
  }
}

describe("ln sigma is normal within the range", () => {
  const cases: [about: string, mean: number, deviation: number, sigmaMin: number, sigmaMax: number][] = [
    ["without a range", -0.4, 1, 0, Number.POSITIVE_INFINITY],
    ["EDM's own, in the range of drawing", -1.2, 1.2, 0.002, 80],
    ["above a level", -1.2, 1.2, 0.2, Number.POSITIVE_INFINITY],
    ["below a level", -1.2, 1.2, 0, 0.5],
    ["in the upper tail", -1.2, 1.2, 5, Number.POSITIVE_INFINITY],
    ["far out in it", -1.2, 0.6, 50, 80],
    ["in the lower tail", -1.2, 1.2, 0, 0.01],
    ["far out in that", 0, 0.4, 0.05, 0.06],
    ["in a narrow range beside the mean", -1.2, 1.2, 0.35, 0.5],
    ["in a narrow range around the mean", -1.2, 1.2, 0.25, 0.5],
    ["so wide that it is uniform", -1.2, 1e300, 0.01, 80],
  ];

  test.each(cases)("%s", (_, mean, deviation, sigmaMin, sigmaMax) => {
    const [first, last] = [Math.log(sigmaMin), Math.log(sigmaMax)];
    const top = Math.min(Math.max(mean, first), last);
    const low = Math.max(first, top - 9 * deviation);
    const high = Math.min(last, top + 9 * deviation);
    // The distribution function by the midpoint rule; the tails have no cancellation, because the density is relative to its maximum.
    const cells = 20_000;
    const width = (high - low) / cells;
    const logDensity = (x: number): number => -0.5 * ((x - mean) / deviation) ** 2;
    const centre = (i: number): number => low + (i + 0.5) * width;
    const mass = Float64Array.from({ length: cells }, (_, i) => Math.exp(logDensity(centre(i)) - logDensity(top)));
    const total = mass.reduce((sum, value) => sum + value, 0);
    const moment = (power: number, about = 0): number =>
      mass.reduce((sum, value, i) => sum + value * (centre(i) - about) ** power, 0) / total;
    const below = new Float64Array(cells + 1);
    for (let i = 0; i < cells; i++) below[i + 1] = below[i]! + mass[i]! / total;
    const shareBelow = (x: number): number => {
      const place = Math.min(Math.max((x - low) / width, 0), cells - 1e-9);
      const cell = Math.floor(place);
      return below[cell]! + (place - cell) * (below[cell + 1]! - below[cell]!);
    };

    const levels = draws(logNormalLevels(mean, deviation, { sigmaMin, sigmaMax }), 20_000);
    expect(Math.min(...levels)).toBeGreaterThanOrEqual(sigmaMin);
    expect(Math.max(...levels)).toBeLessThanOrEqual(sigmaMax);
    // However improbable the range, a level takes at most seven attempts, of two numbers each.
    const counted = new CountedRandom(randomKey(1, "noiseLevel"));
    const draw = logNormalLevels(mean, deviation, { sigmaMin, sigmaMax });
    for (let i = 0; i < 500; i++) draw(counted);
    expect(counted.count / 500).toBeLessThan(14);
    const logs = levels.map(Math.log);
    const wanted = moment(1);
    const found = meanAndError(logs);
    expect(Math.abs(found.mean - wanted)).toBeLessThan(4 * found.error);
    const spread = meanAndError(logs.map((x) => (x - wanted) ** 2));
    expect(Math.abs(spread.mean - moment(2, wanted))).toBeLessThan(4 * spread.error);
    const counts = new Float64Array(40);
    for (const x of logs) counts[Math.min(Math.floor(40 * shareBelow(x)), 39)]!++;
    expect(chiSquare(counts)).toBeLessThan(chiSquareBound(39));
  });

  test("one-sided: the mean is that of the inverse Mills ratio", () => {
    // E[z | z > a] = phi(a) / Q(a), with a = 1 and Q(1) = 0.158655254.
    const levels = draws(logNormalLevels(0, 1, { sigmaMin: Math.E }), 20_000);
    const { mean, error } = meanAndError(levels.map(Math.log));
    expect(Math.abs(mean - 0.2419707245 / 0.1586552539)).toBeLessThan(4 * error);
  });

  test("a level depends on nothing but its key, and without a range is the number it has always been", () => {
    const plain = draws(edmPreconditioning().noiseLevels, 2000);
    expect(plain).toEqual(draws((random) => Math.exp(-1.2 + 1.2 * random.normal()), 2000));
    // A range that most numbers are in changes no other.
    const inside = draws(edmPreconditioning({ sigmaMin: 0.1, sigmaMax: 10 }).noiseLevels, 2000);
    const kept = plain.flatMap((sigma, i) => (sigma >= 0.1 && sigma <= 10 ? [i] : []));
    expect(kept.length).toBeGreaterThan(1500);
    for (const i of kept) expect(inside[i]).toBe(plain[i]);
    const tail = edmPreconditioning({ sigmaMin: 50 }).noiseLevels;
    expect(draws(tail, 20).reverse()).toEqual(
      Array.from({ length: 20 }, (_, i) => tail(new KeyedRandom(randomKey(4, "noiseLevel", 19 - i)))),
    );
  });
});

test("sigma_data: inputs have unit variance, and outputs the scale of what is to be explained", () => {
  for (const sigmaData of [1e-6, 0.05, 0.25, 3, 1e6]) {
    const { coefficients, lossWeight } = edmPreconditioning({ sigmaData });
    for (const ratio of [1e-6, 0.1, 1, 7, 1e6]) {
      const sigma = ratio * sigmaData;
      const { skip, out, in: scale } = coefficients(sigma);
      expect(scale ** 2 * (sigma ** 2 + sigmaData ** 2)).toBeCloseTo(1, 12);
      // The variance of y - c_skip x is c_out², so that the target of F has unit variance and the weighted loss is that of F.
      const unexplained = (1 - skip) ** 2 * sigmaData ** 2 + (skip * sigma) ** 2;
      expect(unexplained / out ** 2).toBeCloseTo(1, 9);
      expect(lossWeight(sigma) * out ** 2).toBeCloseTo(1, 12);
    }
  }
});

const optionsOf = (given: TrainRequest) => trainingOptions({ data: "x", preset: "published", ...given }, undefined);

const complaint = (body: () => unknown): string => {
  try {
    body();
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  return expect.fail("it was accepted");
};

describe("options", () => {
  test.each<[Partial<TrainOptions>, string]>([
    [{ precond: "vp", pMean: 0 }, "'pMean' needs 'precond=edm', found 'precond=vp'; add that, or leave it out"],
    [
      { precond: "ve", pMean: 0, pStd: 1, sigmaData: 1, sigmaMax: 9 },
      "'pMean', 'pStd', 'sigmaData' needs 'precond=edm', found 'precond=ve'; add that, or leave it out",
    ],
    [
      { precond: "flow", sigmaData: 1, sigmaMin: 1 },
      "'sigmaData' needs 'precond=edm', found 'precond=flow', and 'sigmaMin' needs 'precond=edm' or 'precond=ve', found 'precond=flow'; add that, or leave them out",
    ],
    [{ pStd: 0 }, "'pStd' in the request must be a number above 0, found 0"],
    [{ pStd: Number.NaN }, "'pStd' in the request must be a number above 0, found null"],
    [{ pMean: Number.NaN }, "'pMean' in the request must be a number, found null"],
    [{ sigmaData: 1e-7 }, "'sigmaData' in the request must be a number from 0.000001 to 1000000, found 1e-7"],
    [
      { pStd: 1e300 },
      "the noise levels in training must lie between 1e-15 and 1e15, found 0 to Infinity; bring 'pMean' closer to 0, lower 'pStd', or limit them by 'sigmaMin' and 'sigmaMax'",
    ],
    [
      { pMean: 30 },
      "the noise levels in training must lie between 1e-15 and 1e15, found 352300000 to 324200000000000000; bring 'pMean' closer to 0, lower 'pStd', or limit them by 'sigmaMin' and 'sigmaMax'",
    ],
    [{ sigmaMin: 3, sigmaMax: 3 }, "'sigmaMin' must be at least 0 and below 'sigmaMax', found 3 and 3"],
    [
      { pMean: 10, pStd: 0.5, sigmaMax: 80 },
      "'sigmaMin' and 'sigmaMax' must leave noise levels to train on, found 0 and 80; those of 'pMean' = 10 and 'pStd' = 0.5 are from 298.9 to 1623000",
    ],
    [
      { sigmaMin: 80 },
      "'sigmaMin' and 'sigmaMax' must leave noise levels from 80 to 0.002, with which images are drawn; found 80 and Infinity",
    ],
    [
      { sigmaMax: 0.002 },
      "'sigmaMin' and 'sigmaMax' must leave noise levels from 80 to 0.002, with which images are drawn; found 0 and 0.002",
    ],
    [{ precond: "ve", sigmaMin: 0 }, "'sigmaMin' must be a finite number above 0, found 0"],
    [{ precond: "ve", sigmaMin: 200 }, "'sigmaMin' must be below 'sigmaMax', found 200 and 100"],
    [
      { precond: "ve", sigmaMin: 1e-20 },
      "the noise levels in training must lie between 1e-15 and 1e15, found 1e-20 to 100; bring 'sigmaMin' and 'sigmaMax' closer to 1",
    ],
  ])("%j are refused", (given, says) => {
    expect(complaint(() => optionsOf(given))).toBe(says);
  });

  test("what is left out is the preconditioning's own, as are null and undefined", () => {
    const bank = blobs(4, 8);
    const none = { pMean: null, pStd: null, sigmaData: null, sigmaMin: null, sigmaMax: null };
    const open = { pMean: undefined, sigmaMax: undefined };
    for (const given of [{}, none, open]) {
      for (const precond of ["edm", "vp"] as const) {
        expect(networkConfig(optionsOf({ precond, ...given }), bank)).not.toHaveProperty("constants");
      }
    }
    expect(networkConfig(optionsOf({ pMean: 0, sigmaMin: 0 }), bank).constants).toEqual({ pMean: 0, sigmaMin: 0 });
    expect(networkConfig(optionsOf({ precond: "ve", sigmaMax: 50 }), bank).constants).toEqual({ sigmaMax: 50 });
    // A range makes any width possible.
    expect(optionsOf({ pStd: 1e300, sigmaMin: 0.002, sigmaMax: 80 })).toMatchObject({ pStd: 1e300 });
    bank.dispose();
  });

  test("a resumed run keeps them, and one that knew none has not changed", () => {
    const saved = optionsOf({ pMean: -2, sigmaMax: 20 });
    expect(trainingOptions({ resume: "x" }, saved)).toMatchObject({ pMean: -2, sigmaMax: 20, pStd: null });
    for (const name of ["pMean", "pStd", "sigmaData", "sigmaMin", "sigmaMax"] as const) {
      expect(complaint(() => trainingOptions({ resume: "x", [name]: 1 }, saved))).toMatch(
        new RegExp(`^'${name}' is fixed for the run and cannot change with 'resume'; these can: `),
      );
    }
    const { pMean, pStd, sigmaData, sigmaMin, sigmaMax, ...older } = optionsOf({ seed: 1 });
    expect(changedOptions(older, trainingOptions({ resume: "x", lr: 0.5 }, older))).toEqual(["'lr' 0.001 -> 0.5"]);
  });
});

describe("the network that a run starts from", () => {
  const network: NetworkConfig = {
    arch: "mlp",
    precond: "edm",
    constants: { sigmaData: 0.25, sigmaMin: 0.01, pMean: -2 },
    shape: { channels: 1, height: 8, width: 8 },
    modelChannels: 8,
    channelMult: [1],
    numBlocks: 1,
    attnResolutions: [],
    dropout: 0,
  };
  const from = (given: TrainRequest, source = network) => {
    const request = { data: "x", transfer: "y.pkl", ...given };
    return optionsForTransfer(trainingOptions(request, undefined), statedOptions(request), source);
  };

  test("decides, but for the noise levels", () => {
    expect(noiseOptionsOf(network)).toEqual({ sigmaData: 0.25, sigmaMin: 0.01, pMean: -2 });
    expect(noiseOptionsOf({ precond: "edm" })).toEqual({});
    const found = from({ pStd: 0.7, sigmaMin: 0.1 });
    expect(found).toMatchObject({ sigmaData: 0.25, pMean: -2, pStd: 0.7, sigmaMin: 0.1, sigmaMax: null });
    const bank = blobs(4, 8);
    expect(networkConfig(found, bank, network.constants).constants).toEqual({
      ...{ sigmaData: 0.25, sigmaMin: 0.1, pMean: -2, pStd: 0.7 },
    });
    bank.dispose();
    expect(from({ sigmaData: 0.25 })).toMatchObject({ sigmaData: 0.25 });
  });

  test.each<[TrainRequest, Partial<NetworkConfig>, string]>([
    [
      { sigmaData: 0.5 },
      {},
      "'sigmaData' must be that of the network in 'transfer=y.pkl', 0.25, found 0.5; give 'sigmaData=0.25', or leave it out",
    ],
    [
      { pMean: 1 },
      { precond: "ve", constants: {} },
      "'pMean' needs 'precond=edm', found 'precond=ve'; add that, or leave it out",
    ],
    [{ sigmaMin: 0 }, { precond: "ve", constants: {} }, "'sigmaMin' must be a finite number above 0, found 0"],
    [{ sigmaMax: 0.005 }, {}, "'sigmaMin' must be at least 0 and below 'sigmaMax', found 0.01 and 0.005"],
  ])("%j, %j", (given, changes, says) => {
    expect(complaint(() => from(given, { ...network, ...changes }))).toBe(says);
  });

  test("has constants that count where options are checked", () => {
    expect(complaint(() => from({ pStd: 0.1 }, { ...network, constants: { sigmaMin: 1 } }))).toBe(
      "'sigmaMin' and 'sigmaMax' must leave noise levels to train on, found 1 and Infinity; those of 'pMean' = -1.2 and 'pStd' = 0.1 are from 0.1275 to 0.7118",
    );
    expect(() => from({ sigmaMin: 1, pMean: 2 }, { ...network, constants: { pMean: -9 } })).not.toThrow();
  });
});

describe("a run", () => {
  const folder = mkdtempSync(join(tmpdir(), "stf-noise-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const data = join(folder, "images");
  mkdirSync(data);
  for (let i = 0; i < 16; i++) {
    const pixels = Uint8Array.from({ length: 64 }, (_, p) => (p * (i + 3)) % 256);
    writePng(join(data, `${i}.png`), pixels, { channels: 1, height: 8, width: 8 });
  }
  const request: TrainRequest = {
    ...{ data, outdir: folder, arch: "mlp", cbase: 8, numBlocks: 1, stf: true, augment: 0, batch: 8, lr: 0.01 },
    ...{ lrRampup: 0, duration: 3.2e-5, seed: 3 },
  };
  const levels = { pMean: 0.5, pStd: 0.4, sigmaData: 0.3, sigmaMin: 0.05, sigmaMax: 20 };
  const heard = async (given: TrainRequest): Promise<string> => {
    const { lines, reporter } = listener();
    await train(given, jobContext({ reporter }));
    return lines.join("\n");
  };
  const constantsIn = (path: string): unknown =>
    (JSON.parse(readSafetensorsMetadata(path)["network"]!) as NetworkConfig).constants;
  const expectSame = (a: string, b: string, isSame = true): void => {
    const [one, other] = [loadSafetensors(a).tensors, loadSafetensors(b).tensors];
    const found = [...one].every(([name, values]) => sameBits(values, other.get(name)!));
    for (const tensor of [...one.values(), ...other.values()]) tensor.dispose();
    expect(found).toBe(isSame);
  };

  test("says and keeps its constants, and goes on with them bit for bit", async () => {
    const said = await heard({ ...request, ...levels, name: "whole" });
    expect(said).toContain(
      "constants   'sigmaData=0.3' (published 0.5), 'sigmaMin=0.05' (published 0), 'sigmaMax=20' (published none), 'pMean=0.5' (published -1.2), 'pStd=0.4' (published 1.2)",
    );
    await heard({ ...request, ...levels, name: "parts", duration: 1.6e-5 });
    const parts = join(folder, "parts");
    expect(await heard({ resume: parts, duration: 3.2e-5 })).toContain("'pMean=0.5' (published -1.2)");
    const end = snapshotPath(parts, 32);
    expectSame(end, snapshotPath(join(folder, "whole"), 32));
    for (const path of [end, statePath(parts, 32)]) expect(constantsIn(path)).toEqual(levels);
    const { denoiser } = loadSnapshot(end);
    expect(denoiser.preconditioning.constants).toEqual(levels);
    expect(draws(denoiser.preconditioning.noiseLevels, 50)).toEqual(draws(edmPreconditioning(levels).noiseLevels, 50));
    denoiser.dispose();
    const saved = JSON.parse(readFileSync(join(parts, "training_options.json"), "utf8")) as TrainOptions;
    expect(saved).toMatchObject(levels);
  });

  test("each constant is used", async () => {
    await heard({ ...request, name: "published" });
    const published = snapshotPath(join(folder, "published"), 32);
    // Earlier versions can read it: it names no constant that they do not know.
    expect(constantsIn(published)).toEqual({ sigmaData: 0.5, sigmaMin: 0 });
    for (const [name, value] of [...Object.entries(levels), ["sigmaMin", 0.2] as const]) {
      const run = `only-${name}-${value}`;
      await heard({ ...request, [name]: value, name: run });
      // A range that excludes no level of these samples changes nothing.
      const isSame = name === "sigmaMax" || (name === "sigmaMin" && value === 0.05);
      if (!isSame) expectSame(published, snapshotPath(join(folder, run), 32), false);
    }
    // The published values, stated, are those that are meant.
    await heard({ ...request, pMean: -1.2, pStd: 1.2, sigmaData: 0.5, sigmaMin: 0, name: "stated" });
    expectSame(published, snapshotPath(join(folder, "stated"), 32));
  });

  test("starts from another's network, with its constants and with other noise levels", async () => {
    const transfer = snapshotPath(join(folder, "parts"), 32);
    const said = await heard({ ...request, cbase: 8, transfer, name: "same" });
    expect(said).toMatch(/^transfer {4}4 tensors/m);
    expect(constantsIn(snapshotPath(join(folder, "same"), 32))).toEqual(levels);
    await heard({ ...request, transfer, pMean: -0.5, sigmaMax: 10, name: "other" });
    const changed = { ...levels, pMean: -0.5, sigmaMax: 10 };
    expect(constantsIn(snapshotPath(join(folder, "other"), 32))).toEqual(changed);
    const saved = JSON.parse(readFileSync(join(folder, "other", "training_options.json"), "utf8")) as TrainOptions;
    expect(saved).toMatchObject(changed);
    await expect(train({ ...request, transfer, sigmaData: 0.5, name: "refused" })).rejects.toThrow(
      /^'sigmaData' must be that of the network in 'transfer=.*', 0\.3, found 0\.5; give 'sigmaData=0\.3', or leave it out$/,
    );
  });

  test("a preset that chooses keeps them", async () => {
    const { arch, cbase, numBlocks, batch, lr, lrRampup, ...open } = request;
    await heard({
      ...open,
      transfer: snapshotPath(join(folder, "parts"), 32),
      pStd: 0.9,
      preset: "auto",
      name: "auto",
    });
    const saved = JSON.parse(readFileSync(join(folder, "auto", "training_options.json"), "utf8")) as TrainOptions;
    expect(saved).toMatchObject({ ...levels, pStd: 0.9, arch: "mlp" });
  });

  test("on another process", async () => {
    await heard({ ...request, precond: "ve", sigmaMin: 0.1, sigmaMax: 30, name: "ve" });
    const { denoiser } = loadSnapshot(snapshotPath(join(folder, "ve"), 32));
    expect(denoiser.preconditioning.constants).toEqual({ sigmaMin: 0.1, sigmaMax: 30 });
    expect(draws(denoiser.preconditioning.noiseLevels, 9)).toEqual(
      draws(vePreconditioning({ sigmaMin: 0.1, sigmaMax: 30 }).noiseLevels, 9),
    );
    denoiser.dispose();
    expect(preconditioningOf("ve").constants).toEqual({ sigmaMin: 0.02, sigmaMax: 100 });
  });
});
