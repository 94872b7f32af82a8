/** From the options of `stf generate` to a sampling method. */

import { UsageError } from "../common/errors.js";
import { formatLevel } from "../common/text.js";
import type { Preconditioning } from "../preconditioning/preconditioning.js";
import { discreteProcesses, discreteProcessFor, discreteProcessNames } from "../processes/by-name.js";
import { type NoiseRange, scheduledProcess } from "../processes/scheduled.js";
import { dpmSolver, sdeDpmSolver } from "../sampling/dpm-solver.js";
import { euler } from "../sampling/euler.js";
import { checkKnown, knownLevel, type Method, methodOf, rangeWithin } from "../sampling/generate.js";
import { heun } from "../sampling/heun.js";
import { predictorCorrector } from "../sampling/predictor-corrector.js";
import { rk45 } from "../sampling/rk45.js";
import { discretizations, evenSteps, timeSteps } from "../sampling/steps.js";
import { type GenerateCommandOptions, samplerOf, stepCountOf } from "./generate-options.js";

/** The requested range of noise levels, limited to those of the network. */
function rangeOf(options: GenerateCommandOptions, network: Preconditioning): NoiseRange {
  const { range } = discretizations[options.disc];
  const wanted = {
    sigmaMin: options.sigma_min ?? range.sigmaMin,
    sigmaMax: options.fromSigma ?? options.sigma_max ?? range.sigmaMax,
  };
  const found = rangeWithin(wanted, network);
  if (found.sigmaMin < found.sigmaMax) return found;
  if (options.fromSigma !== null && wanted.sigmaMin >= wanted.sigmaMax) {
    throw new UsageError(
      `'fromSigma' must be above the lowest noise level, ${formatLevel(wanted.sigmaMin)}, found ${formatLevel(wanted.sigmaMax)}; lower 'sigma_min' too`,
    );
  }
  throw new UsageError(
    `the noise levels must lie within the network's range, ${formatLevel(network.sigmaMax)} to ${formatLevel(network.sigmaMin)}; ` +
      `found ${formatLevel(wanted.sigmaMax)} to ${formatLevel(wanted.sigmaMin)}; change 'sigma_min', 'sigma_max' or 'fromSigma'`,
  );
}

function reverseDiffusion(options: GenerateCommandOptions, network: Preconditioning, range: NoiseRange): Method {
  const own = discreteProcessNames.find((known) => known === network.process.name);
  const name = options.process ?? own ?? "ve";
  const hasOwnLevels = !discreteProcesses[name].takesRange;
  if (hasOwnLevels && (options.sigma_min !== null || options.sigma_max !== null || options.fromSigma !== null)) {
    throw new UsageError(
      `the process ${name} has noise levels of its own; leave out 'sigma_min', 'sigma_max' and 'fromSigma', or use 'process=ve'`,
    );
  }
  const steps = stepCountOf(options);
  const process = discreteProcessFor(name, network.process, range);
  if (!(process.chainStep(process.end, steps).decay > 0)) {
    throw new UsageError(`the process ${name} needs more 'steps', found ${steps}`);
  }
  checkKnown(process, { first: process.end, last: process.earliestTime }, network);
  if (options.predictor === "ancestral" && process.chainStep(0, steps).posteriorDeviation === undefined) {
    throw new UsageError(`'predictor=ancestral' is not defined for the process ${name}; use euler-maruyama`);
  }
  const { predictor, corrector, correctorSteps, snr } = options;
  return methodOf(predictorCorrector, evenSteps(steps, process, process.earliestTime), {
    predictor,
    corrector,
    correctorSteps,
    snr,
  });
}

/**
 * The sampler that the options request, with its steps, limited to the network's noise levels.
 *
 * @throws UsageError when the combination is not possible.
 */
export function samplingMethod(options: GenerateCommandOptions, network: Preconditioning): Method {
  const range = rangeOf(options, network);
  const sampler = samplerOf(options);
  if (sampler === "pc") return reverseDiffusion(options, network, range);
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
      return methodOf(sdeDpmSolver, steps, { eta: options.eta, solverType: options.solverType });
    case "rk45": {
      const { rtol, atol, errorControl } = options;
      return methodOf(rk45, steps, { rtol, atol, control: errorControl === "image" ? "row" : "batch" });
    }
  }
}
