/** What a person is told about time: how long a useful training takes, and how many images are drawn at its end. */

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { nextSteps } from "../src/cli/next-steps.js";
import { commandFor, describedEstimate } from "../src/cli/train-dry-run.js";
import { writePng } from "../src/codecs/png.js";
import { precisionNotes } from "../src/config/contradictions.js";
import { enoughMinutes, isTooShort, RECOGNISABLE } from "../src/config/enough-training.js";
import { type TrainRequest, trainingOptions } from "../src/config/train-request.js";
import { trainingData, trainingSettings, usesDistances } from "../src/config/training.js";
import { ImageBank } from "../src/data/image-bank.js";
import { nearestDistances } from "../src/data/neighbours.js";
import { jobContext } from "../src/jobs/context.js";
import { estimateTraining, warningsOn } from "../src/jobs/estimate.js";
import { measureSpeed } from "../src/jobs/measure.js";
import { train } from "../src/jobs/train.js";
import type { TrainResult } from "../src/jobs/train-in-folder.js";
import { estimateDistances } from "../src/jobs/training-distances.js";
import { planTraining } from "../src/jobs/training-plan.js";
import { tickNotes } from "../src/jobs/training-report.js";
import { gridWithin } from "../src/jobs/training-samples.js";
import type { Progress } from "../src/training/loop.js";
import { disposeState } from "../src/training/state.js";
import { listener } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-advice-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const shape = { channels: 1, height: 8, width: 8 };

function makeImages(name: string, paths: readonly string[]): string {
  for (const [i, path] of paths.entries()) {
    const file = join(folder, name, path);
    mkdirSync(dirname(file), { recursive: true });
    writePng(
      file,
      Uint8Array.from({ length: 64 }, (_, p) => (p * (i + 3)) % 256),
      shape,
    );
  }
  return join(folder, name);
}

const data = makeImages(
  "images",
  Array.from({ length: 16 }, (_, i) => `${i}.png`),
);
const small: TrainRequest = {
  ...{ data, outdir: join(folder, "runs"), stf: true, rbatch: 8, arch: "mlp", cbase: 8, numBlocks: 1 },
  ...{ augment: 0, batch: 8, lrRampup: 0, duration: 4e-5, tick: 0.016, seed: 3 },
};

describe("a time limit that is worth it", () => {
  test("is long enough, and no longer than people's rounding requires", () => {
    for (const speed of [0.01, 0.3, 1, 3.7, 4.1, 17, 82, 500, 1e5]) {
      const minutes = enoughMinutes(speed);
      const needed = RECOGNISABLE / speed / 60;
      expect(minutes).toBeGreaterThanOrEqual(needed);
      expect(minutes).toBeLessThanOrEqual(Math.max(1, 2 * needed));
    }
    expect(enoughMinutes(10, RECOGNISABLE / 2)).toBeLessThan(enoughMinutes(10));
    expect(enoughMinutes(10, 2 * RECOGNISABLE)).toBe(1);
    expect([enoughMinutes(0), enoughMinutes(Number.NaN)]).toEqual([0, 0]);
    expect([isTooShort(100), isTooShort(RECOGNISABLE)]).toEqual([true, false]);
  });

  test("is what the end of a short run suggests, at the speed that the run had", () => {
    const plan = { options: { timeLimit: 1 }, network: {}, bank: {} } as Parameters<typeof nextSteps>[1];
    const further = (result: Partial<TrainResult>): string | undefined => {
      const lines = nextSteps({ reason: "time limit", folder: "runs/1", images: 240, ...result }, plan);
      return /train further .*--resume=runs\/1 (\S+)$/.exec(lines.join("\n").split("\n  stat")[0] as string)?.[1];
    };
    const progress = { imagesPerSecond: 4 } as TrainResult["progress"] & object;
    expect(further({ progress })).toBe(`--time-limit=${enoughMinutes(4, 240)}`);
    expect(further({ progress, images: 50_000 })).toBe("--time-limit=1");
    expect(further({ progress, reason: "finished" })).toBe("--duration=0.00048");
  });
});

test("the speed that is measured is the machine's own when others disturb two steps of three", async () => {
  const plan = await planTraining(small, jobContext());
  const settings = trainingSettings(plan.options);
  // A step takes 0.25 seconds, and three times as long when it is disturbed.
  const speedOf = (isDisturbed: (step: number) => boolean): number => {
    let [calls, time] = [0, 0];
    const now = (): number => {
      const step = calls >> 1;
      if (calls++ % 2 === 1) time += isDisturbed(step) ? 0.75 : 0.25;
      return time;
    };
    return measureSpeed(plan.state, trainingData(plan.bank, plan.options), settings, jobContext({ now }));
  };
  const own = speedOf(() => false);
  expect(own).toBeCloseTo(8 / 0.25, 9);
  expect(speedOf((step) => step % 3 > 0)).toBe(own);
  expect(speedOf(() => true)).toBeCloseTo(own / 3, 9);
  disposeState(plan.state);
  plan.bank.dispose();
});

