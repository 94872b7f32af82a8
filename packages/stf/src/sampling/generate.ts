import { noGrad, scope, type Tensor } from "@stf/torch";
import { UsageError } from "../common/errors.js";
import { formatLevel } from "../common/text.js";
import type { Denoiser } from "../networks/denoiser.js";
import { type Conditions, oneHot } from "../networks/network.js";
import { nearestLevel } from "../preconditioning/iddpm.js";
import type { Preconditioning } from "../preconditioning/preconditioning.js";
import type { Process } from "../processes/process.js";
import type { NoiseRange } from "../processes/scheduled.js";
import type { Churn } from "./churn.js";
import { guided } from "./guidance.js";
import { type AnalyticPart, type ClassDenoise, handedOver } from "./hand-over.js";
import { heun } from "./heun.js";
import { denoiseKnowing, type KnownPart, withPart } from "./known-part.js";
import { SeededNoise } from "./noise.js";
import {
  type Denoise,
  forEachImage,
  type Sampler,
  type SamplerOptions,
  type StepReport,
  type TimeSteps,
} from "./sampler.js";
import { discretizations, edmSchedule, type KarrasOptions, timeSteps } from "./steps.js";

/** A sampler with everything it needs except a network, noise, and a start. */
export interface Method {
  /** Signal scale at the start. */
  readonly scale: number;
  /** Noise level at the start. */
  readonly sigma: number;
  /** The steps. */
  readonly steps: TimeSteps;
  /** {@link Sampler.sample} with the method's own steps and options. */
  sample(denoise: Denoise, x: Tensor, options: SamplerOptions): Tensor;
}

/** Combines a sampler, its steps and its options. */
export function methodOf<Options extends SamplerOptions, P extends Process>(
  sampler: Sampler<Options, P>,
  steps: TimeSteps<P>,
  own: Omit<Options, keyof SamplerOptions>,
): Method {
  const { process, times } = steps;
  const first = times[0] as number;
  return {
    scale: process.scale(first),
    sigma: process.sigma(first),
    steps,
    sample: (denoise, x, options) => sampler.sample(denoise, x, steps, { ...own, ...options } as Options),
  };
}

/** The network's noise level nearest to sigma. */
export function knownLevel({ levels }: Preconditioning, sigma: number): number {
  return levels ? (levels[nearestLevel(levels, sigma)] as number) : sigma;
}

/** The part of a range that a network covers. */
export function rangeWithin({ sigmaMin, sigmaMax }: NoiseRange, network: NoiseRange): NoiseRange {
  return { sigmaMin: Math.max(sigmaMin, network.sigmaMin), sigmaMax: Math.min(sigmaMax, network.sigmaMax) };
}

/** @throws UsageError when a network does not cover the noise levels of a process between two times. */
export function checkKnown(
  process: Process,
  { first, last }: { readonly first: number; readonly last: number },
  network: NoiseRange,
): void {
  const levels = [process.sigma(first), process.sigma(last)];
  const [low, high] = [Math.min(...levels), Math.max(...levels)];
  // Levels stored in float32 may be off by rounding.
  if (low >= network.sigmaMin * (1 - 1e-5) && high <= network.sigmaMax * (1 + 1e-5)) return;
  throw new UsageError(
    `the process ${process.name} has noise levels from ${formatLevel(low)} to ${formatLevel(high)}, and the network covers those from ${formatLevel(network.sigmaMin)} to ${formatLevel(network.sigmaMax)}; choose another 'process'`,
  );
}

/**
 * EDM's sampler and schedule ({@link heun}, {@link karrasSteps}), within the range of the network and on its noise levels,
 * if it has discrete ones.
 *
 * @throws UsageError unless steps >= 2 and 0 < sigmaMin < sigmaMax, within the network's range.
 */
export function edmMethod(
  preconditioning: Preconditioning,
  {
    steps = edmSchedule.steps,
    sigmaMin = edmSchedule.sigmaMin,
    sigmaMax = edmSchedule.sigmaMax,
    rho = edmSchedule.rho,
    churn,
  }: KarrasOptions & {
    /** Number of steps; the network is evaluated 2 steps - 1 times. */
    readonly steps?: number;
    /** Noise added between steps; none when left out. */
    readonly churn?: Churn;
  } = {},
): Method {
  const round = (sigma: number): number => knownLevel(preconditioning, sigma);
  const levels = discretizations.edm.levels(steps, rangeWithin({ sigmaMin, sigmaMax }, preconditioning), rho);
  return methodOf(heun, timeSteps(levels.map(round)), { round, ...(churn && { churn }) });
}

/** Guidance away from a weaker denoiser; see {@link guided}. */
export interface Guidance {
  /** 1: no guidance. */
  readonly weight: number;
  /** A weaker network; the network itself without a class when left out. */
  readonly by?: Denoiser | undefined;
}

/** Sampling failed: the images are not finite. */
export class SamplingError extends Error {
  override readonly name = "SamplingError";

  /**
   * @param found - what was found
   * @param advice - what somebody who draws images can do about it
   */
  constructor(
    readonly found: string,
    advice: string,
  ) {
    super(`${found}; ${advice}`);
  }
}

