/** The options of `stf generate`: the published names and defaults where the published tools have them. */

import { UsageError } from "../common/errors.js";
import { precisions } from "../networks/architectures.js";
import { type DiscreteProcessName, discreteProcessNames } from "../processes/by-name.js";
import { scalings, schedules } from "../processes/scheduled.js";
import { discretizationNames, discretizations, edmSchedule } from "../sampling/steps.js";
import { checkPrecision, precisionNotes } from "./contradictions.js";
import { choice, classLabel, device, flag, integer, integers, number, numberOr, text, type Values } from "./fields.js";

/** The samplers by name. */
export const samplerNames = ["heun", "euler", "dpm++2m", "dpm++2m-sde", "rk45", "pc"] as const;

/** The name of a sampler. */
export type SamplerName = (typeof samplerNames)[number];

const DEFAULT_CHAIN = 1000;

/** The options of `stf generate`. */
export const generateFields = {
  network: text<string | null>({
    default: null,
    help: "network snapshot to draw from, or a run folder for its latest one",
    placeholder: "PATH",
  }),
  outdir: text<string | null>({
    default: null,
    help: "output, one PNG per seed: a folder, or a file named *.zip or *.npz",
    placeholder: "DIR",
  }),
  subdirs: flag({ default: false, help: "one subfolder per 1000 seeds" }),
  grid: text<string | null>({ default: null, help: "one PNG with all images side by side", placeholder: "FILE" }),
  trajectory: text<string | null>({
    default: null,
    help: "animation of all images emerging from noise, named *.gif or *.webp",
    placeholder: "FILE",
  }),
  seeds: integers({
    default: Array.from({ length: 64 }, (_, i) => i),
    min: 0,
    max: 2 ** 32 - 1,
    help: "one image per seed (default 0-63)",
  }),
  class: classLabel({
    default: null,
    help: "class of all images, by name or number, for a class-conditional network; drawn from the seeds when left out",
  }),
  batch: integer({ default: 64, min: 1, help: "images drawn at once" }),
  sampler: choice(samplerNames, {
    default: "heun",
    help: "EDM's sampler (heun), another ODE solver (euler, dpm++2m, rk45) or an SDE solver (dpm++2m-sde, pc)",
  }),
  steps: integer<number | null>({
    default: null,
    min: 2,
    max: 1_000_000,
    help: `sampler steps (default ${edmSchedule.steps}, pc ${DEFAULT_CHAIN}); rk45 chooses its own`,
  }),
  sigma_min: number<number | null>({
    default: null,
    above: 0,
    help: `lowest noise level (default ${edmSchedule.sigmaMin}, or that of --disc)`,
  }),
  sigma_max: number<number | null>({
    default: null,
    above: 0,
    help: `highest noise level (default ${edmSchedule.sigmaMax}, or that of --disc)`,
  }),
  rho: number({ default: edmSchedule.rho, above: 0, help: "exponent of EDM's schedule" }),
  S_churn: number({ default: 0, min: 0, help: "amount of noise added between steps; 0: deterministic" }),
  S_min: number({ default: 0, min: 0, help: "lowest noise level at which noise is added" }),
  S_max: number({ default: Number.POSITIVE_INFINITY, min: 0, help: "highest noise level at which noise is added" }),
  S_noise: number({ default: 1, min: 0, help: "standard deviation of the added noise" }),
  solver: choice<"euler" | "heun", "euler" | "heun" | null>(["euler", "heun"], {
    default: null,
    help: "the published name for --sampler",
  }),
  disc: choice(discretizationNames, { default: "edm", help: "spacing of the steps' noise levels" }),
  schedule: choice(schedules, { default: "linear", help: "noise level as a function of time" }),
  scaling: choice(scalings, { default: "none", help: "signal scale as a function of time" }),
  rtol: number({ default: 1e-5, above: 0, help: "relative error tolerance of an rk45 step" }),
  atol: number({ default: 1e-5, above: 0, help: "absolute error tolerance of an rk45 step" }),
  errorControl: choice(["image", "batch"], {
    default: "image",
    help: "rk45 step size: chosen for each image, or for the whole batch, as published",
  }),
  eta: number({ default: 1, min: 0, help: "amount of noise that dpm++2m-sde replaces; 0: none, as dpm++2m" }),
  solverType: choice(["midpoint", "heun"], {
    default: "midpoint",
    help: "second-order rule of dpm++2m-sde",
  }),
  process: choice<DiscreteProcessName, DiscreteProcessName | null>(discreteProcessNames, {
    default: null,
    help: "the diffusion that pc reverses (default: the network's, else ve)",
  }),
  predictor: choice(["reverse-diffusion", "euler-maruyama", "ancestral", "none"], {
    default: "reverse-diffusion",
    help: "predictor step of pc",
  }),
  corrector: choice(["langevin", "ald", "none"], {
    default: "langevin",
    help: "corrector that pc runs before each step",
  }),
  correctorSteps: integer({ default: 1, min: 1, help: "corrector iterations before each step" }),
  snr: number({ default: 0.16, above: 0, help: "signal-to-noise ratio of the corrector" }),
  guidance: number({
    default: 1,
    min: 0,
    help: "guidance weight, away from --gnet or from the network without a class; 1: no guidance",
  }),
  gnet: text<string | null>({
    default: null,
    help: "snapshot of a weaker network to guide away from",
    placeholder: "FILE",
  }),
  analyticAbove: numberOr(["auto", "off"], {
    default: "auto",
    help: "noise level above which the snapshot's analytic denoiser replaces the network; auto: where it was found to be better; off: nowhere, as in the published tools",
  }),
  analyticData: text<string | null>({
    default: null,
    help: "images whose exact posterior mean takes the place of the snapshot's analytic denoiser",
    placeholder: "PATH",
  }),
  image: text<string | null>({
    default: null,
    help: "PNG or JPEG image for --mask, --colorize or --from-sigma",
    placeholder: "FILE",
  }),
  mask: text<string | null>({
    default: null,
    help: "inpainting: an image that is white where --image is kept, and black or transparent where it is redrawn",
    placeholder: "FILE",
  }),
  colorize: flag({ default: false, help: "colouring: keep the grey values of --image" }),
  fromSigma: number<number | null>({
    default: null,
    above: 0,
    help: "image to image: start from --image with noise of this level",
  }),
  precision: choice(precisions, { default: "fp32", help: "precision of the activations" }),
  device: device({ default: "cpu", help: "device to compute on" }),
} as const;

