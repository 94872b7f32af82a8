/** EDM's sampler and the generalised one. */

import { noGrad, scope, type Tensor } from "@stf/torch";
import {
  type ChurnOptions,
  type Conditions,
  type Denoise,
  type Denoiser,
  type DiscretizationName,
  denoiseWith,
  discretizationsWith,
  euler,
  forEachImage,
  heun,
  type NoiseRange,
  nearestLevel,
  type Scaling,
  type Schedule,
  scheduledProcess,
  type TimeSteps,
  timeSteps,
} from "stf";
import { type GoldenFile, magnitude } from "./golden-file.js";
import { compareLevels } from "./noise-levels.js";
import { betasOf, conditionsOf, denoiserBeside, given, numberOfNetwork, type Place } from "./published-network.js";

const SAMPLE_TOLERANCE = 1e-4;
/** For a network that amplifies rounding from step to step. */
const LARGEST_SAMPLE_TOLERANCE = 1e-3;
const FLOAT64_TOLERANCE = 1e-8;
const LEVEL_TOLERANCE = 1e-10;

/** The tolerance for samples in float32, from the effect of rounding on ours. */
function sampleTolerance(single: Tensor, exact: Tensor): number {
  const rounding = magnitude(single.sub(exact)) / (magnitude(exact) || 1);
  return Math.min(Math.max(SAMPLE_TOLERANCE, 4 * rounding), LARGEST_SAMPLE_TOLERANCE);
}

/** The settings of a run under their published names. Missing ones have their published defaults. */
interface PublishedRun {
  readonly cls?: string;
  readonly num_steps?: number;
  readonly solver?: "euler" | "heun";
  readonly discretization?: DiscretizationName;
  readonly schedule?: Schedule;
  readonly scaling?: Scaling;
  readonly sigma_min?: number;
  readonly sigma_max?: number;
  readonly rho?: number;
  readonly alpha?: number;
  readonly epsilon_s?: number;
  readonly beta_d?: number;
  readonly beta_min?: number;
  readonly C_1?: number;
  readonly C_2?: number;
  readonly M?: number;
  readonly S_churn?: number;
  readonly S_min?: number;
  readonly S_max?: number;
  readonly S_noise?: number;
}

/** A network with the conditions of a file. */
interface Drawn {
  readonly denoiser: Denoiser;
  readonly conditions: (dtype: "float32" | "float64") => Conditions;
}

interface PlacedSteps {
  readonly range: NoiseRange;
  /** Our own, whichever levels the steps have. */
  readonly levels: number[];
  readonly steps: TimeSteps;
  readonly round: (sigma: number) => number;
}

/**
 * The steps of a run, within the range of its network.
 *
 * @param published - the published levels, if known. Those of improved DDPM depend on the last bit of a float32 sine, in which
 * libraries differ, so the steps use the published ones.
 */
function stepsOf(
  run: PublishedRun,
  count: number,
  { preconditioning }: Denoiser,
  published: Float64Array | undefined,
): PlacedSteps {
  const { discretization = "edm", schedule = "linear", scaling = "none", epsilon_s, C_1, C_2, M } = run;
  const constants = given({ shortestTime: epsilon_s, timeSteps: M, c1: C_1, c2: C_2 });
  const placing = discretizationsWith({ betas: betasOf(run), ...constants })[discretization];
  const range = {
    sigmaMin: Math.max(run.sigma_min ?? placing.range.sigmaMin, preconditioning.sigmaMin),
    sigmaMax: Math.min(run.sigma_max ?? placing.range.sigmaMax, preconditioning.sigmaMax),
  };
  const { levels: known } = preconditioning;
  const round = (level: number): number => (known ? (known[nearestLevel(known, level)] as number) : level);
  const levels = placing.levels(count, range, run.rho ?? 7);
  const taken = discretization === "iddpm" && published ? [...published] : levels;
  const process = scheduledProcess(schedule, scaling, range, epsilon_s);
  return { range, levels, steps: timeSteps(taken.map(round), process), round };
}

const levelsNamed = (file: GoldenFile, name: string): Float64Array | undefined =>
  file.has(name) ? file.numbers(name) : undefined;

function compareSteps(file: GoldenFile, name: string, { discretization }: PublishedRun, levels: number[]): void {
  if (discretization === "iddpm") compareLevels(file, name, levels, file.numbers(name), 1e-5);
  else file.compare(name, levels, file.tensor(name), LEVEL_TOLERANCE);
}

