/** Networks with an analytic part as jobs: trained, given to a snapshot, drawn with, evaluated, analysed. */

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memory, noGrad, readSafetensorsMetadata, scope } from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadSnapshot, saveNetwork } from "../src/checkpoints/network-file.js";
import { describeEvaluation } from "../src/cli/numbers.js";
import { InputError, UsageError } from "../src/common/errors.js";
import type { GenerateRequest } from "../src/config/generate-request.js";
import type { TrainRequest } from "../src/config/train-request.js";
import { attachAnalytic } from "../src/jobs/analytic.js";
import { analyze } from "../src/jobs/analyze.js";
import { jobContext, Stopped } from "../src/jobs/context.js";
import { estimateDrawing } from "../src/jobs/drawing-estimate.js";
import { evaluate } from "../src/jobs/evaluate.js";
import { generate } from "../src/jobs/generate.js";
import { likelihood } from "../src/jobs/likelihood.js";
import { train } from "../src/jobs/train.js";
import { buildDenoiser, type NetworkConfig } from "../src/networks/build.js";
import { methodDifferences } from "../src/run/protocol.js";
import { listener, normals, uniforms } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-analytic-"));
const at = (...names: string[]): string => join(folder, ...names);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Images of 8x8 in the form of MNIST: a bright half, whose side is the class, and a little noise. */
function writeImages(name: string, count: number, seed: number, side = 8, different = count): string {
  const next = uniforms(seed);
  const pixels = new Uint8Array(count * side * side);
  const labels = Uint8Array.from({ length: count }, () => Math.floor(2 * next()));
  for (let i = 0; i < count; i++) {
    const level = 140 + 80 * next();
    for (let p = 0; p < side * side; p++) {
      const isBright = p % side < side / 2 === (labels[i] === 0);
      pixels[i * side * side + p] = (isBright ? level : 40) + 20 * next();
    }
  }
  for (let i = different; i < count; i++) pixels.copyWithin(i * side * side, 0, side * side);
  const header = (kind: number, ...sizes: number[]): Buffer => {
    const bytes = Buffer.alloc(4 + 4 * sizes.length);
    bytes.writeUInt32BE(0x800 + kind);
    for (const [k, size] of sizes.entries()) bytes.writeUInt32BE(size, 4 + 4 * k);
    return bytes;
  };
  const path = at(`${name}-images-idx3-ubyte`);
  writeFileSync(path, Buffer.concat([header(3, count, side, side), pixels]));
  writeFileSync(at(`${name}-labels-idx1-ubyte`), Buffer.concat([header(1, count), labels]));
  return path;
}

const data = writeImages("train", 500, 1);
const others = writeImages("other", 80, 2);

const config: NetworkConfig = {
  ...{ arch: "mlp", precond: "edm", shape: { channels: 1, height: 8, width: 8 }, modelChannels: 16, numBlocks: 1 },
  ...{ labelDim: 2, channelMult: [], attnResolutions: [], dropout: 0, augmentDim: 0 },
};

/** A network with random weights, with classes or without. */
function writeNetwork(name: string, labelDim: number): string {
  const own = { ...config, labelDim };
  const denoiser = buildDenoiser(own);
  noGrad(() => {
    for (const [i, parameter] of denoiser.parameters().entries()) {
      scope(() => parameter.copy_(normals(parameter.shape, 30 + i, "float32").mul(0.2)));
    }
  });
  saveNetwork(at(name), denoiser, own, { images: 1000 });
  denoiser.dispose();
  return at(name);
}

const plain = writeNetwork("plain.safetensors", 0);
const told = writeNetwork("told.safetensors", 2);
const both = at("both.safetensors");
const toldBoth = at("told-both.safetensors");
let handedAt = 0;
beforeAll(async () => {
  const { handOver } = await attachAnalytic({ network: plain, data, dest: both, components: 2, heldOut: others });
  handedAt = handOver.above as number;
  await attachAnalytic({ network: told, data, dest: toldBoth, components: 2 });
});

