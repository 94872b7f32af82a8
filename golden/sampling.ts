/** Samplers: EDM's and the generalised one, random numbers, reverse diffusion, the probability flow, and likelihoods. */

import { join } from "node:path";
import { Generator, noGrad, rand, randint, randn, randperm, scope, type Tensor } from "@stf/torch";
import {
  affineForm,
  bitsPerDimension,
  type ChurnOptions,
  type CorrectorName,
  type Denoise,
  type Denoiser,
  type DiscreteProcess,
  type DiscretizationName,
  denoiseWith,
  discretizations,
  estimateAt,
  forEachImage,
  euler,
  evenSteps,
  gaussianMixture,
  heun,
  logDensity,
  nearestLevel,
  type Predictor,
  type PredictorName,
  predictorCorrector,
  predictors,
  rk45,
  type Sampler,
  type SamplerOptions,
  SeededNoise,
  type Schedule,
  type Scaling,
  scheduledProcess,
  subVpPreconditioning,
  subVpProcess,
  type TimeSteps,
  timeSteps,
  veProcess,
  vpPreconditioning,
  vpProcess,
} from "stf";
import { GoldenFile } from "./golden-file.js";
import { denoiserOf } from "./networks.js";

const SAMPLE_TOLERANCE = 1e-4;
const FLOAT64_TOLERANCE = 1e-8;
const ODE_TOLERANCE = 1e-3;
const LEVEL_TOLERANCE = 1e-10;

/** The levels of improved DDPM hang on the last bit of a float32 sine, in which libraries differ. */
const toleranceOf = (discretization: DiscretizationName | undefined, usual: number): number =>
  discretization === "iddpm" ? Math.max(usual, 1e-6) : usual;

/** The settings of a run under their published names. */
interface PublishedRun {
  readonly num_steps: number;
  readonly solver?: "euler" | "heun";
  readonly discretization?: DiscretizationName;
  readonly schedule?: Schedule;
  readonly scaling?: Scaling;
  readonly sigma_min?: number;
  readonly sigma_max?: number;
  readonly rho?: number;
  readonly alpha?: number;
  readonly S_churn?: number;
  readonly S_min?: number;
  readonly S_max?: number;
  readonly S_noise?: number;
}

/** The steps of a run, within the range of its network. */
function stepsOf(run: PublishedRun, { preconditioning }: Denoiser): { levels: number[]; steps: TimeSteps } {
  const discretization = discretizations[run.discretization ?? "edm"];
  const range = {
    sigmaMin: Math.max(run.sigma_min ?? discretization.range.sigmaMin, preconditioning.sigmaMin),
    sigmaMax: Math.min(run.sigma_max ?? discretization.range.sigmaMax, preconditioning.sigmaMax),
  };
  const { levels: known } = preconditioning;
  const levels = discretization.levels(run.num_steps, range, run.rho ?? 7);
  const rounded = known ? levels.map((level) => known[nearestLevel(known, level)] as number) : levels;
  return { levels, steps: timeSteps(rounded, scheduledProcess(run.schedule ?? "linear", run.scaling ?? "none", range)) };
}

