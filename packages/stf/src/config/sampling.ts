/** Options of `stf generate` as a method. */

import type { NetworkConfig } from "../networks/build.js";
import type { Preconditioning } from "../networks/precondition.js";
import { type DiscreteProcess, subVpProcess, veProcess, vpProcess } from "../processes/process.js";
import { type NoiseRange, scheduledProcess } from "../processes/schedules.js";
import { UsageError } from "../run/errors.js";
import { formatLevel } from "../run/format.js";
import { dpmSolver, sdeDpmSolver } from "../sampling/dpm-solver.js";
import { euler } from "../sampling/euler.js";
import { checkKnown, knownLevel, type Method, methodOf, rangeWithin } from "../sampling/generate.js";
import { heun } from "../sampling/heun.js";
import { predictorCorrector } from "../sampling/predictor-corrector.js";
import { rk45 } from "../sampling/rk45.js";
import { discretizations, evenSteps, timeSteps } from "../sampling/steps.js";
import { type GenerateCommandOptions, samplerOf, stepCountOf } from "./generate-options.js";

/** The last time at which reverse diffusion evaluates the network, as published. */
const lastTimes = { ve: 1e-5, vp: 1e-3, subvp: 1e-3 } as const;

/** The range of noise levels that is asked for, as far as the network knows it. */
function rangeOf(options: GenerateCommandOptions, network: Preconditioning): NoiseRange {
  const { range } = discretizations[options.disc];
  const wanted = {
    sigmaMin: options.sigma_min ?? range.sigmaMin,
    sigmaMax: options.fromSigma ?? options.sigma_max ?? range.sigmaMax,
  };
  const found = rangeWithin(wanted, network);
  if (found.sigmaMin < found.sigmaMax) return found;
  throw new UsageError(
    `the noise must fall between levels that the network knows, ${formatLevel(network.sigmaMax)} to ${formatLevel(network.sigmaMin)}; ` +
      `asked for was ${formatLevel(wanted.sigmaMax)} down to ${formatLevel(wanted.sigmaMin)}: change 'sigma_min', 'sigma_max' or 'fromSigma'`,
  );
}

function reverseDiffusion(
  options: GenerateCommandOptions,
  network: Preconditioning,
  { precond }: NetworkConfig,
  range: NoiseRange,
): Method {
  const name = options.process ?? (precond === "vp" || precond === "subvp" ? precond : "ve");
  if (name !== "ve" && (options.sigma_min !== null || options.sigma_max !== null || options.fromSigma !== null)) {
    throw new UsageError(
      `the process ${name} has noise levels of its own; leave out 'sigma_min', 'sigma_max' and 'fromSigma', or take 'process=ve'`,
    );
  }
  const steps = stepCountOf(options);
  const processes: Record<typeof name, () => DiscreteProcess> = {
    ve: () => veProcess(range),
    vp: vpProcess,
    subvp: subVpProcess,
  };
  const process = processes[name]();
  if (!(process.chainStep(process.end, steps).decay > 0)) {
    throw new UsageError(`the process ${name} needs more 'steps', found ${steps}`);
  }
  checkKnown(process, { first: process.end, last: lastTimes[name] }, network);
  if (options.predictor === "ancestral" && process.chainStep(0, steps).posteriorDeviation === undefined) {
    throw new UsageError(`'predictor=ancestral' is not defined for the process ${name}; take euler-maruyama`);
  }
  const { predictor, corrector, correctorSteps, snr } = options;
  return methodOf(predictorCorrector, evenSteps(steps, process, lastTimes[name]), {
    predictor,
    corrector,
    correctorSteps,
    snr,
  });
}

/**
 * The sampler that the options ask for, with its steps, inside what the network knows.
 *
 * @throws UsageError when there is no such way.
 */
export function samplingMethod(
  options: GenerateCommandOptions,
  network: Preconditioning,
  config: NetworkConfig,
): Method {
  const range = rangeOf(options, network);
  const sampler = samplerOf(options);
  if (sampler === "pc") return reverseDiffusion(options, network, config, range);
  const process = scheduledProcess(options.schedule, options.scaling, range);
  const round = (sigma: number): number => knownLevel(network, sigma);
  const placed = discretizations[options.disc].levels(stepCountOf(options), range, options.rho);
  const steps = timeSteps(placed.map(round), process);
  const churn = { amount: options.S_churn, sMin: options.S_min, sMax: options.S_max, sNoise: options.S_noise };
  switch (sampler) {
    case "heun":
      return methodOf(heun, steps, { round, churn });
    case "euler":
      return methodOf(euler, steps, { round, churn });
    case "dpm++2m":
      return methodOf(dpmSolver, steps, {});
    case "dpm++2m-sde":
      return methodOf(sdeDpmSolver, steps, { eta: options.eta });
    case "rk45": {
      const { rtol, atol, errorControl } = options;
      return methodOf(rk45, steps, { rtol, atol, control: errorControl === "image" ? "row" : "batch" });
    }
  }
}
