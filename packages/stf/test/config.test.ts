/** Options: what each accepts, what it says otherwise, and which of default, preset and command line wins. */

import { describe, expect, test } from "vitest";
import { UsageError } from "../src/common/errors.js";
import { formatDuration } from "../src/common/text.js";
import { checkValues, type Fields, flagOf, parse, resolve } from "../src/config/fields.js";
import { generateFields } from "../src/config/generate-options.js";
import { importOptions } from "../src/config/import-request.js";
import { newRunOptions } from "../src/config/resolved-options.js";
import { type Preset, type PresetName, presets, type TrainOptions, trainFields } from "../src/config/train-options.js";
import { statedOptions, type TrainRequest, trainingOptions } from "../src/config/train-request.js";
import { trainingSettings } from "../src/config/training.js";
import { optionsForTransfer } from "../src/config/transfer.js";
import { imagesInName, samplesPath, snapshotPath, stampedNames, statePath } from "../src/run/files.js";

const read = (fields: Fields, key: string, text: string): unknown => parse(fields, { [key]: text })[key];

function complaint(fields: Fields, key: string, text: string): string {
  try {
    read(fields, key, text);
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as UsageError).message;
  }
  return expect.fail(`${flagOf(key)}=${text} was accepted`);
}

describe("accepted", () => {
  test.each([
    ["batch", "64", 64],
    ["batch", "1e3", 1000],
    ["lr", "2e-4", 2e-4],
    ["lr", ".5", 0.5],
    ["dropout", "0", 0],
    ["dropout", "0.99", 0.99],
    ["lrRampup", "0", 0],
    ["rbatch", "all", "all"],
    ["rbatch", "1", 1],
    ["stf", "1", true],
    ["stf", "Yes", true],
    ["stf", "true", true],
    ["stf", "0", false],
    ["stf", "off", false],
    ["arch", "ncsnpp", "ncsnpp"],
    ["cres", "1,2,2", [1, 2, 2]],
    ["attn", "0", [0]],
    ["batchGpu", "8", 8],
    ["seed", "0", 0],
    ["outdir", "some where", "some where"],
  ])("train: %s %s", (key, text, value) => {
    expect(read(trainFields, key, text)).toEqual(value);
  });

  test("generate: seeds and ranges of seeds", () => {
    expect(read(generateFields, "seeds", "1,2,5-10")).toEqual([1, 2, 5, 6, 7, 8, 9, 10]);
    expect(read(generateFields, "seeds", "7-7")).toEqual([7]);
  });
});

test("infinity where it is the default, and truths, as the published tools write them", () => {
  for (const text of ["inf", "+inf", "Infinity", "INF"]) {
    expect(read(generateFields, "S_max", text)).toBe(Number.POSITIVE_INFINITY);
    expect(complaint(generateFields, "S_min", text)).toMatch(/--S_min must be a number of at least 0/);
  }
  expect(complaint(generateFields, "S_max", "-inf")).toMatch(/at least 0, found "-inf"/);
  for (const text of ["t", "Y", "yes", "1"]) expect(read(trainFields, "stf", text)).toBe(true);
  for (const text of ["f", "N", "off", "0"]) expect(read(trainFields, "stf", text)).toBe(false);
});

test("what a run begins with decides its network; what contradicts that is named", () => {
  const network = {
    arch: "adm",
    precond: "ve",
    shape: { channels: 3, height: 16, width: 16 },
    modelChannels: 64,
    channelMult: [1, 2],
    numBlocks: 2,
    attnResolutions: [8, 4],
    dropout: 0,
  } as const;
  const from = (request: TrainRequest): TrainOptions =>
    optionsForTransfer(trainingOptions(request, undefined), statedOptions(request), network);
  const request = { data: "x", transfer: "y.pkl" };
  const sizes = { arch: "adm", precond: "ve", cbase: 64, cres: [1, 2], numBlocks: 2, attn: [8] };
  expect(from(request)).toMatchObject(sizes);
  // Resolutions that the network has not do not count.
  expect(from({ ...request, ...sizes, attn: [8, 32] } as TrainRequest)).toMatchObject(sizes);
  const contradictions = [
    [{ arch: "ncsnpp" }, /'arch' must be .* in 'transfer=y\.pkl', adm, found ncsnpp; give 'arch=adm'/],
    [{ precond: "edm" }, /'precond' must .*, ve, found edm/],
    [{ cbase: 32 }, /'cbase' must .*, 64, found 32/],
    [{ cres: [2, 2] }, /'cres' must .*, 1,2, found 2,2/],
    [{ attn: [0] }, /'attn' must .*, 8, found 0/],
    [{ preset: "cifar10-ddpmpp" }, /'arch' must .*, adm, found ddpmpp/],
  ] as const;
  for (const [given, says] of contradictions)
    expect(() => from({ ...request, ...given } as TrainRequest)).toThrow(says);
});