/** Draws with the weights of the file in float32 and in float64, and compares everything that the published sampler passed. */
function compareRun(file: GoldenFile, name: string, run: PublishedRun, denoiser: Denoiser, latents: Tensor): void {
  const { levels, steps } = stepsOf(run, denoiser);
  const { process, times } = steps;
  const within = (usual: number): number => toleranceOf(run.discretization, usual);
  for (const [what, found] of Object.entries({ t_steps: times, sigma_steps: levels })) {
    const wanted = `${name}.${what}`;
    if (file.has(wanted)) file.compare(wanted, found, file.tensor(wanted), within(LEVEL_TOLERANCE));
  }
  const first = times[0] as number;
  const draw = (denoise: Denoise): { images: Tensor; sigmas: number[]; starts: Float64Array[] } => {
    const sigmas: number[] = [];
    const start = latents.double().mul(process.sigma(first) * process.scale(first));
    const starts = [start.toFloat64Array()];
    let draws = 0;
    const churn: ChurnOptions = file.has(`${name}.noise`)
      ? {
          churn: {
            amount: run.S_churn ?? 0,
            sMin: run.S_min ?? 0,
            sMax: run.S_max ?? Number.POSITIVE_INFINITY,
            sNoise: run.S_noise ?? 1,
          },
          noise: () => file.tensor(`${name}.noise`).select(0, draws++).clone(),
        }
      : {};
    const watched: Denoise = (x, sigma) => {
      sigmas.push(sigma as number);
      return denoise(x, sigma);
    };
    const options = { ...churn, onStep: ({ x }: { x: Tensor }): void => void starts.push(x.toFloat64Array()) };
    const images =
      run.solver === "euler"
        ? euler.sample(watched, start, steps, options)
        : heun.sample(watched, start, steps, { ...options, alpha: run.alpha ?? 1 });
    return { images, sigmas, starts };
  };
  noGrad(() =>
    scope(() => {
      const single = draw(denoiseWith(denoiser));
      file.compare(`${name}.images`, single.images, file.tensor(`${name}.images`), SAMPLE_TOLERANCE);
      if (file.has(`${name}.network_sigmas`)) {
        file.compare(`${name}.network_sigmas`, single.sigmas, file.tensor(`${name}.network_sigmas`), 1e-6);
      }
      if (file.has(`${name}.x_at_step_start`)) {
        const states = single.starts.slice(0, -1).flatMap((values) => Array.from(values));
        file.compare(`${name}: states`, states, file.tensor(`${name}.x_at_step_start`), SAMPLE_TOLERANCE);
      }
      if (!file.has(`${name}.images_float64_network`)) return;
      const exact = draw((x, sigma) => denoiser.forward(x, forEachImage(sigma, x.size(0))));
      file.compare(
        `${name}: network in float64`,
        exact.images,
        file.tensor(`${name}.images_float64_network`),
        within(FLOAT64_TOLERANCE),
      );
    }),
  );
}

/** The network of another file in the folder. */
function networkOf(folder: string, files: readonly string[], pattern: RegExp): Denoiser {
  const name = files.find((file) => pattern.test(file));
  if (!name) throw new Error(`it needs a file ${pattern.source} beside it`);
  const file = new GoldenFile(join(folder, name));
  const denoiser = denoiserOf(file);
  file.dispose();
  return denoiser;
}

export function checkEdmSampler(file: GoldenFile, folder: string, files: readonly string[]): void {
  const denoiser = networkOf(folder, files, /^01_.*\.safetensors$/);
  for (const [name, run] of Object.entries(file.metadata<Record<string, PublishedRun>>("runs"))) {
    compareRun(file, name, run, denoiser, file.tensor("latents"));
  }
  denoiser.dispose();
}

