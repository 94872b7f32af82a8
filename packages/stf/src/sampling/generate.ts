import { noGrad, scope, type Tensor } from "@stf/torch";
import type { ImageShape } from "../data/bank.js";
import type { Denoiser } from "../networks/denoiser.js";
import { type Conditions, oneHot } from "../networks/network.js";
import { nearestLevel, type Preconditioning } from "../networks/precondition.js";
import { type Churn, heun } from "./heun.js";
import { SeededNoise } from "./noise.js";
import type { Denoise, StepReport } from "./sampler.js";
import { type KarrasOptions, karrasSteps } from "./steps.js";

/** How {@link generateImages} samples. */
export interface GenerateOptions extends KarrasOptions {
  /** Number of steps; the network is evaluated 2 steps - 1 times. */
  readonly steps?: number;
  /** Noise that is added back on the way; none when left out. */
  readonly churn?: Churn;
  /** Class of each image, for a class-conditional network. Left out, each seed decides the class of its image. */
  readonly classes?: readonly number[] | undefined;
  /** Called after every step. */
  readonly onStep?: (report: StepReport) => void;
}

/** The network under fixed conditions as samplers call it: float32 inside, float64 outside. */
export function denoiseWith(denoiser: Denoiser, conditions: Conditions = {}): Denoise {
  return (x, sigma) =>
    scope(() => denoiser.forward(x.float(), new Float64Array(x.size(0)).fill(sigma), conditions).double());
}

/** The level that the network knows nearest to sigma. */
function knownLevel({ levels }: Preconditioning, sigma: number): number {
  return levels ? (levels[nearestLevel(levels, sigma)] as number) : sigma;
}

/** EDM's schedule inside the range of the network, on the levels that it knows when it knows only some. */
function noiseLevels(
  preconditioning: Preconditioning,
  steps: number,
  { sigmaMin, sigmaMax, rho }: Required<KarrasOptions>,
): number[] {
  const schedule = karrasSteps(steps, {
    sigmaMin: Math.max(sigmaMin, preconditioning.sigmaMin),
    sigmaMax: Math.min(sigmaMax, preconditioning.sigmaMax),
    rho,
  });
  return schedule.map((sigma) => knownLevel(preconditioning, sigma));
}

/**
 * Draws one image per seed with EDM's sampler and schedule ({@link heun}, {@link karrasSteps}). An image depends on its
 * seed alone, not on the others that are drawn with it.
 *
 * @param shape - of one image, as the network was built for
 * @param seeds - whole numbers, of which the low 32 bits count
 * @returns uint8 `[seeds.length, C, H, W]`
 * @throws UsageError unless steps >= 2 and 0 < sigmaMin < sigmaMax, within the network's range; RangeError for a class
 * that the network does not know.
 */
export function generateImages(
  denoiser: Denoiser,
  shape: ImageShape,
  seeds: readonly number[],
  { steps = 18, sigmaMin = 0.002, sigmaMax = 80, rho = 7, churn, classes, onStep }: GenerateOptions = {},
): Tensor {
  const { device, preconditioning } = denoiser;
  const levels = noiseLevels(preconditioning, steps, { sigmaMin, sigmaMax, rho });
  const noise = new SeededNoise(seeds, device);
  const size = [shape.channels, shape.height, shape.width];
  try {
    return noGrad(() =>
      scope(() => {
        const start = noise
          .draw(size, "float32")
          .double()
          .mul_(levels[0] as number);
        // From the same streams as the noise, after it: a seed then means the picture that the published tools draw for it.
        const { labelDim } = denoiser;
        const labels =
          labelDim > 0
            ? oneHot(classes ?? noise.integers(labelDim), labelDim, { dtype: "float32", device })
            : undefined;
        const x = heun.sample(denoiseWith(denoiser, { labels }), start, levels, {
          noise: (like) => noise.draw(size, like.dtype),
          round: (sigma) => knownLevel(preconditioning, sigma),
          ...(churn && { churn }),
          ...(onStep && { onStep }),
        });
        return toBytes(x);
      }),
    );
  } finally {
    noise.dispose();
  }
}

/** [-1, 1] to bytes: x 127.5 + 128, clipped and truncated, as the published tools do; uint8 of the same shape. */
export function toBytes(images: Tensor): Tensor {
  return scope(() => images.mul(127.5).add_(128).clamp_(0, 255).to({ dtype: "uint8" }).contiguous());
}