test("an imported network gets a name that stf generate takes", () => {
  expect(importOptions({ file: "a.pt", dest: "b.safetensors" }).dest).toBe("b.safetensors");
  for (const dest of ["x.pt", "x.pkl", "x", "x.safetensors.pt"]) {
    expect(() => importOptions({ file: "a.pt", dest })).toThrow(/'dest' must name a \*\.safetensors file/);
  }
});

describe("refused, in one line that names the option, what it takes, and what was found", () => {
  test.each<[string, string, RegExp]>([
    ["batch", "0", /at least 1/],
    ["batch", "1.5", /whole number/],
    ["batch", "", /whole number/],
    ["batch", " 1", /whole number/],
    ["batch", "0x10", /whole number/],
    ["batch", "many", /whole number/],
    ["batchGpu", "0", /at least 1/],
    ["rbatch", "0", /at least 1.*"all"/],
    ["rbatch", "some", /"all"/],
    ["rbatch", "-5", /at least 1/],
    ["lr", "0", /above 0/],
    ["lr", "-1", /above 0/],
    ["lr", "fast", /number/],
    ["lr", "NaN", /number/],
    ["lr", "Infinity", /number/],
    ["dropout", "1", /at least 0 below 1/],
    ["dropout", "-0.1", /at least 0 below 1/],
    ["duration", "0", /above 0/],
    ["timeLimit", "0", /above 0/],
    ["arch", "vgg", /ddpmpp, ncsnpp/],
    ["precond", "ddpm", /edm/],
    ["stf", "maybe", /1 or 0/],
    ["cres", "1,x", /list of whole numbers/],
    ["cres", "0", /at least 1/],
    ["cres", "1,,2", /list of whole numbers/],
    ["seed", "-1", /at least 0/],
    ["seed", "9007199254740993", /whole number/],
    ["data", "", /value/],
  ])("train: %s %j", (key, text, says) => {
    const message = complaint(trainFields, key, text);
    expect(message).toMatch(says);
    expect(message).toContain(flagOf(key));
    expect(message).toContain(`"${text}"`);
    expect(message).not.toContain("\n");
  });

  test.each<[string, string]>([
    ["seeds", "5-1"],
    ["seeds", "-3"],
    ["seeds", "1-"],
    ["seeds", "0-99999999999"],
    ["seeds", "18446744073709551616"],
    ["steps", "1"],
    ["sigma_min", "0"],
    ["S_churn", "-1"],
  ])("generate: %s %s", (key, text) => {
    expect(complaint(generateFields, key, text)).toContain(flagOf(key));
  });
});

describe("values out of files and programs", () => {
  test("are taken as they are, and what is undefined was not given", () => {
    const given = { batch: 8, stfSigma: [0.5, 80], rbatch: "all", cres: [1, 2], timeLimit: null, lr: undefined };
    const { lr, ...rest } = given;
    expect(checkValues(trainFields, given, "the request")).toEqual(rest);
    const { S_max } = generateFields;
    expect(checkValues(generateFields, { S_max: S_max.default }, "the request")).toEqual({ S_max: S_max.default });
  });

  test("an infinite end of a range is one that files of options can hold", () => {
    const { stfSigma } = parse(trainFields, { stfSigma: "0,inf" });
    expect(JSON.parse(JSON.stringify(stfSigma))).toEqual([0, Number.MAX_VALUE]);
  });

  test.each<[unknown, RegExp]>([
    [{ batch: "8" }, /^'batch' in options\.json must be a whole number of at least 1, found "8"$/],
    [{ batch: 1.5 }, /'batch'.*found 1\.5/],
    [{ batch: null }, /'batch'.*found null/],
    [{ lr: -1 }, /'lr'.*above 0.*-1/],
    [{ stf: 1 }, /'stf'.*found 1/],
    [{ arch: "vgg" }, /'arch'.*ddpmpp.*"vgg"/],
    [{ cres: [] }, /'cres'.*\[\]/],
    [{ cres: [1, "2"] }, /'cres'/],
    [{ stfSigma: [2, 1] }, /'stfSigma'.*MIN <= MAX/],
    [{ name: "../x" }, /'name'.*slashes/],
    [{ device: "gpu" }, /'device'.*cuda/],
    [{ batchSize: 8 }, /options\.json.*found 'batchSize'/],
    [{ toString: 1 }, /found 'toString'/],
    [[1], /object/],
    [null, /object/],
    ["text", /object/],
  ])("%j is refused in one line", (given, says) => {
    const check = (): unknown => checkValues(trainFields, given, "options.json");
    expect(check).toThrow(UsageError);
    expect(check).toThrow(says);
    expect(check).not.toThrow(/\n/);
  });
});

