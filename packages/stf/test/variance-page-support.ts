/** Reports of analyses from formulas, with everything that a page can show. */

import { encodeStoredPng } from "../src/codecs/stored-png.js";
import type { Measured } from "../src/run/evaluation.js";
import type {
  BiasReport,
  LevelReport,
  NetworkReport,
  PosteriorExample,
  PosteriorPicture,
  ReferenceCount,
  VariancePage,
  VarianceReport,
} from "../src/run/variance-report.js";

/** Variance of the data per value. */
const VARIANCE = 0.09;
const COUNT = 50_000;

const measured = (value: number, relative = 0.03): Measured => ({ value, error: Math.abs(value) * relative });

/** So many levels between 0.002 and 80, evenly in the logarithm. */
export function levelsBetween(count: number, [low, high] = [0.002, 80]): number[] {
  return Array.from({ length: count }, (_, k) => low * (high / low) ** (count === 1 ? 0.5 : k / (count - 1)));
}

/** A level of a made-up data set: Gaussian at large noise, single images below a noise level of about 0.3. */
function levelOf(sigma: number, references: readonly ReferenceCount[]): LevelReport {
  const gaussian = (VARIANCE * sigma ** 2) / (VARIANCE + sigma ** 2);
  const floor = gaussian * Math.exp(-((0.4 / sigma) ** 2));
  const spread = sigma ** 4 / (sigma ** 4 + 20);
  const stable = references.map((n): Measured => {
    if (n === "all") return { value: 0 };
    return n === 1 ? measured(floor) : measured(floor / (1 + (n - 1) * spread * 0.02), 0.05);
  });
  const ratio = stable.map(({ value }, k): Measured => ({ value: value / floor || 0, error: k === 0 ? 0 : 0.02 }));
  const divergence = 0.5 * (COUNT * Math.exp(-sigma) + (1 / sigma) ** 2);
  const effective = 1 + (COUNT - 1) * spread * Math.exp(-12 / sigma);
  return {
    sigma,
    time: sigma ** 2,
    scale: 1,
    factors: { score: sigma ** -4, loss: (sigma ** 2 + 0.25) / (0.25 * sigma ** 2) },
    floor: measured(floor),
    stable,
    ratio,
    bound: references.map((n) => (n === 1 ? null : (3 * divergence * VARIANCE) / ((n === "all" ? COUNT : n) - 1))),
    divergence: measured(divergence),
    explainable: measured(VARIANCE - floor, 0.01),
    posterior: {
      effective: measured(effective),
      entropy: measured(Math.log(effective), 0.02),
      source: measured((1 / effective) ** 0.7, 0.02),
    },
  };
}

/** A network that has learnt all but a part of what can be explained, and memorised a part of what can be. */
function networkOf(
  levels: readonly LevelReport[],
  file: string,
  [unlearnt, memorised]: readonly [number, number],
): NetworkReport {
  return {
    file,
    images: 1_281_167,
    levels: levels.map(({ sigma, floor, explainable }) => {
      const part = unlearnt * (0.3 + Math.exp(-(Math.log(sigma / 0.2) ** 2) / 4));
      const excess = explainable.value * part;
      const exact = floor.value + 0.06 * Math.exp(-((sigma / 6) ** 2));
      const gap = memorised * (exact - floor.value) * Math.exp(-((Math.log(sigma / 1.5) / 1.2) ** 2));
      const seen = floor.value + excess;
      return {
        seen: {
          loss: measured(seen, 0.02),
          excess: measured(excess, 0.02),
          explained: { value: 1 - part, error: 0.01 },
        },
        unseen: { loss: measured(seen + gap, 0.02), exact: measured(exact, 0.02), gap: { value: gap, error: 0.0004 } },
      };
    }),
  };
}

/** The squared bias at a level, with the variance of a target that might go with it. */
function biasAt(sigma: number, value: number): BiasReport["levels"][number] {
  const explainable = { value: VARIANCE ** 2 / (VARIANCE + sigma ** 2), error: 1e-4 };
  return {
    sigma,
    squaredBias: { value, error: 6e-5 },
    squaredError: { value: value + 0.01, error: 3e-4 },
    explainable,
  };
}

