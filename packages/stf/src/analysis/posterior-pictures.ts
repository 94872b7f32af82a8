/** Noisy images with what could have produced them, and what targets and networks make of them: for people to look at. */

import { noGrad, scope, type Tensor } from "@stf/torch";
import { column } from "../column.js";
import type { Denoiser } from "../networks/denoiser.js";
import { oneHot } from "../networks/network.js";
import type { ReferenceCount } from "../run/variance-report.js";
import type { EmpiricalTruth } from "./empirical-truth.js";

/** An image that a noisy one may have come from. */
export interface PossibleSource {
  /** Bytes in the order C, H, W. */
  readonly image: Uint8Array;
  /** Its posterior probability. */
  readonly weight: number;
  /** Whether the noisy image was made from it. */
  readonly isSource: boolean;
}

/** One sample at one noise level. Images are bytes in the order C, H, W. */
export interface PosteriorView {
  /** Noise level. */
  readonly sigma: number;
  /** x, scaled so that its deviation is that of the data. */
  readonly noisy: Uint8Array;
  /** The target of each number of references. */
  readonly targets: readonly Uint8Array[];
  /** The most probable sources. */
  readonly nearest: readonly PossibleSource[];
  /** The output of each network. */
  readonly networks: readonly Uint8Array[];
}

/** Options of {@link posteriorViews}. */
export interface ViewOptions {
  /** Noise levels, `[L]`. */
  readonly sigma: Float64Array;
  /** Numbers of references. */
  readonly references: readonly ReferenceCount[];
  /** Networks whose outputs to show. */
  readonly denoisers: readonly Denoiser[];
  /** Number of sources shown. */
  readonly nearest: number;
}

/** Network input values as bytes, image by image. */
function bytesOf(values: Tensor): Uint8Array[] {
  const bytes = scope(() => values.add(1).mul(127.5).round().clamp(0, 255).to({ dtype: "uint8" }).toTypedArray());
  const size = values.size(1);
  return Array.from({ length: values.size(0) }, (_, i) => (bytes as Uint8Array).slice(i * size, (i + 1) * size));
}

/** A sample at several noise levels. */
export function posteriorViews(
  truth: EmpiricalTruth,
  sampleNumber: number,
  { sigma, references, denoisers, nearest }: ViewOptions,
): PosteriorView[] {
  const { bank, samples, variance } = truth;
  const { channels, height, width } = bank.shape;
  return noGrad(() =>
    scope(() => {
      const sample = truth.sample(sampleNumber, references);
      const { ray, source, own } = sample;
      const x = source.add(samples.noiseOf(sampleNumber).double().mul(column(sigma, source)));
      // Undoes the growth of the deviation, which would saturate most values.
      const noisy = bytesOf(
        x.mul(
          column(
            sigma.map((level) => 1 / Math.sqrt(1 + level ** 2 / Math.max(variance, 1e-6))),
            x,
          ),
        ),
      );
      const images = x.float().view([sigma.length, channels, height, width]);
      const label = bank.labels?.[sample.item];
      const outputs = denoisers.map((denoiser) => {
        const classes = new Int32Array(sigma.length).fill(label ?? 0);
        const labels = denoiser.labelDim > 0 ? oneHot(classes, denoiser.labelDim, images) : undefined;
        return bytesOf(denoiser.forward(images, sigma, { labels }).flatten(1));
      });
      return Array.from(sigma, (level, i) =>
        scope(() => {
          const logits = ray.logits(Float64Array.of(level));
          const weights = logits.softmax(1);
          const targets = sample.targets(logits, ray.mean(weights).double());
          const { values, indices } = topOf(weights, Math.min(nearest, sample.size));
          const shown = bytesOf(bank.toValues(bank.gather(ray.itemsAt(indices))));
          return {
            sigma: level,
            noisy: noisy[i] as Uint8Array,
            targets: targets.map((target) => bytesOf(target)[0] as Uint8Array),
            nearest: shown.map((image, k) => ({
              image,
              weight: values[k] as number,
              isSource: indices[k] === own,
            })),
            networks: outputs.map((output) => output[i] as Uint8Array),
          };
        }),
      );
    }),
  );
}

/** The largest of the weights of one level, `[1, n]`, and their positions, in descending order. */
function topOf(weights: Tensor, count: number): { readonly values: Float64Array; readonly indices: Int32Array } {
  const [values, indices] = weights.topk(count);
  return { values: values.toFloat64Array(), indices: Int32Array.from(indices.toFloat64Array()) };
}