describe("resolution", () => {
  test("the presets of published settings store states as often as the code that they are from", () => {
    const dumpOf = (preset: PresetName): number => newRunOptions({ data: "x" }, preset).dump;
    const stable = ["cifar10-ddpmpp-published", "cifar10-ncsnpp-published"] as const;
    expect(stable.map(dumpOf)).toEqual([50, 50]);
    expect((["edm-cifar10-uncond-ddpmpp", "published"] as const).map(dumpOf)).toEqual([500, 500]);
  });

  test("the command line wins over the preset, the preset over the defaults", () => {
    const preset = { batch: 64, stf: true };
    const options = resolve(trainFields, preset, parse(trainFields, { batch: "8" }));
    expect(options.batch).toBe(8);
    expect(options.stf).toBe(true);
    expect(options.lr).toBe(1e-3);
    expect(Object.isFrozen(options)).toBe(true);
    expect(Object.keys(options)).toEqual(Object.keys(trainFields));
  });

  test("flags are written as in the published tools", () => {
    expect(["pMean", "pStd", "batchGpu", "lrRampup", "sigma_min", "S_churn", "stf"].map(flagOf)).toEqual([
      "--P-mean",
      "--P-std",
      "--batch-gpu",
      "--lr-rampup",
      "--sigma_min",
      "--S_churn",
      "--stf",
    ]);
  });

  test.each(Object.entries<Preset>(presets))("the preset %s holds values that its options accept", (_, preset) => {
    const fields: Fields = trainFields;
    for (const [key, value] of Object.entries(preset.options)) {
      const text = Array.isArray(value) ? value.join(",") : String(value);
      expect(read(fields, key, text), key).toEqual(value);
      expect(fields[key]?.accepts(value), key).toBe(true);
    }
  });

  test.each([
    ["train", trainFields],
    ["generate", generateFields],
  ] as [string, Fields][])("the defaults of %s are values that their options accept", (_, fields) => {
    for (const [key, field] of Object.entries(fields)) {
      const value: unknown = field.default;
      expect(field.accepts(value), key).toBe(true);
      if (value === null || value === Number.POSITIVE_INFINITY) continue;
      const text = Array.isArray(value) ? value.join(",") : String(value);
      expect(read(fields, key, text), key).toEqual(value);
    }
  });
});

describe("names and times", () => {
  test("durations", () => {
    const found = [0, 4.6, 59.4, 60, 187, 3723, 183_840].map(formatDuration);
    expect(found).toEqual(["0s", "5s", "59s", "1m 00s", "3m 07s", "1h 02m 03s", "2d 03h 04m"]);
  });

  test("states are ordered by their images, whether their names count them or thousands of them", () => {
    const names = ["training-state-000020.safetensors", "training-state-000001500.safetensors", "stats.jsonl"];
    const others = ["network-snapshot-000030.safetensors", ".training-state-000040.safetensors.7.partial"];
    expect(stampedNames([...names, ...others], "training-state")).toEqual([names[1], names[0]]);
    expect(stampedNames([...names, ...others], "network-snapshot")).toEqual([others[0]]);
    expect([...names, ...others].map(imagesInName)).toEqual([20_000, 1500, undefined, 30_000, undefined]);
    expect(imagesInName(snapshotPath("", 12_288))).toBe(12_288);
    expect(imagesInName(samplesPath("", 12_288, "raw"))).toBe(12_288);
    expect(imagesInName(statePath("", 2_500_000_000))).toBe(2_500_000_000);
  });
});

test("transferred weights are averaged with the full halflife from the start, fresh ones are not", () => {
  const options = { ...resolve(trainFields), data: "images", seed: 0, ema: 0.5 };
  expect(trainingSettings(options).ema).toEqual({ halflife: 500_000, rampupRatio: 0.05 });
  expect(trainingSettings({ ...options, transfer: "x.pkl" }).ema).toEqual({ halflife: 500_000, rampupRatio: null });
});