/** The number of steps of a run: as stated, or from its times. */
const countOf = (file: GoldenFile, name: string, run: PublishedRun): number =>
  run.num_steps ?? file.tensor(`${name}.t_steps`).size(0) - 1;

/** Noise that is added along the way, if the file has any. */
function churnOf(file: GoldenFile, name: string, run: PublishedRun, round: PlacedSteps["round"]): ChurnOptions {
  if (!file.has(`${name}.noise`)) return {};
  const { S_churn = 0, S_min = 0, S_max = Number.POSITIVE_INFINITY, S_noise = 1 } = run;
  let draws = 0;
  return {
    churn: { amount: S_churn, sMin: S_min, sMax: S_max, sNoise: S_noise },
    round,
    noise: () => file.tensor(`${name}.noise`).select(0, draws++).clone(),
  };
}

/** Draws with the weights of the file in float32 and in float64, and compares everything that the published sampler passed. */
function compareRun(file: GoldenFile, name: string, run: PublishedRun, drawn: Drawn, latents: Tensor): void {
  const { denoiser, conditions } = drawn;
  const own = `${name}.sigma_steps`;
  const published = levelsNamed(file, own) ?? levelsNamed(file, `sigma_steps.${run.discretization}`);
  const { range, levels, steps, round } = stepsOf(run, countOf(file, name, run), denoiser, published);
  const { process, times } = steps;
  const compare = (what: string, found: ArrayLike<number> | Tensor, tolerance: number): void => {
    if (file.has(`${name}.${what}`)) {
      file.compare(`${name}.${what}`, found, file.tensor(`${name}.${what}`), tolerance);
    }
  };
  if (file.has(`${name}.sigma_range`)) {
    const found = [range.sigmaMin, range.sigmaMax];
    file.compareEach(`${name}.sigma_range`, found, file.tensor(`${name}.sigma_range`), 1e-6);
  }
  compare("t_steps", times, LEVEL_TOLERANCE);
  if (file.has(own)) compareSteps(file, own, run, levels);
  const first = times[0] as number;
  const draw = (denoise: Denoise): { images: Tensor; sigmas: number[]; starts: Float64Array[] } => {
    const sigmas: number[] = [];
    const start = latents.double().mul(process.sigma(first) * process.scale(first));
    const starts = [start.toFloat64Array()];
    const watched: Denoise = (x, sigma) => {
      sigmas.push(sigma as number);
      return denoise(x, sigma);
    };
    const onStep = ({ x }: { x: Tensor }): void => void starts.push(x.toFloat64Array());
    const options = { ...churnOf(file, name, run, round), onStep };
    const images =
      run.solver === "euler"
        ? euler.sample(watched, start, steps, options)
        : heun.sample(watched, start, steps, { ...options, alpha: run.alpha ?? 1 });
    return { images, sigmas, starts };
  };
  noGrad(() =>
    scope(() => {
      const single = draw(denoiseWith(denoiser, conditions("float32")));
      const inFloat64 = conditions("float64");
      const exact = draw((x, sigma) => denoiser.forward(x, forEachImage(sigma, x.size(0)), inFloat64));
      const fair = sampleTolerance(single.images, exact.images);
      file.compare(`${name}.images`, single.images, file.tensor(`${name}.images`), fair);
      compare("network_sigmas", single.sigmas, 1e-6);
      const states = single.starts.slice(0, -1).flatMap((values) => Array.from(values));
      compare("x_at_step_start", states, fair);
      compare("images_float64_network", exact.images, FLOAT64_TOLERANCE);
    }),
  );
}

/** Runs a part of a check with a network, which is freed. */
function using(denoiser: Denoiser, conditions: Drawn["conditions"], use: (drawn: Drawn) => void): void {
  use({ denoiser, conditions });
  denoiser.dispose();
}

/** The settings of all runs except their number of steps. */
const defaultsOf = (file: GoldenFile): PublishedRun =>
  given({ ...file.metadataOr<PublishedRun>("defaults", {}), num_steps: undefined });

export function checkEdmSampler(file: GoldenFile, place: Place): void {
  const defaults = defaultsOf(file);
  const network = denoiserBeside(place, numberOfNetwork(file));
  using(
    network,
    (dtype) => conditionsOf(file, dtype),
    (drawn) => {
      for (const [name, run] of Object.entries(file.metadata<Record<string, PublishedRun>>("runs"))) {
        compareRun(file, name, { ...defaults, ...run }, drawn, file.tensor("latents"));
      }
    },
  );
}