/** A report with all parts. */
export function plausibleReport(
  sigmas: readonly number[] = levelsBetween(40),
  references: readonly ReferenceCount[] = [1, 16, 128, 1024, "all"],
): VarianceReport {
  const levels = sigmas.map((sigma) => levelOf(sigma, references));
  return {
    protocol: {
      subject: { data: "cifar10.zip", sha256: "4f".repeat(32) },
      method: {
        levels: { count: sigmas.length, from: sigmas[0] as number, to: sigmas.at(-1) as number },
        queries: { perLevel: 256, seed: 0, flips: false, classes: null },
      },
    },
    data: { name: "CIFAR-10", count: COUNT, dimension: 3072, variance: VARIANCE },
    precond: "ve",
    references,
    levels,
    phases: { sourceUpTo: 0.21, priorFrom: 31, scorePeak: 0.42, lossPeak: 0.6, probabilities: [0.31, 0.645, 0.045] },
    suggested: {
      sigmaData: 0.4943,
      sigmaMin: 0.0031,
      sigmaMax: 76.2,
      pMean: -0.74,
      pStd: 1.31,
      fraction: 0.1,
      references: 1024,
      options: ["--precond=ve", "--stf=1", "--rbatch=1024"],
    },
    costs: references.map((n) => ({ references: n, milliseconds: 0.02 + (n === "all" ? COUNT : n) * 1.6e-4 })),
    networks: [
      networkOf(levels, "runs/00001/network-020000.safetensors", [0.2, 0.05]),
      networkOf(levels, "runs/00001/network-100000.safetensors", [0.08, 0.2]),
      networkOf(levels, "runs/00001/network-400000.safetensors", [0.02, 0.7]),
    ],
    bias: [
      {
        name: "stable target",
        about: "The source is one of the references, and gets their weights like them.",
        references: 16,
        levels: [0.5, 1, 2, 5].map((sigma, k) => biasAt(sigma, ([2, -3, 1, -1][k] as number) * 1e-5)),
      },
      {
        name: "source excluded",
        about: "The references are drawn without the image that the noisy one was made from.",
        references: 16,
        levels: [0.5, 1, 2, 5].map((sigma) => biasAt(sigma, 0.004 / sigma)),
      },
      {
        name: "mixed classes",
        about: "References of all classes, for a network that knows the class.",
        references: "all",
        levels: [0.5, 1, 2, 5].map((sigma) => biasAt(sigma, 0.001 * sigma)),
      },
    ],
    findings: [
      "Up to σ = 0.21 only one image could have produced a noisy one: targets have no noise there.",
      "In units of the score the variance is largest at σ = 0.42, and 1,024 references leave 9.2 % of it.",
      "network-400000.safetensors memorises between σ = 0.5 and 4: its loss on unseen images is above that on training images by up to 0.03.",
    ],
    seconds: 231,
  };
}

/** A random-looking but repeatable number between 0 and 1. */
const scatter = (k: number): number => Math.abs(Math.sin(k * 12.9898) * 43_758.5453) % 1;

/** A picture of so many pixels in both directions, as a data URL. */
function picture(size: number, brightness: (row: number, column: number) => number): string {
  const pixels = new Uint8Array(size * size * 3);
  for (let k = 0; k < size * size; k += 1) {
    const value = brightness(Math.floor(k / size), k % size);
    for (let channel = 0; channel < 3; channel += 1) {
      pixels[3 * k + channel] = Math.max(0, Math.min(255, Math.round(value * (0.7 + 0.15 * channel))));
    }
  }
  return `data:image/png;base64,${encodeStoredPng({ pixels, width: size, height: size, channels: 3 }).toString("base64")}`;
}

const shape =
  (kind: number) =>
  (row: number, column: number): number =>
    120 + 100 * Math.sin((row * (1 + (kind % 4))) / 5 + kind) * Math.cos((column * (1 + (kind % 3))) / 6 + kind);

function exampleOf(kind: number, report: VarianceReport, size = 16): PosteriorExample {
  const source = shape(kind);
  const mean = (row: number, column: number): number =>
    0.5 * (shape(kind + 1)(row, column) + shape(kind + 2)(row, column));
  const blend = (part: number) =>
    picture(size, (row, column) => (1 - part) * source(row, column) + part * mean(row, column));
  return {
    source: picture(size, source),
    levels: report.levels.map(({ sigma }, level): PosteriorPicture => {
      const part = sigma / (sigma + 2);
      const noise = (row: number, column: number): number =>
        128 * sigma * (scatter(level + row * 31 + column * 7) - 0.5) * 3;
      const weights = Array.from({ length: 6 }, (_, k) => (k === 0 ? 1 - 0.8 * part : (0.8 * part) / (4 + k)));
      return {
        sigma,
        noisy: picture(size, (row, column) => (source(row, column) + noise(row, column)) / (1 + sigma)),
        targets: report.references.map((n) => blend(n === 1 ? 0 : n === "all" ? part : part * (1 - 1 / Math.sqrt(n)))),
        nearest: weights.map((weight, k) => ({ image: picture(size, shape(kind + k)), weight, isSource: k === 0 })),
        networks: report.networks.map((_, k) => blend(part * (1 - 0.1 * k))),
      };
    }),
  };
}

/** A page with all parts. */
export function plausiblePage(report: VarianceReport = plausibleReport()): VariancePage {
  return { report, examples: [1, 5, 9].map((kind) => exampleOf(kind, report)) };
}