const small: TrainRequest = {
  ...{ data, outdir: at("runs"), stf: true, rbatch: 8, arch: "mlp", cbase: 8, numBlocks: 1, batch: 8 },
  ...{ seed: 3, tick: 0.016, snap: 1, dump: 1, saveEvery: 0, augment: 0, ema: 1e-5, lrRampup: 0 },
};

describe("a training with an analytic part", () => {
  test("has the weights of one without, and snapshots say where the network is replaced", async () => {
    const { lines, reporter } = listener();
    const [without, withPart] = [
      await train({ ...small, name: "without", analytic: 0, duration: 4.8e-5 }),
      await train({ ...small, name: "with", analytic: 2, duration: 4.8e-5 }, jobContext({ reporter })),
    ];
    expect(
      lines.some((line) => /^analytic {4}a mixture of 2 Gaussians, fitted in .* \d+ other images$/.test(line)),
    ).toBe(true);
    expect(lines.filter((line) => line.startsWith("hand-over   above noise level 0.5")).length).toBe(3);
    const [one, other] = [loadSnapshot(without.snapshot as string), loadSnapshot(withPart.snapshot as string)];
    expect(one.analytic).toBeUndefined();
    // A network that has seen 48 images knows nothing.
    expect(other.analytic?.handOver.above).toBe(0.5);
    const weights = one.denoiser.stateDict();
    for (const [name, value] of other.denoiser.stateDict()) {
      expect(value.toFloat64Array()).toEqual(weights.get(name)?.toFloat64Array());
    }
    one.dispose();
    other.dispose();
  });

  test("ends with the same snapshot after an interruption", async () => {
    const heard = listener();
    const stopped = await train(
      { ...small, name: "stopped", analytic: 2, cond: true, duration: 4.8e-5 },
      jobContext({ ...heard, shouldStop: () => heard.lines.some((line) => line.includes("kimg")) }),
    );
    expect(stopped.reason).toBe("stopped");
    const [resumed, straight] = [
      await train({ resume: stopped.folder }),
      await train({ ...small, name: "straight", analytic: 2, cond: true, duration: 4.8e-5 }),
    ];
    expect(readFileSync(resumed.snapshot as string)).toEqual(readFileSync(straight.snapshot as string));
  });

  test("compares on the images that it holds out", async () => {
    const { lines, reporter } = listener();
    await train({ ...small, name: "held", analytic: 2, heldOut: others, duration: 1.6e-5 }, jobContext({ reporter }));
    expect(lines.join("\n")).toMatch(/analytic .* on 80 other images/);
  });

  test("goes on without one when there are too few images, and says so", async () => {
    const { lines, reporter } = listener();
    const few = writeImages("few", 90, 4);
    const { snapshot } = await train(
      { ...small, data: few, name: "few", analytic: 2, duration: 1.6e-5 },
      jobContext({ reporter }),
    );
    expect(lines.join("\n")).toMatch(
      /note {8}\d\d images of .* are too few for an analytic denoiser: a Gaussian stands for 100/,
    );
    const { analytic, dispose } = loadSnapshot(snapshot as string);
    expect(analytic).toBeUndefined();
    dispose();
  });

  test("goes on without one where there is nothing to replace or to compare, and says so", async () => {
    const cases = [
      [{ sigmaMax: 0.4 }, /^note {8}the network's noise levels end at 0.4, and .* from 0.5 on only$/],
      [{ heldOut: writeImages("single", 1, 9) }, /^note {8}1 held-out image is too few .* it takes 10 at least/],
      [{ data: writeImages("equal", 500, 10, 8, 1) }, /^note {8}of the 500 images of .* too many are equal/],
    ] as const;
    for (const [i, [more, says]] of cases.entries()) {
      const { lines, reporter } = listener();
      const request = { ...small, name: `without-${i}`, analytic: 2, duration: 1.6e-5, ...more };
      const { snapshot } = await train(request, jobContext({ reporter }));
      expect(lines.filter((line) => says.test(line)).length).toBe(1);
      const { analytic, dispose } = loadSnapshot(snapshot as string);
      expect(analytic).toBeUndefined();
      dispose();
    }
  });

  test("goes on at all noise levels where hardly any are below the hand-over", async () => {
    const { lines, reporter } = listener();
    const high: TrainRequest = { ...small, analytic: 2, trainBelow: "auto", pMean: 3, pStd: 0.5, batch: 100, tick: 5 };
    const { reason } = await train({ ...high, name: "high", duration: 0.0042 }, jobContext({ reporter }));
    expect(reason).toBe("finished");
    expect(lines.filter((line) => line.startsWith("noise  "))).toEqual([
      expect.stringMatching(/on all noise levels, hardly any of which are below 0\.\d+$/),
    ]);
  });

  test("may leave the noise levels above to it", async () => {
    const trained = await train({ ...small, name: "below", analytic: 2, trainBelow: 1, duration: 1.6e-5 });
    const usual = await train({ ...small, name: "usual", analytic: 2, duration: 1.6e-5 });
    const [one, other] = [trained, usual].map(({ snapshot }) => readFileSync(snapshot as string)) as [Buffer, Buffer];
    expect(one.equals(other)).toBe(false);
    await expect(train({ ...small, analytic: 0, trainBelow: 1 })).rejects.toThrow(
      /'trainBelow' needs 'analytic' above 0/,
    );
    const limited = (trainBelow: number, more = {}) => train({ ...small, analytic: 2, trainBelow, ...more });
    await expect(limited(0.4)).rejects.toThrow(/'trainBelow' must be at least 0.5.*found 0.4/);
    await expect(limited(2, { sigmaMin: 3 })).rejects.toThrow(
      /must leave one in a hundred of the noise levels.*found 2/,
    );
  });

  test("or leaves those above 1.5 times the hand-over to it, as it finds it on the way, also after an interruption", async () => {
    const request: TrainRequest = {
      ...small,
      analytic: 2,
      trainBelow: "auto",
      batch: 100,
      tick: 0.5,
      duration: 0.0056,
    };
    const limits = (lines: readonly string[]): string[] => lines.filter((line) => line.startsWith("noise  "));
    const [first, second, third] = [listener(), listener(), listener()];
    const straight = await train({ ...request, name: "auto" }, jobContext(first));
    const stopped = await train(
      { ...request, name: "auto-stopped" },
      jobContext({ ...second, shouldStop: () => second.lines.some((line) => line.includes("4.500 kimg")) }),
    );
    const resumed = await train({ resume: stopped.folder }, jobContext(third));
    const [limit = ""] = limits(first.lines);
    expect(limit).toMatch(/^noise {7}after 4000 images the network is trained on noise levels below [\d.]+$/);
    expect([limits(second.lines), limits(third.lines)]).toEqual([[limit], []]);
    const without = await train({ ...request, name: "auto-off", trainBelow: "off" });
    const [one, other, all] = [straight, resumed, without].map(({ snapshot }) => readFileSync(snapshot as string));
    expect(other?.equals(one as Buffer)).toBe(true);
    expect(all?.equals(one as Buffer)).toBe(false);
    const below = Number(limit.split(" ").at(-1));
    const options = JSON.parse(readSafetensorsMetadata(stopped.state as string)["options"] as string);
    expect(options.trainedBelow).toBeCloseTo(below, 1);
  });
});

describe("images are drawn", () => {
  const grid = at("grid.png");
  const request: GenerateRequest = { network: both, seeds: [1, 2, 3], steps: 6, grid };
  const pixels = async (more: GenerateRequest): Promise<Buffer> => {
    await generate({ ...request, ...more });
    return readFileSync(grid);
  };

  test("with the analytic part above the noise level of the hand-over, and the evaluations of both are counted", async () => {
    expect(handedAt).toBeGreaterThanOrEqual(0.5);
    const seen = listener();
    for (const more of [
      {},
      { sampler: "dpm++2m" },
      { sampler: "euler" },
      { sampler: "pc", corrector: "langevin" },
      { sampler: "pc", corrector: "langevin", predictor: "none", correctorSteps: 2 },
      { S_churn: 3, analyticAbove: 8.5 },
    ] as const) {
      const drawn = await generate({ ...request, ...more }, jobContext(seen));
      const estimate = await estimateDrawing({ ...request, ...more });
      expect(drawn.analyticEvaluations).toBeGreaterThan(0);
      expect(drawn.evaluations).toBeGreaterThan(0);
      expect([estimate.evaluations, estimate.analyticEvaluations]).toEqual([
        drawn.evaluations,
        drawn.analyticEvaluations,
      ]);
    }
    expect(seen.lines[0]).toMatch(/, above [\d.]+ with a mixture of 2 Gaussians$/);
    const free = await generate({ network: both, seeds: [1, 2], grid, sampler: "rk45", rtol: 1e-2, atol: 1e-2 });
    expect(free.analyticEvaluations).toBeGreaterThan(0);
  });

  test("as without it, if it is off or never used", async () => {
    const alone = await pixels({ network: plain });
    expect(await pixels({ analyticAbove: "off" })).toEqual(alone);
    expect(await pixels({ analyticAbove: 1000 })).toEqual(alone);
    expect(await pixels({})).not.toEqual(alone);
    expect(await pixels({ analyticAbove: handedAt })).toEqual(await pixels({}));
  });

  test("of a class, with guidance", async () => {
    const drawn = await generate({ ...request, network: toldBoth, class: 1, guidance: 2, analyticAbove: 0.5 });
    expect(drawn.analyticEvaluations! + drawn.evaluations!).toBe(22);
  });

  test("with the exact posterior mean over other images", async () => {
    const { tensors } = memory();
    const heard = listener();
    await generate({ ...request, analyticData: data, analyticAbove: 2 }, jobContext(heard));
    expect(heard.lines[0]).toMatch(/above 2 with the exact posterior mean over 500 images$/);
    expect(memory().tensors).toBe(tensors);
  });

  test("into sets that know what they were drawn with", async () => {
    const protocol = async (more: GenerateRequest) => {
      const outdir = mkdtempSync(at("set-"));
      await generate({ ...request, ...more, grid: null, outdir });
      return JSON.parse(readFileSync(join(outdir, "generate_options.json"), "utf8"));
    };
    const [auto, off, alone] = [
      await protocol({}),
      await protocol({ analyticAbove: "off" }),
      await protocol({ network: plain, analyticAbove: "off" }),
    ];
    expect(methodDifferences(auto, off).map(({ name }) => name)).toEqual(["drawing.analyticAbove"]);
    // A network that has none may be asked for none.
    expect(methodDifferences(auto, alone)).toEqual([]);
    const exact = await protocol({ analyticAbove: 2, analyticData: data });
    expect(exact.method.drawing.analyticData).toMatch(/^[0-9a-f]{64}$/);
  });

  test.each<[GenerateRequest, RegExp]>([
    [
      { network: at("plain.safetensors"), analyticAbove: 3 },
      /needs an analytic denoiser, and .*plain.safetensors has none/,
    ],
    [{ analyticAbove: 0.4 }, /'analyticAbove' must be at least 0.5.*found 0.4/],
    [{ analyticAbove: -1 as number }, /'analyticAbove'.*a number above 0/],
    [{ analyticAbove: "off", analyticData: "x" }, /'analyticData' has no effect with 'analyticAbove=off'/],
    [{ network: at("plain.safetensors"), analyticData: data }, /needs an 'analyticAbove'/],
  ])("a mistake is named, and nothing leaks: %#", async (more, says) => {
    const { tensors } = memory();
    await expect(generate({ ...request, ...more })).rejects.toThrow(UsageError);
    await expect(generate({ ...request, ...more })).rejects.toThrow(says);
    expect(memory().tensors).toBe(tensors);
  });

  test("images that do not fit are refused", async () => {
    const { tensors } = memory();
    const wrong = writeImages("large", 4, 5, 16);
    const asked = generate({ ...request, analyticData: wrong, analyticAbove: 2 });
    await expect(asked).rejects.toThrow(InputError);
    await expect(generate({ ...request, analyticData: wrong, analyticAbove: 2 })).rejects.toThrow(
      /images of 8x8x1.*found 16x16x1/,
    );
    expect(memory().tensors).toBe(tensors);
  });
});

test("an evaluation says what was analytic, and networks that were not given the choice compare with those that were", async () => {
  const asked = { ref: data, num: 8, steps: 4, metrics: ["mean"] } as const;
  const [one, other] = [await evaluate({ ...asked, network: [both] }), await evaluate({ ...asked, network: [plain] })];
  const [found, alone] = [one.evaluations[0], other.evaluations[0]];
  expect(found?.protocol.subject["analyticAbove"]).toBe(handedAt);
  expect(found?.protocol.subject["analyticEvaluations"]).toBeGreaterThan(0);
  expect(alone?.protocol.subject["analyticAbove"]).toBeUndefined();
  expect(methodDifferences(found!.protocol, alone!.protocol)).toEqual([]);
  const exact = await evaluate({ ...asked, network: [both], analyticAbove: 2, analyticData: data });
  const off = await evaluate({ ...asked, network: [both], analyticAbove: "off" });
  const [without] = off.evaluations;
  expect(without?.protocol.subject["analyticAbove"]).toBe("off");
  expect(without?.values).toEqual(alone?.values);
  expect(methodDifferences(found!.protocol, without!.protocol)).toEqual([]);
  const said = [one, exact, off, other].map(({ evaluations: [own] }) => describeEvaluation(own!).at(-1));
  expect(said[0]).toMatch(/4 steps \(\d evaluations\), analytic above [\d.]+ \(\d evaluations\), averaged/);
  expect(said[1]).toMatch(/, analytic above 2 over images [\da-f]{8} \(\d evaluations\), averaged/);
  expect(said[2]).toMatch(/4 steps \(7 evaluations\), network alone, averaged/);
  expect(said[3]).toMatch(/4 steps \(7 evaluations\), averaged/);
});

describe("likelihoods", () => {
  const request = { data: others, num: 2, rtol: 1e-2, atol: 1e-2 };

  test("are those of the flow of both, or of the network alone", async () => {
    const [flow, off, alone] = [
      await likelihood({ ...request, network: both }),
      await likelihood({ ...request, network: both, analyticAbove: "off" }),
      await likelihood({ ...request, network: plain }),
    ];
    expect(off.perImage).toEqual(alone.perImage);
    expect(flow.perImage).not.toEqual(alone.perImage);
    expect(flow.protocol.method["flow"]?.["analyticAbove"]).toBe(handedAt);
    expect(alone.protocol.method["flow"]?.["analyticAbove"]).toBeUndefined();
    expect([off.analyticEvaluations, flow.analyticEvaluations > 0]).toEqual([0, true]);
  });

  test("by class", async () => {
    const { tensors } = memory();
    await expect(likelihood({ ...request, network: toldBoth, analyticAbove: 0.3 })).rejects.toThrow(UsageError);
    await expect(likelihood({ ...request, network: both, data: at("wide-images-idx3-ubyte") })).rejects.toThrow(
      InputError,
    );
    await likelihood({ ...request, network: toldBoth, analyticAbove: 0.5 });
    expect(memory().tensors).toBe(tensors);
  });
});

describe("a network is given an analytic part", () => {
  test("which is the same for the same images, and frees everything", async () => {
    const { tensors } = memory();
    const again = await attachAnalytic({
      network: plain,
      data,
      dest: at("again.safetensors"),
      components: 2,
      heldOut: others,
    });
    expect(readFileSync(again.dest)).toEqual(readFileSync(both));
    expect(memory().tensors).toBe(tensors);
    expect(again.description).toMatch(/^above noise level .* a mixture of 2 Gaussians predicts images better/);
    const { about, dispose } = loadSnapshot(again.dest);
    expect(about).toEqual({ images: 1000 });
    dispose();
  });

  test("unless the images do not fit, are too few, or it is stopped", async () => {
    const { tensors } = memory();
    const dest = at("never.safetensors");
    const { reporter } = listener();
    const update = (line: string): void => expect(line).not.toMatch(/^fitting/);
    const unheard = jobContext({ reporter: { ...reporter, update } });
    const cases = [
      [{ data: writeImages("wide", 120, 6, 16) }, /images of 8x8x1 like the network's, found 16x16x1/],
      [{ data: writeImages("none", 99, 7) }, /\d\d images of .* are too few for an analytic denoiser/],
    ] as const;
    for (const [more, says] of cases) {
      await expect(attachAnalytic({ network: plain, dest, ...more })).rejects.toThrow(InputError);
      await expect(attachAnalytic({ network: plain, dest, ...more })).rejects.toThrow(says);
    }
    await expect(attachAnalytic({ network: plain, data, dest: plain })).rejects.toThrow(/'dest' must differ/);
    await expect(attachAnalytic({ network: plain, data, dest: "x.bin" })).rejects.toThrow(/must name a \*.safetensors/);
    const linked = at("linked.safetensors");
    symlinkSync(plain, linked);
    await expect(attachAnalytic({ network: plain, data, dest: linked })).rejects.toThrow(/'dest' must differ/);
    const nowhere = join(plain, "network.safetensors");
    await expect(attachAnalytic({ network: plain, data, dest: nowhere }, unheard)).rejects.toThrow(/cannot be made/);
    const stopping = jobContext({ shouldStop: () => true });
    await expect(attachAnalytic({ network: plain, data, dest }, stopping)).rejects.toThrow(Stopped);
    let isComparing = false;
    const hear = (line: string): void => {
      isComparing ||= line.startsWith("comparing");
    };
    const comparing = { ...reporter, update: hear };
    const late = jobContext({ reporter: comparing, shouldStop: () => isComparing });
    await expect(attachAnalytic({ network: plain, data, dest }, late)).rejects.toThrow(Stopped);
    expect(existsSync(dest)).toBe(false);
    expect(memory().tensors).toBe(tensors);
  });

  test("beside its place, if that is lost on the way", async () => {
    const dest = at("lost.safetensors");
    const { reporter } = listener();
    const update = (line: string): void => {
      if (line.startsWith("comparing")) mkdirSync(dest, { recursive: true });
    };
    const found = await attachAnalytic(
      { network: plain, data, dest, components: 2, heldOut: others },
      jobContext({ reporter: { ...reporter, update } }),
    );
    expect(found.problem).toMatch(/lost.safetensors could not be written: .*; it is .*lost-2.safetensors instead$/);
    expect(found.dest).toBe(at("lost-2.safetensors"));
    expect(readFileSync(found.dest)).toEqual(readFileSync(both));
  });

  test("and an analysis finds where it is better on unseen images", async () => {
    const { report } = await analyze({
      ...{ data, network: [both], heldOut: others, outdir: at("analysis"), levels: 5, num: 8, networkNum: 16 },
      references: [1],
    });
    const [network] = report.networks;
    expect(network?.handOver?.stored).toBe(handedAt);
    expect(network?.handOver?.found).not.toBeUndefined();
    for (const { unseen } of network?.levels ?? []) {
      expect(Number.isFinite(unseen?.analytic?.loss.value)).toBe(true);
      expect(Number.isFinite(unseen?.analytic?.advantage.value)).toBe(true);
    }
    expect(report.findings.join("\n")).toMatch(/analytic denoiser in its file predicts unseen images better/);
  });
});