export function checkAblationSampler(file: GoldenFile, folder: string, files: readonly string[]): void {
  const denoiser = networkOf(folder, files, /^01_.*\.safetensors$/);
  const latents = file.tensor("latents");
  const num_steps = file.metadata<number>("steps");
  for (const discretization of Object.keys(discretizations) as DiscretizationName[]) {
    for (const schedule of ["vp", "ve", "linear"] as const) {
      for (const scaling of ["vp", "none"] as const) {
        for (const solver of ["euler", "heun"] as const) {
          const run = { num_steps, solver, discretization, schedule, scaling };
          compareRun(file, [solver, discretization, schedule, scaling].join("."), run, denoiser, latents);
        }
      }
      const { steps } = stepsOf({ num_steps, discretization, schedule }, denoiser);
      const name = `t_steps.${discretization}.${schedule}`;
      file.compare(name, steps.times, file.tensor(name), toleranceOf(discretization, LEVEL_TOLERANCE));
    }
    const { levels, steps } = stepsOf({ num_steps, discretization, schedule: "vp" }, denoiser);
    const name = `sigma_steps.${discretization}`;
    file.compare(name, levels, file.tensor(name), toleranceOf(discretization, LEVEL_TOLERANCE));
    // ln(1 + sigma²) is beta_d t² / 2 + beta_min t: two times tell both.
    const [betaD, betaMin] = file.numbers(`vp_betas.${discretization}`) as unknown as [number, number];
    const found = [0.5, 1].map((t) => Math.log1p(steps.process.sigma(t) ** 2));
    const wanted = [0.5, 1].map((t) => 0.5 * betaD * t ** 2 + betaMin * t);
    file.compare(`vp_betas.${discretization}`, found, wanted, LEVEL_TOLERANCE);
  }
  for (const [name, run] of Object.entries(file.metadata<Record<string, PublishedRun>>("extra"))) {
    compareRun(file, `extra.${name}`, run, denoiser, latents);
  }
  denoiser.dispose();
  const wrapped = file.tensor("wrapper_latents");
  for (const [name, run] of Object.entries(file.metadata<Record<string, PublishedRun>>("wrapper"))) {
    const own = networkOf(folder, files, new RegExp(`^04_${name}_.*\\.safetensors$`));
    const { sigmaMin, sigmaMax } = own.preconditioning;
    const { range } = discretizations[run.discretization ?? "edm"];
    const bounds = [Math.max(range.sigmaMin, sigmaMin), Math.min(range.sigmaMax, sigmaMax)];
    file.compare(`wrapper.${name}.sigma_range`, bounds, file.tensor(`wrapper.${name}.sigma_range`), 1e-6);
    compareRun(file, `wrapper.${name}`, run, own, wrapped);
    if (name === "iddpm") {
      compareRun(file, "wrapper.iddpm_in_edm_sampler", { num_steps: run.num_steps }, own, wrapped);
    }
    own.dispose();
  }
}

const NORMAL_TOLERANCE = 1e-6;

/** One draw, by the name that the file gives it: "randn_float64_5", "rand_64", "randint_minus5_to_7_20". */
function drawNamed(name: string, generator: Generator): number[] {
  const count = Number(/\d+$/.exec(name)?.[0]);
  const shape = [count];
  const repeated = /^randn_(\d+)_calls_of_(\d+)$/.exec(name);
  const draw = (make: () => Tensor): number[] => scope(() => Array.from(make().toFloat64Array()));
  if (repeated) {
    const [calls, length] = [Number(repeated[1]), Number(repeated[2])];
    return Array.from({ length: calls }, () => draw(() => randn([length], { generator }))).flat();
  }
  if (/^(global_)?randn_\d+$/.test(name)) return draw(() => randn(shape, { generator }));
  if (/^randn_float64_\d+$/.test(name)) return draw(() => randn(shape, { generator, dtype: "float64" }));
  if (/^rand_\d+$/.test(name)) return draw(() => rand(shape, { generator }));
  if (/^rand_float64_\d+$/.test(name)) return draw(() => rand(shape, { generator, dtype: "float64" }));
  if (/^randperm_\d+$/.test(name)) return draw(() => randperm(count, { generator }));
  const bounds = /^randint_(?:(minus)?(\d+)_to_)?(2pow)?(\d+)_\d+$/.exec(name);
  if (!bounds) throw new Error(`the draw "${name}" is unknown`);
  const low = bounds[2] === undefined ? 0 : Number(bounds[2]) * (bounds[1] ? -1 : 1);
  const high = bounds[3] ? 2 ** Number(bounds[4]) : Number(bounds[4]);
  return draw(() => randint(low, high, shape, { generator }));
}