/** Options of {@link generateImages}. */
export interface GenerateOptions {
  /** The sampling method; {@link edmMethod} when left out. */
  readonly method?: Method | undefined;
  /** Class of each image, for a class-conditional network. When left out, each seed determines the class of its image. */
  readonly classes?: readonly number[] | undefined;
  /** Guidance; none when left out. */
  readonly guidance?: Guidance | undefined;
  /** A known part of the images. */
  readonly known?: KnownPart | undefined;
  /** The start, to which noise of the method's first level is added, float64 `[1, C, H, W]`; from noise alone when left out. */
  readonly from?: Tensor | undefined;
  /** Called after every step. */
  readonly onStep?: ((report: StepReport) => void) | undefined;
  /** What replaces the network at high noise; nothing when left out. */
  readonly analytic?: AnalyticPart | undefined;
  /** Called at each network evaluation of the batch, or of some of its images. */
  readonly onEvaluation?: (() => void) | undefined;
  /** Called at each evaluation of the analytic part. */
  readonly onAnalytic?: (() => void) | undefined;
}

/** The result of {@link generateImages}. */
export interface GeneratedImages {
  /** uint8 `[seeds.length, C, H, W]` */
  readonly images: Tensor;
  /** The class of each image, drawn or given; undefined when the network has no classes. */
  readonly classes: readonly number[] | undefined;
}

/** The network under fixed conditions, with the interface of samplers: float32 inside, float64 outside. */
export function denoiseWith(denoiser: Denoiser, conditions: Conditions = {}): Denoise {
  return (x, sigma) =>
    scope(() => {
      const levels = forEachImage(sigma, x.size(0));
      return denoiser.forward(x.float(), levels, conditions).double();
    });
}

/** {@link denoiseWith} for images of given classes. A network without classes ignores them. */
export function denoiseClasses(denoiser: Denoiser): ClassDenoise {
  const { labelDim, device } = denoiser;
  return (x, sigma, classes) =>
    scope(() => {
      const isTold = classes !== undefined && labelDim > 0;
      const labels = isTold ? oneHot(classes, labelDim, { dtype: "float32", device }) : undefined;
      return denoiseWith(denoiser, { labels })(x, sigma);
    });
}

/**
 * Draws one image per seed. An image depends only on its seed, not on the others in its batch.
 *
 * @param seeds - whole numbers; only the low 32 bits are used
 * @returns the images and their classes
 * @throws RangeError for a class that the network does not have; SamplingError when a pixel is not finite.
 */
export function generateImages(
  denoiser: Denoiser,
  seeds: readonly number[],
  options: GenerateOptions = {},
): GeneratedImages {
  const { method = edmMethod(denoiser.preconditioning), known, from, onStep } = options;
  const noise = new SeededNoise(seeds, denoiser.device);
  const { channels, height, width } = denoiser.shape;
  const size = [channels, height, width];
  try {
    return noGrad(() =>
      scope(() => {
        const start = noise.draw(size, "float32").double().mul_(method.sigma);
        if (from) start.add_(from);
        else if (known) start.add_(known.project(known.image));
        // From the same streams as the noise, after it, so that a seed gives the same image as in the published tools.
        const classes = denoiser.labelDim > 0 ? (options.classes ?? noise.integers(denoiser.labelDim)) : undefined;
        const told = classes && Int32Array.from(classes);
        const x = method.sample(conditionalDenoise(denoiser, told, options), start.mul_(method.scale), {
          noise: (like) => noise.draw(size, like.dtype),
          ...(onStep && { onStep }),
        });
        if (!x.isfinite().all().item()) {
          throw new SamplingError(
            "the images are not finite: they hold NaN or infinity",
            "lower the highest noise level, the churn or the guidance, and check that the network is sound",
          );
        }
        return { images: toBytes(known ? withPart(x, known) : x), classes };
      }),
    );
  } finally {
    noise.dispose();
  }
}

/** The denoiser with class, guidance, analytic part and known part applied. */
function conditionalDenoise(
  denoiser: Denoiser,
  classes: Int32Array | undefined,
  { guidance, known, analytic, onEvaluation, onAnalytic }: GenerateOptions,
): Denoise {
  const conditioned = (network: Denoiser, told: Int32Array | undefined): Denoise => {
    const denoise = denoiseClasses(network);
    const counted: ClassDenoise = (...input) => {
      onEvaluation?.();
      return denoise(...input);
    };
    // Of what the network is told. So above the hand-over nothing guides away from a network that is told the same.
    const composed = analytic ? handedOver(counted, analytic, onAnalytic) : counted;
    return (x, sigma) => composed(x, sigma, told);
  };
  let denoise = conditioned(denoiser, classes);
  if (guidance && guidance.weight !== 1) {
    const { weight, by } = guidance;
    const weak = by ? conditioned(by, by.labelDim > 0 ? classes : undefined) : conditioned(denoiser, undefined);
    denoise = guided(denoise, weak, weight);
  }
  return known ? denoiseKnowing(denoise, known) : denoise;
}

/** [-1, 1] to bytes: x 127.5 + 128, clipped and truncated, as the published tools do; uint8 of the same shape. */
export function toBytes(images: Tensor): Tensor {
  return scope(() => images.mul(127.5).add_(128).clamp_(0, 255).to({ dtype: "uint8" }).contiguous());
}
