/** Every sampler: one contract, and the declared order on the exact flow, or diffusion, of Gaussian data. */

import { memory, scope, type Tensor, tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { UsageError } from "../src/common/errors.js";
import { type DiscreteProcess, edmProcess, subVpProcess, veProcess, vpProcess } from "../src/processes/process.js";
import { type Scaling, type Schedule, scheduledProcess } from "../src/processes/scheduled.js";
import { dpmSolver, type SdeDpmSolverOptions, sdeDpmSolver } from "../src/sampling/dpm-solver.js";
import { euler } from "../src/sampling/euler.js";
import { type Method, methodOf } from "../src/sampling/generate.js";
import { heun } from "../src/sampling/heun.js";
import { type PredictorCorrectorOptions, predictorCorrector } from "../src/sampling/predictor-corrector.js";
import { rk45 } from "../src/sampling/rk45.js";
import { dormandPrince, IntegrationError, integrate } from "../src/sampling/runge-kutta.js";
import {
  type Denoise,
  factorOf,
  forEachImage,
  type Sampler,
  type StepReport,
  type TimeSteps,
} from "../src/sampling/sampler.js";
import { discretizations, evenSteps, karrasSteps, timeSteps } from "../src/sampling/steps.js";
import { blobs, maxDeviation, normals, sameBits, tensorsLeft } from "./support.js";

/** Data with independent normal values of mean 0 and this variance: everything is linear, and known. */
const VARIANCE = 0.16;
const gaussian: Denoise = (x, sigma) =>
  scope(() => x.mul(factorOf((level) => VARIANCE / (VARIANCE + level ** 2), sigma, x)));

/**
 * The standard deviation of what a sampler makes of the exact law at the first time, and the number of evaluations. The image has
 * a pixel for the start and one for every draw of noise, each of which alone is not 0 there: so the final values are the
 * responses to independent sources, whose squares add up.
 */
function deviationOf(method: Method, draws: number): { deviation: number; evaluations: number } {
  let evaluations = 0;
  let drawn = 0;
  const counted: Denoise = (x, sigma) => {
    evaluations++;
    return gaussian(x, sigma);
  };
  const pixels = (index: number, value: number): Tensor => {
    const values = new Float64Array(draws + 1);
    values[index] = value;
    return tensor(values, { shape: [1, 1, 1, draws + 1] });
  };
  const responses = scope(() =>
    method
      .sample(counted, pixels(0, method.scale * Math.sqrt(VARIANCE + method.sigma ** 2)), {
        noise: () => pixels(++drawn, 1),
      })
      .toFloat64Array(),
  );
  expect(drawn).toBeLessThanOrEqual(draws);
  return { deviation: Math.sqrt(responses.reduce((sum, value) => sum + value ** 2, 0)), evaluations };
}

/** Slope of the least-squares line through the points. */
function slope(xs: readonly number[], ys: readonly number[]): number {
  const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / list.length;
  const [mx, my] = [mean(xs), mean(ys)];
  const products = xs.reduce((sum, x, i) => sum + (x - mx) * (ys[i]! - my), 0);
  return products / xs.reduce((sum, x) => sum + (x - mx) ** 2, 0);
}

const scheduled = (count: number, schedule: Schedule, scaling: Scaling): TimeSteps => {
  const range = { sigmaMin: 1e-4, sigmaMax: 80 };
  return timeSteps(discretizations.edm.levels(count, range, 7), scheduledProcess(schedule, scaling, range));
};
const usual = (count: number): TimeSteps => karrasSteps(count, { sigmaMin: 1e-4 });

/** A sampler in one of its forms. */
interface Form {
  readonly name: string;
  readonly sampler: Sampler<object, never>;
  /** Of so many steps. */
  readonly method: (count: number) => Method;
  readonly counts: readonly number[];
  /** Where the way ends, as a noise level. */
  readonly end?: number;
  readonly noisy?: boolean;
  /** When it is another than the sampler's. */
  readonly order?: number;
}

const few = [32, 64, 128, 256];
const many = [128, 256, 512, 1024];

const chains: [string, DiscreteProcess][] = [
  ["ve", veProcess({ sigmaMin: 0.001, sigmaMax: 10 })],
  ["vp", vpProcess()],
  ["subvp", subVpProcess()],
];
const reversed = (name: string, process: DiscreteProcess, own: PredictorCorrectorOptions): Form => ({
  name: `pc, ${own.predictor}${own.flow ? ", flow" : ""}, ${name}`,
  sampler: predictorCorrector as never,
  method: (count) => methodOf(predictorCorrector, evenSteps(count, process, 1e-5), { corrector: "none", ...own }),
  counts: many,
  noisy: !own.flow,
});

const forms: readonly Form[] = [
  { name: "euler", sampler: euler as never, method: (n) => methodOf(euler, usual(n), {}), counts: many },
  {
    name: "euler, vp schedule",
    sampler: euler as never,
    method: (n) => methodOf(euler, scheduled(n, "vp", "none"), {}),
    counts: many,
  },
  { name: "heun", sampler: heun as never, method: (n) => methodOf(heun, usual(n), {}), counts: few },
  {
    name: "heun, vp schedule and scaling",
    sampler: heun as never,
    method: (n) => methodOf(heun, scheduled(n, "vp", "vp"), {}),
    counts: few,
  },
  {
    name: "heun, ve schedule, vp scaling",
    sampler: heun as never,
    method: (n) => methodOf(heun, scheduled(n, "ve", "vp"), {}),
    counts: few,
  },
  { name: "dpm++2m", sampler: dpmSolver as never, method: (n) => methodOf(dpmSolver, usual(n), {}), counts: few },
  {
    name: "dpm++2m-sde",
    sampler: sdeDpmSolver as never,
    method: (n) => methodOf(sdeDpmSolver, usual(n), {}),
    counts: few,
    noisy: true,
  },
  {
    name: "dpm++2m-sde, half the noise",
    sampler: sdeDpmSolver as never,
    method: (n) => methodOf(sdeDpmSolver, usual(n), { eta: 0.5 }),
    counts: few,
    noisy: true,
  },
  ...[1, 0.5, 0].map(
    (eta): Form => ({
      name: `dpm++2m-sde, heun, eta ${eta}`,
      sampler: sdeDpmSolver as never,
      method: (n) => methodOf(sdeDpmSolver, usual(n), { eta, solverType: "heun" }),
      // With fewer the third order shows.
      counts: [64, 128, 256, 512],
      noisy: eta > 0,
    }),
  ),
  {
    // Steps of one length, which tolerances that are always met leave alone, over a way where the flow bends.
    name: "rk45",
    sampler: rk45 as never,
    method: (n) => methodOf(rk45, { process: edmProcess, times: [1, 0.1] }, { rtol: 1, atol: 1, maxStep: 0.9 / n }),
    counts: [8, 16, 32, 64],
    end: 0.1,
  },
  ...chains.flatMap(([name, process]) => [
    reversed(name, process, { predictor: "reverse-diffusion" }),
    reversed(name, process, { predictor: "reverse-diffusion", flow: true }),
    reversed(name, process, { predictor: "euler-maruyama" }),
    reversed(name, process, { predictor: "euler-maruyama", flow: true }),
    ...(name === "subvp" ? [] : [reversed(name, process, { predictor: "ancestral" })]),
  ]),
];

describe.each(forms)("$name", ({ sampler, method, counts, end = 0, noisy = false, order = sampler.order }) => {
  test("converges with its declared order", () => {
    const wanted = Math.sqrt(VARIANCE + end ** 2);
    const runs = counts.map((count) => deviationOf(method(count), noisy ? count : 0));
    const errors = runs.map(({ deviation }) => Math.abs(deviation - wanted));
    const found = -slope(
      runs.map(({ evaluations }) => Math.log(evaluations)),
      errors.map(Math.log),
    );
    expect(Math.abs(found - order), `slope ${found}, errors ${errors}`).toBeLessThan(0.2);
    expect(errors.at(-1)).toBeLessThan(0.05);
  });

  test("leaves its input as it was, reports its steps, and leaves no tensors behind", () => {
    const start = normals([3, 1, 2, 2], 1).mul_(80);
    const before = start.toFloat64Array();
    const reports: Omit<StepReport, "x">[] = [];
    let last: Float64Array | undefined;
    const held = new Set<number>();
    const left = tensorsLeft(() => {
      const outside = memory().tensors;
      const result = method(24).sample(gaussian, start, {
        noise: (like) => normals(like.shape, 7),
        onStep: ({ x, ...report }) => {
          reports.push(report);
          last = x.toFloat64Array();
          held.add(memory().tensors - outside);
        },
      });
      expect(result.shape).toEqual(start.shape);
      expect(result.dtype).toBe("float64");
      expect(last).toEqual(result.toFloat64Array());
    });
    expect(left).toBe(0);
    expect(start.isDisposed).toBe(false);
    expect(start.toFloat64Array()).toEqual(before);
    start.dispose();
    expect(reports.map(({ step }) => step)).toEqual(reports.map((_, i) => i));
    reports.slice(1).forEach(({ progress, time }, i) => {
      expect(progress).toBeGreaterThan(reports[i]!.progress);
      expect(time).toBeLessThanOrEqual(reports[i]!.time);
    });
    expect(reports.at(-1)!.progress).toBe(1);
    // However many steps: what is kept from one to the next does not grow.
    expect(Math.max(...held)).toBeLessThanOrEqual(12);
    expect(held.size).toBeLessThanOrEqual(4);
  });
});

describe("other second slopes than Heun's", () => {
  // At the midpoint the errors of second order happen to cancel for such data: it must not be worse.
  test.each([0.5, 2 / 3])("alpha %s", (alpha) => {
    const errors = few.map((count) =>
      Math.abs(deviationOf(methodOf(heun, usual(count), { alpha }), 0).deviation - Math.sqrt(VARIANCE)),
    );
    expect(errors[2]! / errors[3]!).toBeGreaterThan(3.5);
    expect(errors[3]).toBeLessThan(1.2e-4);
  });
});

test("the ablation sampler with EDM's choices is EDM's sampler", () => {
  scope(() => {
    const start = normals([2, 1, 2, 2], 3).mul(80);
    const plain = heun.sample(gaussian, start, karrasSteps(9));
    const levels = discretizations.edm.levels(9, discretizations.edm.range, 7);
    const process = scheduledProcess("linear", "none", discretizations.edm.range);
    expect(sameBits(heun.sample(gaussian, start, timeSteps(levels, process)), plain)).toBe(true);
  });
});

test("dpm++2m-sde that replaces no noise is dpm++2m", () => {
  scope(() => {
    const start = normals([2, 1, 2, 2], 3).mul(80);
    const [one, other] = [
      sdeDpmSolver.sample(gaussian, start, karrasSteps(9), { eta: 0, noise: () => expect.fail("noise was drawn") }),
      dpmSolver.sample(gaussian, start, karrasSteps(9)),
    ];
    expect(sameBits(one, other)).toBe(true);
  });
});

describe("the solver types of dpm++2m-sde", () => {
  type Denoised = (x: number, sigma: number) => number;
  const draws = [0.3, -1.2, 0.8, 2.1, -0.4, 0.1];
  /** Draws one pixel. */
  const found = (denoised: Denoised, start: number, times: number[], options: SdeDpmSolverOptions): number =>
    scope(() => {
      let drawn = 0;
      const pixel = (value: number): Tensor => tensor([value], { shape: [1, 1, 1, 1], dtype: "float64" });
      const denoise: Denoise = (x, sigma) => pixel(denoised(x.item(), sigma as number));
      const noise = (): Tensor => pixel(draws[drawn++]!);
      return sdeDpmSolver.sample(denoise, pixel(start), { process: edmProcess, times }, { noise, ...options }).item();
    });
  const types = ["midpoint", "heun"] as const;

  test.each(types.flatMap((type) => [0, 0.5, 1, 1.7].map((eta) => [type, eta] as const)))(
    "%s with eta %s is its formula",
    (solverType, eta) => {
      // One level comes twice, as rounding to the levels of a network may have it.
      const levels = [20, 9, 5, 3, 3, 1.2, 0.05];
      const denoised: Denoised = (x, sigma) => Math.tanh(x / (1 + sigma)) + 0.1 * Math.log(1 + sigma);
      let x = 17;
      let before: { value: number; lambda: number } | undefined;
      levels.forEach((sigma, i) => {
        const lambda = -Math.log(sigma);
        const value = denoised(x, sigma);
        const next = levels[i + 1] ?? 0;
        const h = -Math.log(next) - lambda;
        const decay = Math.exp(-(1 + eta) * h);
        let change = 0;
        if (before && lambda > before.lambda && h > 0 && next > 0) {
          const slope = (value - before.value) / (lambda - before.lambda);
          // The integral of k e^(-k (h - u)) u over the step, k = 1 + eta: exact, or with u at the middle.
          change = slope * (solverType === "heun" ? h - (1 - decay) / (1 + eta) : ((1 - decay) * h) / 2);
        }
        x = next === 0 ? value : decay * x + (1 - decay) * value + change;
        if (eta > 0 && next > 0) x += next * Math.sqrt(1 - Math.exp(-2 * eta * h)) * draws[i]!;
        before = { value, lambda };
      });
      expect(found(denoised, 17, [...levels, 0], { eta, solverType })).toBeCloseTo(x, 12);
    },
  );

  test.each([0, 1])("heun is exact for images that lie on a line in ln sigma, after its first step (eta %s)", (eta) => {
    const k = 1 + eta;
    const levels = [20, 12, 2, 0.5];
    const lengths = levels.slice(1).map((level) => Math.log(levels[0]! / level));
    const denoised: Denoised = (_, sigma) => 0.3 + 0.7 * Math.log(20 / sigma);
    /** The integral of k e^(-k (length - u)) (0.3 + 0.7 u). */
    const integral = (length: number): number =>
      0.3 * (1 - Math.exp(-k * length)) + 0.7 * (length - (1 - Math.exp(-k * length)) / k);
    const [first, , last] = lengths as [number, number, number];
    const constantFirst = 0.3 * (1 - Math.exp(-k * first)) - integral(first);
    const exact = 5 * Math.exp(-k * last) + integral(last) + constantFirst * Math.exp(-k * (last - first));
    const noise = (like: Tensor): Tensor => like.mul(0);
    const [midpoint, heunType] = types.map((solverType) => found(denoised, 5, levels, { eta, solverType, noise }));
    expect(heunType).toBeCloseTo(exact, 12);
    expect(Math.abs(midpoint! - exact)).toBeGreaterThan(0.05);
  });
});

test("solvers do not depend on the signal scale where their method says so", () => {
  scope(() => {
    const start = normals([2, 1, 2, 2], 3);
    const range = { sigmaMin: 0.002, sigmaMax: 80 };
    const found = (["none", "vp"] as const).map((scaling) => {
      const steps = timeSteps(discretizations.edm.levels(9, range, 7), scheduledProcess("linear", scaling, range));
      const method = methodOf(dpmSolver, steps, {});
      return method.sample(gaussian, start.mul(method.sigma * method.scale), {});
    });
    expect(maxDeviation(found[0]!, found[1]!)).toBeLessThan(1e-12);
  });
});

describe("the pair of Dormand and Prince", () => {
  test("its coefficients agree with each other", () => {
    const { c, a, error } = dormandPrince;
    const sum = (list: readonly number[]): number => list.reduce((total, value) => total + value, 0);
    a.forEach((row, i) => void expect(sum(row)).toBeCloseTo(c[i]!, 13));
    expect(sum(error)).toBeCloseTo(0, 13);
    // Conditions of order 1 to 4 for quadrature: sum of b c^k is 1 / (k + 1), for the result and the embedded one.
    const b = [...a.at(-1)!, 0];
    const embedded = b.map((weight, i) => weight - error[i]!);
    for (const k of [1, 2, 3, 4]) {
      expect(sum(b.map((weight, i) => weight * c[i]! ** k))).toBeCloseTo(1 / (k + 1), 13);
      if (k < 4) expect(sum(embedded.map((weight, i) => weight * c[i]! ** k))).toBeCloseTo(1 / (k + 1), 13);
    }
  });

  test.each([
    [0, 2],
    [2, 0],
  ])("solves y' = 2 t y from %s to %s within its tolerance", (from, to) => {
    scope(() => {
      const start = tensor([1, -3], { shape: [2, 1], dtype: "float64" });
      const f = (times: Float64Array, y: Tensor): Tensor => y.mul(tensor(times.map((t) => 2 * t)).view([2, 1]));
      const factor = Math.exp(to ** 2 - from ** 2);
      for (const tolerance of [1e-4, 1e-7, 1e-10]) {
        const { y, evaluations } = integrate(f, start, from, to, { rtol: tolerance, atol: tolerance });
        expect(maxDeviation(y.div(factor), [1, -3]) / 3).toBeLessThan(30 * tolerance * (1 + 1 / factor));
        expect((evaluations - 2) % 6).toBe(0);
      }
    });
  });

  test("a row does not depend on the others, unless they share their steps", () => {
    scope(() => {
      const start = tensor([1, 100, -0.01], { shape: [3, 1], dtype: "float64" });
      const f = (_: Float64Array, y: Tensor): Tensor => y.square().mul(-1);
      const solve = (rows: Tensor, control: "row" | "batch"): Tensor =>
        integrate(f, rows, 0, 1, { control, rtol: 1e-4 }).y;
      const together = solve(start, "row");
      for (let row = 0; row < 3; row++) {
        const alone = solve(start.narrow(0, row, 1).contiguous(), "row");
        expect(sameBits(alone, together.narrow(0, row, 1).contiguous())).toBe(true);
      }
      const shared = solve(start, "batch");
      expect(sameBits(shared.narrow(0, 2, 1).contiguous(), together.narrow(0, 2, 1).contiguous())).toBe(false);
      const exact = [1 / 2, 100 / 101, -0.01 / 0.99];
      for (const found of [together, shared]) expect(maxDeviation(found, exact)).toBeLessThan(1e-3);
    });
  });

  test("gives up where the slope is no number", () => {
    scope(() => {
      const start = tensor([1], { shape: [1, 1], dtype: "float64" });
      const f = (times: Float64Array, y: Tensor): Tensor => y.mul(times[0]! > 0.5 ? Number.NaN : 1);
      expect(() => integrate(f, start, 0, 1)).toThrow(IntegrationError);
      expect(() => integrate(f, start, 0, 1)).toThrow(/beyond time 0\.[45]\d*.*tolerances/);
    });
  });
});

describe("correctors", () => {
  const process = veProcess({ sigmaMin: 0.01, sigmaMax: 10 });
  const draw = (start: Tensor, own: PredictorCorrectorOptions): Tensor => {
    let draws = 0;
    // Row r of draw d is the same in every batch.
    const noise = (like: Tensor): Tensor => {
      const all = normals([5, ...like.shape.slice(1)], 1000 + draws++);
      return all.narrow(0, 0, like.size(0)).contiguous();
    };
    return predictorCorrector.sample(gaussian, start, evenSteps(20, process, 1e-5), { noise, ...own });
  };

  test.each([true, false])("an image depends on its batch: not if its steps are its own (%s)", (perImage) => {
    scope(() => {
      const start = normals([5, 1, 2, 2], 5).mul(10);
      const [all, some] = [start, start.narrow(0, 0, 2).contiguous()].map((x) => draw(x, { perImage }));
      expect(sameBits(all!.narrow(0, 0, 2).contiguous(), some!)).toBe(perImage);
    });
  });

  test("annealed Langevin dynamics brings images near the law of their time", () => {
    const steps = evenSteps(30, process, 1e-5);
    const own = { predictor: "none", corrector: "ald", correctorSteps: 40, snr: 0.16 } as const;
    const { deviation } = deviationOf(methodOf(predictorCorrector, steps, own), 30 * 40);
    // x + epsilon score + sqrt(2 epsilon) z, by hand.
    let variance = VARIANCE + process.sigma(1) ** 2;
    for (const t of steps.times) {
      const level = process.sigma(t) ** 2;
      const epsilon = 2 * 0.16 ** 2 * level;
      for (let i = 0; i < 40; i++) variance = (1 - epsilon / (VARIANCE + level)) ** 2 * variance + 2 * epsilon;
    }
    expect(deviation ** 2 / variance).toBeCloseTo(1, 10);
    expect(Math.abs(variance / VARIANCE - 1)).toBeLessThan(0.2);
  });

  test("times that end at 0 are refused: the last step leads there by itself", () => {
    scope(() => {
      const steps = evenSteps(5, veProcess({ sigmaMin: 0.1, sigmaMax: 2 }), 1e-5);
      const start = normals([1, 1, 2, 2], 1);
      for (const times of [[...steps.times, 0], []]) {
        const draw = (): unknown => predictorCorrector.sample(gaussian, start, { ...steps, times }, {});
        expect(draw).toThrow(UsageError);
        expect(draw).toThrow(/must end above 0.*found (0|none)/);
      }
    });
  });

  test("ancestral sampling is refused where no posterior is known", () => {
    scope(() => {
      const steps = evenSteps(30, subVpProcess(), 1e-3);
      const options = { predictor: "ancestral", corrector: "none", noise: (like: Tensor) => like } as const;
      expect(() => predictorCorrector.sample(gaussian, normals([1, 1, 2, 2], 1), steps, options)).toThrow(UsageError);
    });
  });
});

describe("solvers of one flow draw one picture", () => {
  const bank = blobs(40, 8);
  afterAll(() => bank.dispose());
  /** The exact denoiser of a set of images: the posterior mean over all of them. */
  const denoise: Denoise = (x, sigma) =>
    scope(() => {
      const levels = forEachImage(sigma, x.size(0));
      const rows = x.flatten(1);
      const values = bank.toValues(bank.rows).double();
      const squares = rows
        .square()
        .sum([1], true)
        .sub(rows.mm(values.t()).mul(2))
        .add(values.square().sum([1]));
      const column = tensor(levels.map((level) => -0.5 / level ** 2)).view([levels.length, 1]);
      return squares.mul(column).softmax(1).mm(values).view(x.shape);
    });
  const range = { sigmaMin: 0.002, sigmaMax: 80 };
  const levels = (count: number): number[] => discretizations.edm.levels(count, range, 7);
  const seeds = 24;

  const draw = (method: Method): Tensor => {
    const latents = normals([seeds, 1, 8, 8], 9);
    return scope(() => method.sample(denoise, latents.mul(method.sigma * method.scale), {}));
  };

  test.each([
    ["heun, 40 steps", methodOf(heun, timeSteps(levels(40)), {}), 0.02],
    ["dpm++2m, 40 steps", methodOf(dpmSolver, timeSteps(levels(40)), {}), 0.03],
    ["euler, 300 steps", methodOf(euler, timeSteps(levels(300)), {}), 0.03],
    [
      "heun, vp schedule and scaling, 60 steps",
      methodOf(heun, timeSteps(levels(60), scheduledProcess("vp", "vp", range)), {}),
      0.03,
    ],
  ] as const)("%s, against rk45", (_, method, share) => {
    scope(() => {
      const exact = draw(methodOf(rk45, timeSteps(levels(2)), { rtol: 1e-7, atol: 1e-7 }));
      const found = draw(method);
      // Distance of each pair, relative to that of different seeds.
      const distances = found.sub(exact).square().mean([1, 2, 3]).sqrt();
      const apart = exact
        .sub(exact.roll([1], [0]))
        .square()
        .mean([1, 2, 3])
        .sqrt()
        .mean()
        .item();
      const relative = distances.div(apart).toFloat64Array().sort();
      expect(relative[Math.floor(seeds / 2)]).toBeLessThan(share);
      // Where two images are equally near, the smallest error decides.
      expect(relative.filter((value) => value > 0.2).length).toBeLessThanOrEqual(2);
    });
  });
});