describe("the expected time of a training whose first step prepares what the others use", () => {
  const STEP = 0.25;
  const PREPARATION = 40;
  const COMPARISON = 7;

  /** A clock on which the first of all steps takes longer, and comparing the images takes a time of its own. */
  async function estimated(more: TrainRequest) {
    const plan = await planTraining({ ...small, rbatch: "all", ...more }, jobContext());
    let [calls, time] = [0, 0];
    const comparisons = usesDistances(plan.options, plan.bank.count) ? 2 : 0;
    const now = (): number => {
      // The clock is read before and after a comparison and a step.
      const call = calls++ - comparisons;
      if (call === -1) time += COMPARISON;
      else if (call >= 0 && call % 2 === 1) time += call === 1 ? PREPARATION + STEP : STEP;
      return time;
    };
    const estimate = estimateTraining(plan, jobContext({ now }));
    const lines = describedEstimate(plan, estimate, {} as Parameters<typeof describedEstimate>[2]);
    disposeState(plan.state);
    plan.bank.dispose();
    return { estimate, time: lines.find((line) => line.startsWith("time ")) };
  }

  test("is that of the others, and what is done once is said by itself", async () => {
    const { estimate, time } = await estimated({});
    expect(estimate.imagesPerSecond).toBeCloseTo(8 / STEP, 9);
    expect(estimate.seconds).toBeCloseTo((40 * STEP) / 8, 9);
    expect(estimate.preparation).toBeCloseTo(PREPARATION + COMPARISON, 9);
    expect(time).toBe("time        about 32 images/s here: 1s for 40 images, and once about 47s of preparation");
  });

  test("has no comparison of images where they are not compared", async () => {
    const { estimate } = await estimated({ stfSigma: [0.1, 10] });
    expect(estimate.preparation).toBeCloseTo(PREPARATION, 9);
  });
});

test("a comparison of some images tells how long that of all takes, and stands for it", () => {
  const count = 10_000;
  const pixels = Uint8Array.from({ length: 4 * count }, (_, i) => (i * 2_654_435_761) >>> 24);
  const bank = new ImageBank("noise", { channels: 1, height: 2, width: 2 }, tensor(pixels, { shape: [count, 4] }));
  const options = trainingOptions({ data, preset: "published", stf: true, rbatch: "all" }, undefined);
  // 3 seconds before the first block, and 5 for each.
  const readings = [0, 8, 13];
  const { distances, seconds } = estimateDistances(bank, options, {
    now: () => readings.shift() as number,
    reporter: jobContext().reporter,
  });
  expect(seconds).toBeCloseTo(3 + (5 * count) / 2048, 9);
  const all = nearestDistances(bank);
  expect(distances?.subarray(0, 4096)).toEqual(all.subarray(0, 4096));
  expect(distances?.subarray(8192)).toEqual(all.subarray(0, count - 8192));
  bank.dispose();
});

describe("a planned training", () => {
  const options = trainingOptions({ data, preset: "published" }, undefined);
  const day = 86_400;
  const memory = { state: 0, images: 0, activations: 0, peak: 3 * 2 ** 30 };

  test("that takes weeks or more memory than there is gets a warning", () => {
    expect(warningsOn({ seconds: 6 * day, memory }, options, 4 * 2 ** 30)).toEqual([]);
    expect(warningsOn({ seconds: 30 * day, memory }, options, 4 * 2 ** 30)).toEqual([
      expect.stringMatching(/^that is 30 days on this machine; 'timeLimit'/),
    ]);
    expect(warningsOn({ seconds: 1460 * day, memory }, options, 2 * 2 ** 30)).toEqual([
      expect.stringMatching(/^that is 4 years/),
      expect.stringMatching(/^the memory of this machine is 2\.0 GiB, and training needs 3\.0 GiB; lower 'batchGpu'/),
    ]);
    expect(warningsOn({ seconds: day, memory }, { ...options, device: "cuda" }, 2 ** 30)).toEqual([]);
  });

  test("is a command that asks for the same", () => {
    const given = { data: "my photos", stf: true, cres: [1, 2], stfSigma: [0.5, 80] as const, lr: 2e-4, seed: 7 };
    const found = commandFor(trainingOptions({ ...given, preset: "published" }, undefined));
    expect(found).toMatch(/ train --preset=published /);
    expect(found.split(" --preset=published ")[1]).toBe(
      "'--data=my photos' --stf=1 --stf-sigma=0.5,80 --cres=1,2 --lr=0.0002 --seed=7",
    );
  });

  test("in TF32 on a CPU is told what that is", () => {
    expect(precisionNotes({ precision: "tf32", device: "cpu" })).toEqual([expect.stringMatching(/'precision=bf16'/)]);
    expect(precisionNotes({ precision: "tf32", device: "cuda:1" })).toEqual([]);
    expect(precisionNotes({ precision: "fp32", device: "cpu" })).toEqual([]);
  });
});

