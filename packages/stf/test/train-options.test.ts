/** Options of a training against each other and against the data: what is refused, what is fitted, and what is said. */

import { describe, expect, test } from "vitest";
import { UsageError } from "../src/common/errors.js";
import { fittedToData, withoutAttention } from "../src/config/adjustment.js";
import { withoutEffect } from "../src/config/contradictions.js";
import type { PresetName, TrainOptions } from "../src/config/train-options.js";
import { trainingOptions } from "../src/config/train-request.js";
import { checkAgainstData, networkConfig } from "../src/config/training.js";
import { blobs } from "./support.js";

const optionsOf = (given: Partial<TrainOptions>, preset: PresetName = "published") =>
  trainingOptions({ data: "images", ...given, preset }, undefined);

describe("options that ask for another training than the one that would be done", () => {
  test.each<[Partial<TrainOptions>, RegExp]>([
    [{ rbatch: 64 }, /^'rbatch' needs 'stf=1'; add that, or leave it out$/],
    [{ rbatch: 64, stfSigma: [1, 2] }, /^'rbatch', 'stfSigma' needs 'stf=1'/],
    [{ stfAugment: "independent" }, /'stfAugment' needs 'stf=1'/],
    [{ labelDropout: 0.1 }, /^'labelDropout' needs 'cond=1'; add that, or leave it out$/],
    [
      { labelDropout: 0.1, rbatch: 64 },
      /^'rbatch' needs 'stf=1', and 'labelDropout' needs 'cond=1'; .*leave them out$/,
    ],
  ])("%j is refused", (given, says) => {
    expect(() => optionsOf(given)).toThrow(UsageError);
    expect(() => optionsOf(given)).toThrow(says);
  });

  test.each<[Partial<TrainOptions>, PresetName]>([
    [{ rbatch: 64 }, "auto"],
    [{ rbatch: 64 }, "cifar10-ddpmpp"],
    [{ rbatch: 64, stf: true }, "published"],
    [{ rbatch: 64, stf: false }, "published"],
    [{ stf: false }, "fashion-mnist"],
    [{ labelDropout: 0 }, "published"],
    [{ labelDropout: 0.1, cond: true }, "published"],
    [{ labelDropout: 0.1, cond: false }, "published"],
  ])("%j with %s is not", (given, preset) => {
    expect(optionsOf(given, preset)).toMatchObject(given);
  });

  test("a resumed run is held to it, too", () => {
    const saved = optionsOf({});
    expect(() => trainingOptions({ resume: "x", rbatch: 8 }, saved)).toThrow(UsageError);
  });

  test("who turns the switch off gets a word", () => {
    const given = { rbatch: 64, stf: false, labelDropout: 0.1, cond: false, arch: "mlp", dropout: 0.5 } as const;
    expect(withoutEffect(given, optionsOf(given))).toEqual([
      "'rbatch' has no effect without 'stf=1'",
      "'labelDropout' has no effect without 'cond=1'",
      "'dropout' has no effect without a convolutional 'arch'",
    ]);
  });
});

describe("a small data set", () => {
  test("fits the defaults and those of a preset to it, and says so", () => {
    const { options, notes } = fittedToData({}, optionsOf({}, "cifar10-ddpmpp"), 40);
    expect(options).toMatchObject({ batch: 40, rbatch: 40, stf: true });
    expect(notes).toEqual([
      "batches of 40, the whole data set, instead of 512",
      "40 references, the whole data set, instead of 1024",
    ]);
    const plain = fittedToData({}, optionsOf({}), 40);
    expect(plain.options).toMatchObject({ batch: 40, rbatch: 4096 });
    expect(plain.notes).toHaveLength(1);
    expect(fittedToData({}, optionsOf({}, "cifar10-ddpmpp"), 50_000).notes).toEqual([]);
    expect(fittedToData({}, optionsOf({ stf: true, rbatch: "all" }), 512).notes).toEqual([]);
  });

  test("has all that was asked too much of it in one line", () => {
    const bank = blobs(40, 8);
    const given = { batch: 64, rbatch: 128, stf: true };
    const { options, notes } = fittedToData(given, optionsOf(given), bank.count);
    expect(options).toMatchObject(given);
    expect(notes).toEqual([]);
    expect(() => checkAgainstData(options, bank)).toThrow(/'batch' .* 40 .* found 64; 'rbatch' .* 40 .* found 128$/);
    expect(() => checkAgainstData(optionsOf({ batch: 40, rbatch: 40, stf: true }), bank)).not.toThrow();
    bank.dispose();
  });
});

describe("attention at resolutions that a network does not have", () => {
  const said = (size: number, given: Partial<TrainOptions>): string[] => {
    const bank = blobs(2, size);
    const network = networkConfig(optionsOf(given), bank);
    bank.dispose();
    return withoutAttention(given, network);
  };

  test.each<[number, Partial<TrainOptions>, RegExp]>([
    [28, {}, /^no attention at 16: the network's resolutions are 28, 14, 7; 'attn=14' is the nearest$/],
    [28, { attn: [7, 16] }, /no attention at 16/],
    [28, { arch: "adm", cres: [1, 2, 3] }, /no attention at 32, 16, 8: .*'attn=28' is the nearest/],
  ])("%d pixels, %j", (size, given, says) => {
    expect(said(size, given)).toHaveLength(1);
    expect(said(size, given)[0]).toMatch(says);
  });

  test.each<[number, Partial<TrainOptions>]>([
    [32, {}],
    [64, {}],
    [28, { attn: [0] }],
    [28, { attn: [14, 7] }],
    [28, { arch: "mlp" }],
    [64, { arch: "adm", cres: [1, 2, 3] }],
  ])("nothing to say: %d pixels, %j", (size, given) => {
    expect(said(size, given)).toEqual([]);
  });
});