/** The options of `stf generate`, with their values. */
export type GenerateCommandOptions = Values<typeof generateFields>;

type Key = keyof GenerateCommandOptions;

const churn = ["S_churn", "S_min", "S_max", "S_noise"] as const;

/** The options that apply to some samplers only. */
const optionsOf: Readonly<Record<SamplerName, readonly Key[]>> = {
  heun: ["steps", "rho", "disc", "schedule", "scaling", ...churn],
  euler: ["steps", "rho", "disc", "schedule", "scaling", ...churn],
  "dpm++2m": ["steps", "rho", "disc"],
  "dpm++2m-sde": ["steps", "rho", "disc", "eta", "solverType"],
  rk45: ["schedule", "scaling", "rtol", "atol", "errorControl"],
  pc: ["steps", "process", "predictor", "corrector", "correctorSteps", "snr"],
};

/** The requested sampler, under either option name. */
export function samplerOf({ sampler, solver }: GenerateCommandOptions): SamplerName {
  return solver ?? sampler;
}

/** Number of steps: many for a chain that reverses a diffusion, few for a solver. */
export function stepCountOf(options: GenerateCommandOptions): number {
  return options.steps ?? (samplerOf(options) === "pc" ? DEFAULT_CHAIN : edmSchedule.steps);
}