export function checkRandomNumbers(file: GoldenFile): void {
  const bySeed = new Map<string, string[]>();
  for (const name of file.names.filter((name) => /^s\d+\./.test(name))) {
    const [seed, rest] = name.split(".", 2) as [string, string];
    bySeed.set(seed, [...(bySeed.get(seed) ?? []), rest]);
  }
  for (const [prefix, names] of bySeed) {
    const seed = Number(prefix.slice(1));
    const compareDraw = (name: string, kind: string, generator: Generator): void => {
      file.compareAbsolute(`${prefix}.${name}`, drawNamed(kind, generator), file.tensor(`${prefix}.${name}`), NORMAL_TOLERANCE);
    };
    for (const name of names.filter((name) => !name.startsWith("mix_"))) {
      using generator = new Generator(seed);
      compareDraw(name, name, generator);
    }
    using generator = new Generator(seed);
    for (const name of names.filter((name) => name.startsWith("mix_")).sort()) {
      compareDraw(name, name.replace(/^mix_\d+_/, ""), generator);
    }
  }
  checkStackedNoise(file);
}

/** Noise by seed, as the published sampler draws it. */
function checkStackedNoise(file: GoldenFile): void {
  const seeds = file.metadata<number[]>("stacked_seeds");
  const compare = (name: string, noise: SeededNoise, dtype: "float32" | "float64"): void => {
    const wanted = file.tensor(`stacked.${name}`);
    file.compareAbsolute(name, noise.draw(wanted.shape.slice(1), dtype), wanted, NORMAL_TOLERANCE);
  };
  const withFresh = (body: (noise: SeededNoise) => void): void => {
    const noise = new SeededNoise(seeds);
    scope(() => body(noise));
    noise.dispose();
  };
  for (const dtype of ["float32", "float64"] as const) {
    withFresh((noise) => {
      compare("latents", noise, "float32");
      for (const call of [1, 2]) compare(`follow_${call}_${dtype}`, noise, dtype);
    });
  }
  withFresh((noise) => {
    compare("latents", noise, "float32");
    file.compareAbsolute("classes", noise.integers(10), file.tensor("stacked.classes_after_latents"), 0);
    compare("follow_after_classes_float64", noise, "float64");
  });
  withFresh((noise) => {
    compare("small_latents", noise, "float32");
    compare("small_follow_float64", noise, "float64");
  });
}

/** A published process by its name. */
interface PublishedSde {
  readonly sigma_min?: number;
  readonly sigma_max?: number;
  readonly beta_min?: number;
  readonly beta_max?: number;
}

type SdeName = "ve" | "vp" | "subvp";

function processOf(name: SdeName, parameters: Record<SdeName, PublishedSde>): DiscreteProcess {
  const { sigma_min, sigma_max, beta_min, beta_max } = parameters[name];
  if (name === "ve") return veProcess({ sigmaMin: sigma_min as number, sigmaMax: sigma_max as number });
  const betas = { betaMin: beta_min as number, betaMax: beta_max as number };
  return name === "vp" ? vpProcess(betas) : subVpProcess(betas);
}

/** The exact denoiser of the mixture that the file names. */
function mixtureOf(file: GoldenFile): Denoise {
  const { w, m, s } = file.metadata<{ w: number[]; m: number[][]; s: number[] }>("gmm");
  const mixture = gaussianMixture(
    "mixture",
    w.map((weight, i) => ({ weight, mean: m[i] as number[], deviation: s[i] as number })),
  );
  return (x, sigma) =>
    scope(() => {
      const levels = forEachImage(sigma, x.size(0));
      return (mixture.denoise as NonNullable<typeof mixture.denoise>)(x.double().flatten(1), levels).view(x.shape);
    });
}

const SDE_TOLERANCE = 5e-5;

