/** Six training steps on stable targets against the published implementation: losses, gradients, weights, averages. */

import { Adam, ExponentialMovingAverage, FlatParameters, scope, type Tensor } from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Denoiser } from "../src/networks/denoiser.js";
import { SongUNet } from "../src/networks/song-unet.js";
import { edmPreconditioning } from "../src/preconditioning/edm.js";
import { emaDecay, learningRate } from "../src/training/clock.js";
import { addGradients, weightedError } from "../src/training/loss.js";
import { initialStability } from "../src/training/stability.js";
import { disposeState, type TrainingState } from "../src/training/state.js";
import { applyGradients } from "../src/training/step.js";
import { golden, goldenNumbers, maxDeviation, posteriorMean, relativeDeviation, sameBits } from "./support.js";

describe("six steps on stable targets give the published trajectory", () => {
  const file = golden("trajectory-stf");
  const constants = JSON.parse(file.metadata["constants"]!) as Record<string, number>;
  const STEPS = 6;
  const B = 4;
  const step = (name: string, i: number): Tensor => file.tensors.get(name)!.select(0, i);
  const levels = (i: number): Float64Array =>
    step("rnd_normal", i)
      .toFloat64Array()
      .map((z) => Math.exp(-1.2 + 1.2 * z));

  function published(): TrainingState {
    const build = (): Denoiser =>
      new Denoiser(
        new SongUNet({
          resolution: 8,
          inChannels: 3,
          outChannels: 3,
          augmentDim: 9,
          modelChannels: 16,
          channelMult: [1, 1],
          numBlocks: 1,
          attnResolutions: [4],
          dropout: 0,
        }),
        edmPreconditioning(),
      );
    const network = build();
    network.loadStateDict(new Map([...file.tensors].filter(([name]) => name.startsWith("model."))));
    const averaged = build();
    averaged.loadStateDict(network.stateDict());
    const parameters = new FlatParameters(network);
    const average = new FlatParameters(averaged, { trainable: false });
    const ema = new ExponentialMovingAverage(parameters, average);
    return {
      network,
      averaged,
      parameters,
      ema,
      optimizer: new Adam(parameters),
      stability: initialStability("fp32"),
      images: 0,
    };
  }

  /** Sum and sum of magnitudes of every parameter; of attention biases without the keys, entries 1, 4, 7, ... */
  function checksums(named: ReadonlyMap<string, Tensor>): Map<string, [sum: number, magnitudes: number]> {
    return new Map(
      Array.from(named, ([name, value]) => {
        const all = value.toFloat64Array();
        const numbers = name.endsWith("qkv.bias") ? all.filter((_, i) => i % 3 !== 1) : all;
        return [name, [numbers.reduce((a, b) => a + b, 0), numbers.reduce((a, b) => a + Math.abs(b), 0)]];
      }),
    );
  }

  interface Recorded {
    lossSum: number;
    gradients: Map<string, [number, number]>;
    values: Map<string, [number, number]>;
    averages: Map<string, [number, number]>;
  }
  const recorded: Recorded[] = [];
  const state = published();
  const names = Array.from(state.network.namedParameters(), ([name]) => name);

  beforeAll(() => {
    for (let i = 0; i < STEPS; i++) {
      scope(() => {
        const sigma = levels(i);
        const source = step("images", i).narrow(0, 0, B);
        const noise = step("noise", i);
        const batch = { indices: Int32Array.of(0, 1, 2, 3), source, noise, sigma };
        state.parameters.zeroGrad();
        const error = weightedError(state.network, batch, step("stable_target", i));
        const sums = addGradients(error, constants["loss_scaling"]! / B);
        applyGradients(
          state,
          { sums, count: error.numel },
          { batch: B, learningRate: { peak: 1e-3, rampup: 12 }, ema: { halflife: 10, rampupRatio: 0.5 } },
        );
        recorded.push({
          lossSum: error.double().sum().item(),
          gradients: checksums(state.parameters.viewsOf(state.parameters.gradients)),
          values: checksums(state.parameters.viewsOf(state.parameters.values)),
          averages: checksums(state.parameters.viewsOf(state.ema.average.values)),
        });
      });
    }
  });
  afterAll(() => disposeState(state));

  test("starting from the published file", () => {
    expect(names).toEqual(JSON.parse(file.metadata["parameter_order"]!));
    expect(names).toHaveLength(141);
  });

  test("the stable targets are those of the formula", () => {
    for (let i = 0; i < STEPS; i++) {
      const size = 3 * 8 * 8;
      const images = step("images", i).toFloat64Array();
      const references = Array.from({ length: 16 }, (_, k) => images.subarray(k * size, (k + 1) * size));
      const noise = step("noise", i).toFloat64Array();
      const target = step("stable_target", i).toFloat64Array();
      levels(i).forEach((sigma, row) => {
        const x = references[row]!.map((y, p) => y + sigma * noise[row * size + p]!);
        const { mean } = posteriorMean(x, references, sigma);
        expect(maxDeviation(target.subarray(row * size, (row + 1) * size), mean)).toBeLessThan(2e-6);
      });
    }
  });

  test("learning rate and decay", () => {
    const seen = goldenNumbers(file, "images_seen_before_step");
    const rates = Array.from(seen, (images) => learningRate(images, { peak: 1e-3, rampup: 12 }));
    const decays = Array.from(seen, (images) => emaDecay(images, { batch: B, halflife: 10, rampupRatio: 0.5 }));
    expect(maxDeviation(rates, goldenNumbers(file, "lr"))).toBeLessThan(1e-15);
    expect(maxDeviation(decays, goldenNumbers(file, "ema_beta"))).toBeLessThan(1e-15);
  });

  test("losses", () => {
    const sums = recorded.map(({ lossSum }) => lossSum);
    const exact = goldenNumbers(file, "loss_sum_float64");
    sums.forEach((sum, i) => void expect(Math.abs(sum / exact[i]! - 1), `step ${i}`).toBeLessThan(2e-6));
    expect(relativeDeviation(sums, goldenNumbers(file, "loss_sum"))).toBeLessThan(2e-6);
  });

  test("gradients", () => {
    const expected = goldenNumbers(file, "chk_grad_abs");
    for (let i = 0; i < STEPS; i++) {
      names.forEach((name, column) => {
        // The gradient of the keys' bias is rounding noise on both sides.
        const tolerance = name.endsWith("qkv.bias") ? 1e-4 : 1e-5;
        const wanted = expected[i * names.length + column]!;
        const found = recorded[i]!.gradients.get(name)![1];
        expect(Math.abs(found - wanted), `${name}, step ${i}`).toBeLessThanOrEqual(tolerance * wanted);
      });
    }
  });

  test.each([
    { what: "weights", part: "values", prefix: "chk" },
    { what: "weights of the float64 run", part: "values", prefix: "chk_float64" },
    { what: "averages", part: "averages", prefix: "chk_ema" },
  ] as const)("$what", ({ part, prefix }) => {
    for (const name of names) {
      const isBias = name.endsWith("qkv.bias");
      if (isBias && part === "averages") continue;
      const expected = goldenNumbers(file, `${isBias ? "chk_without_keys" : prefix}.${name}`);
      for (let i = 0; i < STEPS; i++) {
        const found = recorded[i]![part].get(name)!;
        // 1e-6 of the size of the parameter; a step of Adam moves each element by up to 1e-3.
        const tolerance = 1e-6 * Math.max(expected[2 * i + 1]!, 1);
        for (const column of [0, 1]) {
          const difference = Math.abs(found[column]! - expected[2 * i + column]!);
          expect(difference, `${name}, step ${i}`).toBeLessThan(tolerance);
        }
      }
    }
  });

  test("final values", () => {
    scope(() => {
      const values = state.parameters.viewsOf(state.parameters.values);
      const averages = state.parameters.viewsOf(state.ema.average.values);
      const finals = [...file.tensors.keys()].filter((key) => /^final(_ema)?\./.test(key));
      expect(finals).toHaveLength(8);
      for (const key of finals) {
        const [kind, ...rest] = key.split(".");
        const found = (kind === "final" ? values : averages).get(rest.join("."))!;
        expect(maxDeviation(found, goldenNumbers(file, key)), key).toBeLessThan(5e-6);
      }
      // The network that is trained and the averaged one see the same storage.
      const aux = "model.dec.8x8_aux_conv.weight";
      expect(sameBits(state.network.stateDict().get(aux)!.detach().contiguous(), values.get(aux)!.contiguous())).toBe(
        true,
      );
      expect(
        sameBits(state.averaged.stateDict().get(aux)!.detach().contiguous(), averages.get(aux)!.contiguous()),
      ).toBe(true);
    });
  });
});
