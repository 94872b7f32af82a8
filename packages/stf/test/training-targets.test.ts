/** What a step's targets are made from: targets say what they need, and a rule says which references there are. */

import { scope, type Tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { augmentDim } from "../src/augmentation/labels.js";
import { augmentationSettings } from "../src/augmentation/settings.js";
import type { Bank } from "../src/data/bank.js";
import { ImageBank } from "../src/data/image-bank.js";
import { DataOrder } from "../src/data/order.js";
import { KeyedRandom, randomKey } from "../src/random/keyed.js";
import { denoisingTarget } from "../src/targets/denoising.js";
import { classMembers, type DrawReferences, drawWarpedReferences, membersFor } from "../src/targets/references.js";
import { stableFieldTarget } from "../src/targets/stable-field.js";
import type { PerturbedBatch, ReferenceSet, ReferenceTarget, SampleTarget } from "../src/targets/target.js";
import { perturb } from "../src/training/perturb.js";
import { disposeState, initialState } from "../src/training/state.js";
import { type TrainingSettings, trainingStep } from "../src/training/step.js";
import { stepTargets, type TargetSettings } from "../src/training/step-targets.js";
import { maxDeviation, randomBytes, sameBits } from "./support.js";

const N = 40;
const shape = { channels: 3, height: 8, width: 8 };
// Close to each other, so that posteriors hold several.
const bytes = Uint8Array.from(randomBytes(N * 192, 1), (byte) => 100 + (byte >> 3));
const labels = Int32Array.from({ length: N }, (_, i) => i % 3);
const bank = ImageBank.fromBytes("test", shape, bytes, { labels });
afterAll(() => bank.dispose());

const augmentation = augmentationSettings({ probability: 0.5 });
const noiseLevels = (random: KeyedRandom): number => Math.exp(-1 + random.normal());
const order = new DataOrder(N, 5);
const BATCH = 12;
const indices = order.range(0, BATCH);
const samples = Array.from(indices.keys());

/** The targets of a step's samples, and the samples. */
function targetsOf(own: Omit<TargetSettings, "seed">): { found: Tensor; batch: PerturbedBatch } {
  const settings = { seed: 5, noiseLevels, ...own };
  const batch = perturb(samples, indices, bank, settings);
  using targets = stepTargets(bank, settings, 0, indices);
  return { found: targets.targetsOf(batch, 0), batch };
}

/** A target of one's own, which remembers what it was asked with. */
function recorded(of: ReferenceTarget["of"]): ReferenceTarget & { readonly asked: ReferenceSet[]; samples: number } {
  const target = {
    needsReferences: true as const,
    asked: [] as ReferenceSet[],
    samples: 0,
    of(batch: PerturbedBatch, references: ReferenceSet): Tensor {
      target.asked.push(references);
      target.samples += batch.indices.length;
      return of(batch, references);
    },
  };
  return target;
}

describe("with one reference", () => {
  const settings: TrainingSettings = {
    seed: 5,
    batch: BATCH,
    microBatch: BATCH,
    learningRate: { peak: 1e-2, rampup: 0 },
    ema: { halflife: 200, rampupRatio: 0.05 },
    lossScaling: 1,
    noiseLevels,
    target: denoisingTarget,
    references: 1,
  };

  /** The weights after some steps. */
  function trained(own: Partial<TrainingSettings>): Tensor {
    const config = {
      arch: "mlp" as const,
      precond: "edm" as const,
      shape,
      modelChannels: 32,
      channelMult: [1],
      numBlocks: 1,
      attnResolutions: [],
      dropout: 0,
      augmentDim: augmentDim(augmentation),
    };
    const state = initialState(config, 5, "fp32");
    for (let i = 0; i < 4; i++) trainingStep(state, { bank, order }, { ...settings, ...own });
    const weights = state.parameters.values.detach().clone();
    disposeState(state);
    return weights;
  }

  test.each<[string, Partial<TrainingSettings>]>([
    ["of all images", {}],
    ["in chunks smaller than the pool", { target: stableFieldTarget({ chunk: 5 }) }],
    ["of the class", { sameClass: true }],
    ["through the transform of the sample", { augmentation, microBatch: 5 }],
    ["through a transform of its own", { augmentation, referenceAugmentation: "independent" }],
  ])("%s the stable target trains what the clean image does, to the last bit", (_, own) => {
    scope(() => {
      const denoising = trained({ ...own, target: denoisingTarget });
      expect(sameBits(trained({ target: stableFieldTarget(), ...own }), denoising)).toBe(true);
      expect(sameBits(trained({ target: stableFieldTarget(), ...own, references: 2 }), denoising)).toBe(false);
    });
  });

  test.each([{}, { augmentation }])("a target of one's own is asked, and trained on: %o", (own) => {
    scope(() => {
      const nothing = (batch: PerturbedBatch): Tensor => scope(() => batch.source.mul(0));
      const target = recorded(nothing);
      const found = trained({ ...own, target });
      expect(target.samples).toBe(4 * BATCH);
      const expected = trained({ ...own, target: { needsReferences: false, of: nothing } });
      expect(sameBits(found, expected)).toBe(true);
      expect(sameBits(found, trained(own))).toBe(false);
    });
  });

  test("a target of another shape than the images is refused, also where it could be broadcast", () => {
    scope(() => {
      const one: SampleTarget = { needsReferences: false, of: ({ source }) => source.narrow(0, 0, 1) };
      expect(() => trained({ target: one })).toThrow(/a target must have the shape of the images, \[.*\], found \[1,/);
    });
  });
});

test("a target that needs none is given its samples as they are, and no rule is asked", () => {
  scope(() => {
    const seen: PerturbedBatch[] = [];
    const target: SampleTarget = {
      needsReferences: false,
      of(batch) {
        seen.push(batch);
        return batch.source.detach();
      },
    };
    const never = (): never => expect.fail("there was nothing to ask");
    const { batch } = targetsOf({ target, augmentation, references: never, isNeeded: never });
    expect(seen).toEqual([batch]);
  });
});

describe("references by a function", () => {
  const pool = Int32Array.from({ length: N }, (_, item) => (7 * item) % N);
  const fixed: DrawReferences = (images) => () => ({ bank: images, pool });

  test("is asked for each kind of samples, with the sources of the step", () => {
    scope(() => {
      const asked: Int32Array[] = [];
      const references: DrawReferences = (images, sources, random) => {
        asked.push(sources);
        return fixed(images, sources, random);
      };
      const { found } = targetsOf({ target: stableFieldTarget(), references });
      expect(asked).toEqual([indices]);
      const { found: all, batch } = targetsOf({ target: stableFieldTarget(), references: "all" });
      expect(maxDeviation(found, all)).toBeLessThan(1e-6);
      expect(maxDeviation(found, batch.source)).toBeGreaterThan(0.01);
      targetsOf({ target: stableFieldTarget(), references, augmentation });
      expect(asked).toEqual([indices, indices, indices]);
    });
  });

  test("warped samples get a uniform draw from it, their own source included", () => {
    const most = 6;
    const counts = new Float64Array(N);
    const steps = 600;
    const logWeights = Float64Array.from(pool, (item) => item / 10);
    for (let step = 0; step < steps; step++) {
      const random = new KeyedRandom(randomKey(1, "references", step));
      const rule = { references: () => () => ({ bank, pool, logWeights }), warpedReferences: most };
      const { items, logWeights: relative } = membersFor(
        3,
        drawWarpedReferences(bank, Int32Array.of(3, 8), rule, random)(3),
      );
      expect(items[0]).toBe(3);
      expect(new Set(items).size).toBe(most);
      items.forEach((item, k) => {
        counts[item]!++;
        expect(relative![k]).toBeCloseTo((item - 3) / 10, 12);
      });
    }
    const expected = (steps * (most - 1)) / (N - 1);
    counts.forEach((count, item) => {
      if (item !== 3) expect(Math.abs(count - expected)).toBeLessThan(5 * Math.sqrt(expected));
    });
  });

  test("must hold every source", () => {
    const lacking: DrawReferences = (images) => () => ({
      bank: images,
      pool: pool.filter((item) => item !== indices[4]),
    });
    expect(() => targetsOf({ target: stableFieldTarget(), references: lacking })).toThrow(
      `a source must be one of its references; item ${indices[4]} is not`,
    );
  });
});

describe("samples with a transform that is no flip", () => {
  /** Each class by itself, its members with weights of their own. */
  const weighted: DrawReferences = (images: Bank) => {
    const sets = Array.from(classMembers(labels), ([, members]) => ({
      bank: images,
      pool: members,
      logWeights: Float64Array.from(members, (item) => Math.sin(item)),
    }));
    return (source) => sets[labels[source]!]!;
  };

  test.each<[string, Partial<TargetSettings>]>([
    ["a number of references", { references: 30, warpedReferences: 9 }],
    ["of the class", { references: "all", sameClass: true }],
    ["with weights of their own", { references: weighted }],
    ["one reference", { references: 1 }],
  ])("ask a target that only knows banks with one for each sample: %s", (_, rule) => {
    scope(() => {
      const stable = stableFieldTarget();
      const target = recorded((batch, references) => stable.of(batch, references));
      const { found } = targetsOf({ target, augmentation, ...rule });
      const { found: expected, batch } = targetsOf({ target: stable, augmentation, ...rule });
      expect(maxDeviation(found, expected)).toBeLessThan(2e-6);
      const own = target.asked.filter((set) => set.bank !== bank);
      expect(own.length).toBeGreaterThan(3);
      if (rule.references !== 1) expect(maxDeviation(found, batch.source)).toBeGreaterThan(0.01);
    });
  });

  test("have their weights in mind", () => {
    scope(() => {
      const settings = { target: stableFieldTarget(), augmentation };
      const { found } = targetsOf({ ...settings, references: weighted });
      const { found: unweighted } = targetsOf({ ...settings, references: "all", sameClass: true });
      expect(maxDeviation(found, unweighted)).toBeGreaterThan(0.01);
    });
  });
});

describe("what does not fit is refused", () => {
  const target = stableFieldTarget();
  const unlabelled = ImageBank.fromBytes("plain", shape, bytes);
  afterAll(() => unlabelled.dispose());

  test.each<[string, Partial<TargetSettings>, RegExp]>([
    ["references without a rule", {}, /needs references.*found none/],
    [
      "independent transforms of all",
      { augmentation, referenceAugmentation: "independent", references: "all" },
      /need a number/,
    ],
    [
      "independent transforms by class",
      { augmentation, referenceAugmentation: "independent", references: 20, sameClass: true },
      /cannot be chosen by class/,
    ],
  ])("%s", (_, own, message) => {
    expect(() => stepTargets(bank, { seed: 5, target, ...own }, 0, indices)).toThrow(message);
  });

  test("classes where there are none", () => {
    const settings = { seed: 5, target, references: 20, sameClass: true };
    expect(() => stepTargets(unlabelled, settings, 0, indices)).toThrow(/plain has none/);
  });
});