export function checkSdeGrid(file: GoldenFile): void {
  const parameters = file.metadata<Record<SdeName, PublishedSde>>("parameters");
  const count = file.metadata<number>("N");
  const denoise = mixtureOf(file);
  const times = file.numbers("t");
  scope(() => {
    const x = file.tensor("x").double();
    const flat = x.toFloat64Array();
    /** a x, where a depends on the time. */
    const scaled = (factor: (t: number) => number): Float64Array => flat.map((value, i) => value * factor(times[i >> 1] as number));
    for (const name of ["ve", "vp", "subvp"] as const) {
      const process = processOf(name, parameters);
      const stepAt = (t: number): ReturnType<DiscreteProcess["chainStep"]> => process.chainStep(t, count);
      const drift = (t: number): number => process.scaleDerivative(t) / process.scale(t);
      const diffusion = (t: number): number =>
        process.scale(t) * Math.sqrt(2 * process.sigma(t) * process.sigmaDerivative(t));
      const compare = (what: string, found: Tensor | ArrayLike<number>): void =>
        file.compare(`${name}.${what}`, found, file.tensor(`${name}.${what}`), SDE_TOLERANCE);
      compare("mean", scaled(process.scale));
      compare("std", times.map((t) => process.scale(t) * process.sigma(t)));
      compare("drift", scaled(drift));
      compare("diffusion", times.map((t) => (t === 0 ? Math.sqrt(limitAtZero(process)) : diffusion(t))));
      compare("f", scaled((t) => stepAt(t).decay - 1));
      compare("G", times.map((t) => stepAt(t).deviation));
      const raised = times.map((t) => Math.max(t, 1e-5));
      const score = estimateAt("score", denoise, process, x, raised);
      compare("gmm_score", score);
      const scores = score.toFloat64Array();
      const reversed = (own: (t: number) => number, squared: (t: number) => number, share: number): Float64Array =>
        scaled(own).map((value, i) => value - share * squared(times[i >> 1] as number) * (scores[i] as number));
      const squaredDiffusion = (t: number): number => (t === 0 ? limitAtZero(process) : diffusion(t) ** 2);
      compare("reverse_drift", reversed(drift, squaredDiffusion, 1));
      compare("flow_drift", reversed(drift, squaredDiffusion, 0.5));
      compare("reverse_f", reversed((t) => stepAt(t).decay - 1, (t) => stepAt(t).deviation ** 2, 1));
      compare("flow_f", reversed((t) => stepAt(t).decay - 1, (t) => stepAt(t).deviation ** 2, 0.5));
      const variance = name === "ve" ? process.sigma(process.end) ** 2 : 1;
      const logPrior = (row: number): number => {
        const square = (flat[2 * row] as number) ** 2 + (flat[2 * row + 1] as number) ** 2;
        return -Math.log(2 * Math.PI * variance) - square / (2 * variance);
      };
      compare("prior_logp", Float64Array.from(times, (_, row) => logPrior(row)));
    }
    checkTables(file, parameters, count);
    checkScoreFactors(file);
  });
}

/** g² at time 0, which is 0/0 in terms of sigma: 2 s² sigma sigma'. */
function limitAtZero(process: DiscreteProcess): number {
  const t = 1e-12;
  return 2 * process.scale(t) ** 2 * process.sigma(t) * process.sigmaDerivative(t);
}

function checkTables(file: GoldenFile, parameters: Record<SdeName, PublishedSde>, count: number): void {
  const indices = Array.from({ length: count }, (_, i) => i);
  const [ve, vp] = [processOf("ve", parameters), processOf("vp", parameters)];
  const compare = (name: string, found: number[]): void => file.compare(name, found, file.tensor(name), SDE_TOLERANCE);
  compare("ve.discrete_sigmas", indices.map((i) => ve.sigma(i / (count - 1))));
  compare("vp.discrete_betas", indices.map((i) => vp.chainStep(i / (count - 1), count).deviation ** 2));
  let product = 1;
  const products = indices.map((i) => {
    product *= vp.chainStep(i / (count - 1), count).decay;
    return product;
  });
  compare("vp.sqrt_alphas_cumprod", products);
  compare("vp.sqrt_1m_alphas_cumprod", products.map((value) => Math.sqrt(1 - value ** 2)));
}

