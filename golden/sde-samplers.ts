/** Samples of the probability flow and of predictor and corrector, with the exact score of a mixture. */

import { linspace, scope, type Tensor } from "@stf/torch";
import {
  type CorrectorName,
  type Denoise,
  estimateAt,
  type Predictor,
  type PredictorName,
  predictorCorrector,
  predictors,
  rk45,
  type Sampler,
  type SamplerOptions,
} from "stf";
import type { GoldenFile } from "./golden-file.js";
import { mixtureDenoiser, type Sde, sdeNamed, sdesOf } from "./sde.js";

const SAMPLE_TOLERANCE = 2e-4;

/** The tolerance for a solver whose steps are as short as its own tolerances require. */
export const solverTolerance = ({ rtol, atol }: { rtol: number; atol: number }): number => 100 * Math.max(rtol, atol);

/** A run of predictor and corrector, or of the probability flow. */
interface PublishedSdeRun {
  readonly sde?: string;
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
  const sdes = sdesOf(file, "sde");
  const denoise = mixtureDenoiser(file);
  for (const [name, run] of Object.entries(file.metadata<Record<string, PublishedSdeRun>>("runs"))) {
    const sde = sdeNamed(sdes, run.sde ?? name.replace(/^\w+\./, ""));
    const compare = run.predictor === undefined ? compareFlow : compareReverse;
    scope(() => compare(file, name, run, sde, denoise));
  }
}

function compareFlow(file: GoldenFile, name: string, run: PublishedSdeRun, { process }: Sde, denoise: Denoise): void {
  const steps = { process, times: [process.end, run.eps] };
  const start = file.tensor(`${name}.z`).double();
  const draw = (
    tolerance: Pick<PublishedSdeRun, "rtol" | "atol">,
  ): { images: Tensor; times: number[]; evaluations: number } => {
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
  const fair = solverTolerance(run);
  const { images, times, evaluations } = draw(run);
  file.compareAbsolute(`${name}.samples_float64`, images, file.tensor(`${name}.samples_float64`), 1e-7);
  file.compare(`${name}.step_times_float64`, times, file.tensor(`${name}.step_times_float64`), 1e-6);
  file.compareAbsolute(`${name}.nfe_float64`, [evaluations], file.tensor(`${name}.nfe_float64`), 0);
  file.compareAbsolute(`${name}.samples`, images, file.tensor(`${name}.samples`), fair);
  const tight = draw({ rtol: 1e-11, atol: 1e-11 }).images;
  file.compareAbsolute(`${name}.samples_exact`, tight, file.tensor(`${name}.samples_exact`), 1e-8);
  const last = (predictors["reverse-diffusion"] as Predictor)({
    process,
    x: images,
    t: run.eps,
    count: file.metadata<number>("N_ode"),
    score: estimateAt("score", denoise, process, images, run.eps),
    noise: (like) => like,
  });
  file.compareAbsolute(`${name}.denoised`, last.mean, file.tensor(`${name}.denoised`), fair);
}

function compareReverse(file: GoldenFile, name: string, run: PublishedSdeRun, sde: Sde, denoise: Denoise): void {
  const { process, priorDeviation } = sde;
  const predictor = predictorNames[run.predictor];
  if (predictor === undefined) throw new Error(`the predictor ${run.predictor} is unknown`);
  const start = file.tensor(`${name}.prior_draw`).double().mul(priorDeviation);
  // In float32, as published: rounding decides which step of a table a time belongs to.
  const times = [...linspace(process.end, run.eps, run.N).toFloat64Array()];
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
    const images = predictorCorrector.sample(
      denoise,
      start,
      { process, times },
      {
        predictor,
        corrector: run.corrector,
        correctorSteps: run.n_steps,
        snr: run.snr,
        flow: run.probability_flow,
        denoiseLast,
        perImage: false,
        noise,
      },
    );
    file.compare(`${name}.${what}`, images, file.tensor(`${name}.${what}`), SAMPLE_TOLERANCE);
  }
}