/** @throws UsageError when two options exclude each other, or one has no effect in combination with the others. */
export function checkTogether(given: Partial<GenerateCommandOptions>, options: GenerateCommandOptions): void {
  checkPrecision(options);
  if (given.solver !== undefined && given.sampler !== undefined && given.solver !== given.sampler) {
    throw new UsageError(
      `'solver' is another name for 'sampler'; found 'solver=${given.solver}' and 'sampler=${given.sampler}'`,
    );
  }
  const sampler = samplerOf(options);
  const isUseless = (key: string): boolean =>
    Object.values(optionsOf).some((keys) => keys.includes(key as Key)) && !optionsOf[sampler].includes(key as Key);
  const useless = Object.keys(given).find(isUseless);
  if (useless !== undefined) {
    const owners = samplerNames.filter((name) => optionsOf[name].includes(useless as Key));
    throw new UsageError(
      `'${useless}' has no effect with 'sampler=${sampler}', only with ${owners.join(", ")}; leave it out`,
    );
  }
  const { range } = discretizations[options.disc];
  const [sigmaMin, sigmaMax] = [options.sigma_min ?? range.sigmaMin, options.sigma_max ?? range.sigmaMax];
  if (sigmaMin >= sigmaMax) {
    throw new UsageError(`'sigma_min' must be below 'sigma_max', found ${sigmaMin} and ${sigmaMax}`);
  }
  checkImageOptions(options);
  if (options.S_min > options.S_max) {
    throw new UsageError(`'S_min' must not be above 'S_max', found ${options.S_min} and ${options.S_max}`);
  }
  if (given.rho !== undefined && options.disc !== "edm") {
    throw new UsageError(`'rho' has no effect with 'disc=${options.disc}', only with edm; leave it out`);
  }
  if (sampler === "pc" && options.corrector === "none") {
    const idle = (["snr", "correctorSteps"] as const).find((key) => given[key] !== undefined);
    if (idle) throw new UsageError(`'${idle}' has no effect with 'corrector=none'; leave it out`);
    if (options.predictor === "none") throw new UsageError("'predictor' and 'corrector' must not both be none");
  }
  if (options.analyticData !== null && options.analyticAbove === "off") {
    throw new UsageError("'analyticData' has no effect with 'analyticAbove=off'; leave one of them out");
  }
  if (options.gnet !== null && options.guidance === 1) {
    throw new UsageError("'gnet' has no effect without a 'guidance' other than 1, such as 'guidance=2'");
  }
}

function checkImageOptions({ image, mask, colorize, fromSigma, sigma_max: sigmaMax }: GenerateCommandOptions): void {
  const uses = [mask !== null && "'mask'", colorize && "'colorize'", fromSigma !== null && "'fromSigma'"];
  const named = uses.filter((use) => use !== false);
  if (image === null && named.length > 0) throw new UsageError(`${named[0]} needs an 'image'`);
  if (image !== null && named.length === 0) {
    throw new UsageError("'image' needs 'mask' (inpainting), 'colorize', or 'fromSigma' (image to image)");
  }
  if (mask !== null && colorize) throw new UsageError("'mask' and 'colorize' exclude each other");
  if (fromSigma !== null && sigmaMax !== null) {
    throw new UsageError("'fromSigma' is the highest noise level; leave out 'sigma_max'");
  }
}

/** The options above their defaults that can make images overflow. */
export function extremeOptions(options: GenerateCommandOptions): string[] {
  const grow = ["sigma_max", "fromSigma", "S_churn", "S_noise", "eta", "snr", "correctorSteps", "guidance"] as const;
  const usual = { ...generateFields, sigma_max: { default: edmSchedule.sigmaMax } };
  return grow.filter((key) => (options[key] ?? 0) > (usual[key].default ?? 0)).map((key) => `'${key}=${options[key]}'`);
}

/** Notes on options that have no effect in combination with the others. */
export function withoutEffectIn(given: Partial<GenerateCommandOptions>, options: GenerateCommandOptions): string[] {
  const idle = churn.filter((key) => key !== "S_churn" && given[key] !== undefined);
  return [
    ...(options.S_churn === 0 && idle.length > 0
      ? [`${idle.map((key) => `'${key}'`).join(", ")} without effect, as noise is added only when 'S_churn' is above 0`]
      : []),
    ...precisionNotes(options),
  ];
}