/** What the networks of continuous training are told, and how their output is a score. Discrete labels have no counterpart here. */
function checkScoreFactors(file: GoldenFile): void {
  const times = file.numbers("t").map((t) => Math.max(t, 1e-4));
  const known = { vp: [vpProcess(), vpPreconditioning()], subvp: [subVpProcess(), subVpPreconditioning()] } as const;
  for (const [name, [process, preconditioning]] of Object.entries(known)) {
    const coefficients = Array.from(times, (t) => preconditioning.coefficients(process.sigma(t)));
    const prefix = `${name}.continuous`;
    if (!file.has(`${prefix}.labels`)) continue;
    const labels = coefficients.map(({ noise }) => noise);
    file.compare(`${prefix}.labels`, labels, file.tensor(`${prefix}.labels`), SDE_TOLERANCE);
    // The score is factor D, of D = c_out F, and x is left aside: it cancels with c_skip.
    const factors = coefficients.map(({ out }, i) => affineForm("score", process, times[i] as number).factor * out);
    const deviations = Array.from(file.numbers(`${prefix}.score_factor`), (value, i) => (factors[i] as number) / value - 1);
    // In float32, 1 - exp(-B) loses what is small against 1.
    file.compareAbsolute(`${prefix}.score_factor`, deviations, new Float64Array(deviations.length), 5e-3);
  }
}

/** A run of predictor and corrector, or of the probability flow. */
interface PublishedSdeRun {
  readonly sde?: SdeName;
  readonly N: number;
  readonly eps: number;
  readonly rtol: number;
  readonly atol: number;
  readonly predictor: string;
  readonly corrector: CorrectorName;
  readonly snr: number;
  readonly n_steps: number;
  readonly probability_flow: boolean;
}

const predictorNames: Readonly<Record<string, PredictorName>> = {
  reverse_diffusion: "reverse-diffusion",
  euler_maruyama: "euler-maruyama",
  ancestral_sampling: "ancestral",
  none: "none",
};

export function checkSdeSamplers(file: GoldenFile): void {
  const parameters = file.metadata<Record<SdeName, PublishedSde>>("sde");
  const denoise = mixtureOf(file);
  for (const [name, run] of Object.entries(file.metadata<Record<string, PublishedSdeRun>>("runs"))) {
    const process = processOf(run.sde ?? (name.replace("ode.", "") as SdeName), parameters);
    scope(() =>
      name.startsWith("ode.")
        ? compareFlow(file, name, run, process, denoise)
        : compareReverse(file, name, run, process, denoise),
    );
  }
}

function compareFlow(file: GoldenFile, name: string, run: PublishedSdeRun, process: DiscreteProcess, denoise: Denoise): void {
  const steps = { process, times: [process.end, run.eps] };
  const start = file.tensor(`${name}.z`).double();
  const draw = (tolerance: Pick<PublishedSdeRun, "rtol" | "atol">): { images: Tensor; times: number[]; evaluations: number } => {
    const times: number[] = [process.end];
    let evaluations = 0;
    const counted: Denoise = (x, sigma) => {
      evaluations++;
      return denoise(x, sigma);
    };
    const onStep: SamplerOptions["onStep"] = ({ time }) => void (time !== times.at(-1) && times.push(time));
    const images = (rk45 as Sampler<object>).sample(counted, start, steps, { ...tolerance, control: "batch", onStep });
    return { images, times, evaluations };
  };
  const { images, times, evaluations } = draw(run);
  file.compareAbsolute(`${name}.samples_float64`, images, file.tensor(`${name}.samples_float64`), 1e-7);
  file.compare(`${name}.step_times_float64`, times, file.tensor(`${name}.step_times_float64`), 1e-6);
  file.compareAbsolute(`${name}.nfe_float64`, [evaluations], file.tensor(`${name}.nfe_float64`), 0);
  file.compareAbsolute(`${name}.samples`, images, file.tensor(`${name}.samples`), ODE_TOLERANCE);
  const tight = draw({ rtol: 1e-11, atol: 1e-11 }).images;
  file.compareAbsolute(`${name}.samples_exact`, tight, file.tensor(`${name}.samples_exact`), 1e-8);
  const count = file.metadata<number>("N_ode");
  const last = (predictors["reverse-diffusion"] as Predictor)({
    process,
    x: images,
    t: run.eps,
    count,
    score: estimateAt("score", denoise, process, images, run.eps),
    noise: (like) => like,
  });
  file.compareAbsolute(`${name}.denoised`, last.mean, file.tensor(`${name}.denoised`), ODE_TOLERANCE);
}