test("a loss that has risen is noted once, and again when it is much worse or has recovered in between", () => {
  const notesOn = tickNotes();
  const losses = [1, 11, 12, 100, 111, 112, 5, 50, 2, 11];
  const noted = losses.map((loss) => notesOn({ loss, lowestLoss: 1, steps: 4, skipped: 0 } as Progress).length);
  expect(noted).toEqual([0, 1, 0, 0, 1, 0, 0, 0, 0, 1]);
  expect(notesOn({ loss: 1, lowestLoss: 1, steps: 4, skipped: 2 } as Progress)).toEqual([
    expect.stringMatching(/^2 of 4 steps/),
  ]);
});

describe("the images drawn at the end", () => {
  test("fill the grid if time allows, and are at least one", () => {
    expect(gridWithin(Number.POSITIVE_INFINITY, 8, false)).toEqual({ rows: 8, columns: 8 });
    expect(gridWithin(63, 8, false)).toEqual({ rows: 7, columns: 8 });
    expect(gridWithin(15.9, 8, false)).toEqual({ rows: 1, columns: 8 });
    expect(gridWithin(3.2, 8, false)).toEqual({ rows: 1, columns: 3 });
    expect(gridWithin(0, 8, false)).toEqual({ rows: 1, columns: 1 });
    // A row per class, as long as there can be.
    expect(gridWithin(1000, 10, true)).toEqual({ rows: 10, columns: 8 });
    expect(gridWithin(25, 10, true)).toEqual({ rows: 10, columns: 2 });
    expect(gridWithin(4, 10, true)).toEqual({ rows: 4, columns: 1 });
  });

  test("are fewer when a tenth of the time limit does not suffice, and short trainings are noise", async () => {
    const { lines, reporter } = listener();
    // Every look at the clock takes three seconds: 8 images each time it is looked at.
    let time = 0;
    const now = (): number => {
      time += 3;
      return time;
    };
    await train({ ...small, name: "short", timeLimit: 2 }, jobContext({ reporter, now }));
    const text = lines.join("\n");
    const [, count] = /^drawing (\d+) images?, not 64, to take at most a tenth .*: about \d+s$/m.exec(text) ?? [];
    expect(Number(count)).toBeLessThan(8);
    expect(text).toMatch(new RegExp(`^drew ${count} images? with the averaged weights in `, "m"));
    expect(text).toMatch(/^note +after only \d+ images of training they are mostly noise; about 20000/m);
  });

  test("are all there without a time limit", async () => {
    const { lines, reporter } = listener();
    await train({ ...small, name: "full" }, jobContext({ reporter }));
    expect(lines.join("\n")).toMatch(/^drew 64 images/m);
    expect(lines.join("\n")).not.toMatch(/not 64/);
  });
});

describe("class folders that are not used", () => {
  const dry = async (request: TrainRequest): Promise<string> => {
    const plan = await planTraining({ ...small, batch: 2, rbatch: 2, ...request }, jobContext());
    disposeState(plan.state);
    plan.bank.dispose();
    return plan.description.join("\n");
  };
  const hint = /^note .*'cond=1'/m;

  test("are named, with the option that uses them", async () => {
    const photos = makeImages("photos", ["cats/1.png", "cats/2.png", "dogs, big/1.png", "dogs, big/2.png"]);
    expect(await dry({ data: photos })).toMatch(/2 folders \(cats, "dogs, big"\): 'cond=1' trains a network/);
    expect(await dry({ data: photos, cond: true })).not.toMatch(hint);
    expect(await dry({ data: photos, cond: true })).toMatch(/^classes +0: cats, 1: "dogs, big"$/m);
  });

  test.each([
    ["numbered in thousands", ["00000/1.png", "00000/2.png", "00001/1.png", "00001/2.png"]],
    ["an image each", ["a/1.png", "b/1.png", "c/1.png"]],
    ["beside other images", ["a/1.png", "a/2.png", "3.png", "4.png"]],
    ["parts of a data set", ["train/1.png", "train/2.png", "test/1.png", "test/2.png"]],
    ["a single one", ["a/1.png", "a/2.png", "a/3.png"]],
  ])("are not meant by folders %s", async (name, paths) => {
    expect(await dry({ data: makeImages(name, paths) })).not.toMatch(hint);
  });
});