/** The constants of all runs. If they are missing, the range follows from the betas in the file for the discretization vp. */
function constantsOf(file: GoldenFile): PublishedRun {
  const [beta_d, beta_min] = file.has("vp_betas.vp") ? file.numbers("vp_betas.vp") : [];
  return { ...given({ beta_d, beta_min }), ...defaultsOf(file) };
}

export function checkAblationSampler(file: GoldenFile, place: Place): void {
  const defaults = constantsOf(file);
  const latents = file.tensor("latents");
  const network = denoiserBeside(place, numberOfNetwork(file));
  using(
    network,
    (dtype) => conditionsOf(file, dtype),
    (drawn) => {
      checkCombinations(file, defaults, drawn, latents);
      for (const [name, run] of Object.entries(file.metadata<Record<string, PublishedRun>>("extra"))) {
        compareRun(file, `extra.${name}`, { ...defaults, ...run }, drawn, latents);
      }
    },
  );
  checkWrappers(file, place, defaults);
}

/** The parts of tensor names between the dots. */
const partsOf = (file: GoldenFile, pattern: RegExp): string[][] =>
  file.names.flatMap((name) => (pattern.test(name) ? [name.split(".")] : []));

/** Every combination of solver, discretization, schedule and scaling in the file, and the steps they share. */
function checkCombinations(file: GoldenFile, defaults: PublishedRun, drawn: Drawn, latents: Tensor): void {
  const count = file.metadata<number>("steps");
  const choice = ([discretization, schedule]: readonly string[]): PublishedRun => ({
    ...defaults,
    discretization: discretization as DiscretizationName,
    schedule: schedule as Schedule,
  });
  for (const [solver, discretization, schedule, scaling] of partsOf(file, /^(euler|heun)\.\w+\.\w+\.\w+\.images$/)) {
    const run = {
      ...choice([discretization, schedule] as string[]),
      num_steps: count,
      solver,
      scaling,
    } as PublishedRun;
    compareRun(file, [solver, discretization, schedule, scaling].join("."), run, drawn, latents);
  }
  for (const [what, ...names] of partsOf(file, /^(t_steps|sigma_steps|vp_betas)\./)) {
    const run = choice([names[0] as string, names[1] ?? "vp"]);
    const published = levelsNamed(file, `sigma_steps.${run.discretization}`);
    const { levels, steps } = stepsOf(run, count, drawn.denoiser, published);
    const name = [what, ...names].join(".");
    if (what === "vp_betas") {
      // ln(1 + sigma²) is beta_d t² / 2 + beta_min t: two times determine both.
      const [betaD, betaMin] = file.numbers(name) as unknown as [number, number];
      const found = [0.5, 1].map((t) => Math.log1p(steps.process.sigma(t) ** 2));
      const wanted = [0.5, 1].map((t) => 0.5 * betaD * t ** 2 + betaMin * t);
      file.compare(name, found, wanted, LEVEL_TOLERANCE);
    } else if (what === "t_steps") file.compare(name, steps.times, file.tensor(name), LEVEL_TOLERANCE);
    else compareSteps(file, name, run, levels);
  }
}

const WITH_EDM_SAMPLER = "_in_edm_sampler";

/** Runs with networks of other preconditionings, some of them in EDM's sampler, which is the generalised one by default. */
function checkWrappers(file: GoldenFile, place: Place, defaults: PublishedRun): void {
  const runs = file.metadata<Record<string, PublishedRun>>("wrapper");
  for (const [, name] of partsOf(file, /^wrapper\.\w+\.images$/) as [string, string][]) {
    const wrapper = name.replace(WITH_EDM_SAMPLER, "");
    const run = runs[name] ?? (name === wrapper ? undefined : {});
    if (!run) throw new Error(`its "wrapper" does not say what the run "${name}" is`);
    const isNamed = (beside: string): boolean => beside.startsWith(`04_${wrapper}_`);
    const isKnownByName = place.files.some(isNamed);
    const denoiser = denoiserBeside(place, "04", (beside, { cls }) =>
      isKnownByName ? isNamed(beside) : cls === runs[wrapper]?.cls,
    );
    using(
      denoiser,
      () => ({}),
      (drawn) => compareRun(file, `wrapper.${name}`, { ...defaults, ...run }, drawn, file.tensor("wrapper_latents")),
    );
  }
}