function compareReverse(
  file: GoldenFile,
  name: string,
  run: PublishedSdeRun,
  process: DiscreteProcess,
  denoise: Denoise,
): void {
  const predictor = predictorNames[run.predictor];
  if (predictor === undefined) throw new Error(`the predictor ${run.predictor} is unknown`);
  const prior = process.name === "ve" ? process.sigma(process.end) : 1;
  const start = file.tensor(`${name}.prior_draw`).double().mul(prior);
  for (const [what, denoiseLast] of [
    ["samples_denoised", true],
    ["samples", false],
  ] as const) {
    let [step, correction, evaluation] = [0, 0, 0];
    const corrections = run.corrector === "none" ? 0 : run.n_steps;
    const noise = (): Tensor => {
      evaluation++;
      if (evaluation % (corrections + 1) !== 0) {
        const draw = file.tensor(`${name}.corrector_draws`).select(0, step).select(0, correction).double();
        correction++;
        return draw;
      }
      correction = 0;
      return file.tensor(`${name}.predictor_draws`).select(0, step++).double();
    };
    const images = predictorCorrector.sample(denoise, start, evenSteps(run.N, process, run.eps), {
      predictor,
      corrector: run.corrector,
      correctorSteps: run.n_steps,
      snr: run.snr,
      flow: run.probability_flow,
      denoiseLast,
      perImage: false,
      noise,
    });
    file.compare(`${name}.${what}`, images, file.tensor(`${name}.${what}`), 2 * SAMPLE_TOLERANCE);
  }
}

export function checkLikelihood(file: GoldenFile): void {
  const parameters = file.metadata<Record<SdeName, PublishedSde>>("sde");
  const { eps, rtol, atol } = file.metadata<{ eps: number; rtol: number; atol: number }>("settings");
  const denoise = mixtureOf(file);
  for (const name of ["ve", "vp", "vp_gaussian", "subvp"]) {
    const process = processOf(name.split("_", 1)[0] as SdeName, parameters);
    scope(() => {
      const images = file.tensor("data").double();
      const probe = file.tensor(`${name}.probe`).double();
      const measured = (tolerances: { rtol: number; atol: number }): { bits: Float64Array; latents: Tensor } => {
        const { logDensity: found, latents } = logDensity(denoise, images, [probe], {
          process,
          first: eps,
          last: process.end,
          control: "batch",
          ...tolerances,
        });
        return { bits: found.toFloat64Array().map((value) => bitsPerDimension(value, 2)), latents };
      };
      const usual = measured({ rtol, atol });
      file.compareAbsolute(`${name}.bpd`, usual.bits, file.tensor(`${name}.bpd`), ODE_TOLERANCE);
      file.compareAbsolute(`${name}.z`, usual.latents, file.tensor(`${name}.z`), 2 * ODE_TOLERANCE);
      const tight = measured({ rtol: 1e-10, atol: 1e-10 });
      file.compareAbsolute(`${name}: bits, tight`, tight.bits, file.tensor(`${name}.bpd_float64_tight`), 1e-4);
      file.compareAbsolute(`${name}: latents, tight`, tight.latents, file.tensor(`${name}.z_float64_tight`), 1e-6);
      // All sign vectors together give the exact divergence.
      const signs = [probe.onesLike(), probe.onesLike().mul(probe.onesLike().cumsum(1).sub(1.5).mul(2))];
      const exact = logDensity(denoise, images, signs, { process, first: eps, last: process.end, rtol: 1e-9, atol: 1e-9 });
      const bits = exact.logDensity.mean([1]).toFloat64Array().map((value) => bitsPerDimension(value, 2));
      // The flow ends in a law that is not quite the prior: at noise level 50 the data's own mean is still seen.
      file.compareAbsolute(`${name}.bpd_true_density`, bits, file.tensor(`${name}.bpd_true_density`), 5e-3);
    });
  }
}
