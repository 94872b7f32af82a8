/** Words that people type: misspelt ones, published options, and names of classes. */

import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import type { Snapshot } from "../src/checkpoints/network-file.js";
import { withPublishedOptions } from "../src/cli/published-options.js";
import { didYouMean, mostSimilar } from "../src/common/similar.js";
import { abbreviated } from "../src/common/text.js";
import { checkValues, parse } from "../src/config/fields.js";
import { generateFields, samplerNames } from "../src/config/generate-options.js";
import { presets, trainFields } from "../src/config/train-options.js";
import { classLegend, classNumber } from "../src/jobs/network-classes.js";

describe("a misspelt word", () => {
  test.each([
    ["huen", samplerNames, "heun"],
    ["dpm++2m-sed", samplerNames, "dpm++2m-sde"],
    ["HEUN", samplerNames, "heun"],
    ["fashon-mnist", Object.keys(presets), "fashion-mnist"],
    ["tabby cat", ["dogs", "tabby cats"], "tabby cats"],
    ["ab", ["ba"], undefined],
    ["abc", ["acb"], "acb"],
    ["something else", samplerNames, undefined],
    ["", samplerNames, undefined],
    ["x".repeat(1e6), samplerNames, undefined],
  ])("%.20s", (misspelt, words, meant) => {
    expect(mostSimilar(misspelt, words)).toBe(meant);
    expect(didYouMean(misspelt, words)).toBe(meant === undefined ? "" : `; did you mean ${meant}?`);
  });

  test("is named with the word that was probably meant, on a command line and in a program", () => {
    expect(() => parse(generateFields, { sampler: "huen" })).toThrow(/found "huen"; did you mean heun\?$/);
    expect(() => parse(generateFields, { sampler: "quick" })).toThrow(/found "quick"$/);
    const check = (given: unknown): unknown => checkValues(trainFields, given, "the request");
    expect(() => check({ rbach: 3 })).toThrow(/found 'rbach'; did you mean 'rbatch'\?$/);
    expect(() => check({ arch: "ddpmp" })).toThrow(/found "ddpmp"; did you mean ddpmpp\?$/);
    expect(() => check({ arch: 7 })).toThrow(/found 7$/);
  });
});

describe("published options", () => {
  test("mean what they meant", () => {
    const { texts, notes } = withPublishedOptions({ fp16: "1", nosubdir: true, outdir: "out/run", batch: "8" });
    expect(texts).toEqual({ batch: "8", precision: "bf16", outdir: resolve("out"), name: "run" });
    expect(notes).toEqual([expect.stringContaining("--precision=bf16")]);
    expect(withPublishedOptions({ fp16: true, precision: "bf16" }).texts).toEqual({ precision: "bf16" });
    expect(withPublishedOptions({ fp16: "0", precision: "fp32" })).toEqual({ texts: { precision: "fp32" }, notes: [] });
  });

  test("without effect are named in one line", () => {
    expect(withPublishedOptions({ bench: "1", workers: "3" })).toEqual({
      texts: {},
      notes: ["no effect here: --bench, --workers"],
    });
    expect(withPublishedOptions({ data: "x" })).toEqual({ texts: { data: "x" }, notes: [] });
  });

  test("that are invalid or contradict others are refused", () => {
    expect(() => withPublishedOptions({ workers: "0" })).toThrow(/--workers.*at least 1/);
    expect(() => withPublishedOptions({ fp16: "half" })).toThrow(/--fp16.*half/);
    expect(() => withPublishedOptions({ fp16: "1", precision: "fp32" })).toThrow(/--fp16 and --precision=fp32 exclude/);
    expect(() => withPublishedOptions({ nosubdir: true, name: "x" })).toThrow(/--nosubdir and --name exclude/);
  });
});

describe("names of classes", () => {
  const network = (names: readonly string[] | null, labelDim = names?.length ?? 3): Snapshot =>
    ({ about: { classNames: names }, denoiser: { labelDim } }) as unknown as Snapshot;
  const named = network(["Cat", "dog", "DOG", "10", "\u00c9tude"]);

  test.each([
    ["Cat", 0],
    ["cat", 0],
    ["CAT", 0],
    ["dog", 1],
    ["DOG", 2],
    ["e\u0301TUDE", 4],
    ["10", 3],
    ["1", 1],
    [2, 2],
    [null, null],
  ])("%s is found, as written or, if only one fits, regardless of case", (label, number) => {
    expect(classNumber(label, named)).toBe(number);
  });

  test("that are not there are refused with the one that was probably meant", () => {
    expect(() => classNumber("Dog", named)).toThrow(
      /'class' must be one of Cat, dog, DOG, 10 and 1 more, or from 0 to 4/,
    );
    expect(() => classNumber("catt", named)).toThrow(/found catt; did you mean Cat\?$/);
    expect(() => classNumber("cat", network(null))).toThrow(/from 0 to 2, found cat; this network was stored without/);
  });

  test("stay apart in lists, whatever is in them", () => {
    expect(abbreviated(["a b", "c, d", 'e"f', "g", "h"])).toBe('a b, "c, d", "e\\"f", g and 1 more');
    expect(classLegend([0, 1, 2, 0], 2, ["cat", "big dog", "x,y"])).toBe(
      'classes in the grid, row by row: cat "big dog", "x,y" cat',
    );
  });
});
