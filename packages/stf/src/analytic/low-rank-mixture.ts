/**
 * Mixtures of Gaussians with low-rank covariances and an isotropic rest,
 *
 *     p(y) = sum_m pi_m N(y; mu_m, S_m),   S_m = U_m diag(lambda_m) U_m^T + v_m I,   U_m^T U_m = I,
 *
 * with U_m of shape [D, r]: along column j the variance is lambda_mj + v_m, across all columns v_m.
 *
 * With noise, x = y + sigma eps is a mixture with covariances S_m + sigma² I = U_m diag(lambda_m) U_m^T + tau_m I, tau_m =
 * v_m + sigma². For one component, without its index, and with d = x - mu, z = U^T d and g_j = lambda_j / (lambda_j + tau),
 * the Woodbury identity and the determinant lemma give
 *
 *     (S + sigma² I)^-1 = (I - U diag(g) U^T) / tau,
 *     ln det(S + sigma² I) = D ln tau + sum_j ln(1 + lambda_j / tau),
 *     ln N(x) = -1/2 [(|d|² - sum_j g_j z_j²) / tau + ln det(S + sigma² I) + D ln 2 pi].
 *
 * The posterior mean of the component, nu = x - sigma² (S + sigma² I)^-1 d, is
 *
 *     nu = mu + (v / tau) d + (sigma² / tau) U (g z),
 *
 * a sum of terms that are no larger than the result, so nothing cancels at high noise. Along column j it shrinks d by (v +
 * lambda_j) / (lambda_j + tau), the Wiener filter. With gamma_m = pi_m N_m(x) / p(x), the denoiser is D* = sum_m gamma_m
 * nu_m.
 *
 * Products with U are in the wider dtype of x and U, everything else is float64: the exponents of the gamma_m are in the
 * hundreds.
 */

import { type Device, type DType, elementSize, keep, noGrad, scope, type Tensor, tensor } from "@stf/torch";
import { column } from "../column.js";
import type { ImageShape } from "../common/image-shape.js";
import { type AnalyticDenoiser, dimensionOf, rowsOf } from "./analytic-denoiser.js";

/** K Gaussians with at most r directions each. Those with fewer have variances of 0 in the others. */
export interface MixtureParameters {
  /** C, H, W; D is their product. */
  readonly shape: ImageShape;
  /** The noise level at which the mixture was fitted. */
  readonly sigmaFloor: number;
  /** Number of images that each component stands for, proportional to pi_m, `[K]`. */
  readonly counts: Float64Array;
  /** mu_m, float64 `[K, D]` */
  readonly means: Tensor;
  /** U_m^T, rows of norm 1 at right angles, float32 or float64 `[K, r, D]`; r may be 0 */
  readonly directions: Tensor;
  /** lambda_m, the variances along the directions above those of the rest, float64 `[K, r]` */
  readonly variances: Tensor;
  /** v_m, the variance of the rest, float64 `[K]` */
  readonly rest: Tensor;
}

/** What the closed forms at B points share. */
interface Projection {
  /** x - c, with c the mean of the mixture, float64 `[B, D]` */
  readonly centred: Tensor;
  /** sigma², `[B, 1]` */
  readonly noise: Tensor;
  /** tau_m, `[B, K]` */
  readonly total: Tensor;
  /** g_mj, `[B, K, r]` */
  readonly shares: Tensor;
  /** z_mj, `[B, K, r]` */
  readonly coordinates: Tensor;
  /** ln of pi_m N_m(x), `[B, K]` */
  readonly logits: Tensor;
}

const widerOf = (a: DType, b: DType): DType => (a === "float64" || b === "float64" ? "float64" : "float32");

/** The components that images belong to; see {@link LowRankMixture.responsibilities}. */
export interface Responsibilities {
  /** The probability of each component, `[B, K]`. */
  readonly probabilities: Tensor;
  /** A lower bound of E_eps ln p(y + sigma eps), `[B]`. */
  readonly bound: Tensor;
}

/**
 * A mixture of Gaussians with low-rank covariances and an isotropic rest, and its closed forms at any noise level.
 * Gradients flow through all of them. A call takes about 4 B K r D operations, for ten components with 64 directions of 32
 * x 32 colour images 8 million for each image.
 */
export class LowRankMixture implements AnalyticDenoiser {
  /** Weights, means, directions and variances of its components. */
  readonly parameters: MixtureParameters;
  readonly shape: ImageShape;
  readonly sigmaFloor: number;
  /** ln pi_m, `[K]` */
  readonly #logWeights: Tensor;
  /** c = sum_m pi_m mu_m, `[1, D]` */
  readonly #centre: Tensor;
  /** mu_m - c, `[K, D]` */
  readonly #offsets: Tensor;
  /** U_m^T (mu_m - c), `[K, r]` */
  readonly #places: Tensor;

  /** @param parameters - the mixture takes ownership of the tensors, which are on one device */
  constructor(parameters: MixtureParameters) {
    const { shape, sigmaFloor, counts, means, directions } = parameters;
    this.parameters = parameters;
    this.shape = shape;
    this.sigmaFloor = sigmaFloor;
    const all = counts.reduce((sum, count) => sum + count, 0);
    const [logWeights, centre, offsets, places] = noGrad(() =>
      scope(() => {
        const weights = tensor(
          counts.map((count) => count / all),
          { device: means.device },
        );
        const average = weights.unsqueeze(0).mm(means);
        const away = means.sub(average);
        const along = directions.double().matmul(away.unsqueeze(2)).squeeze(2);
        return [weights.log(), average, away, along] as const;
      }),
    );
    this.#logWeights = keep(logWeights);
    this.#centre = keep(centre);
    this.#offsets = keep(offsets);
    this.#places = keep(places);
    for (const each of [means, directions, parameters.variances, parameters.rest]) keep(each);
  }

  /** K */
  get components(): number {
    return this.parameters.counts.length;
  }

  get #tensors(): readonly Tensor[] {
    const { means, directions, variances, rest } = this.parameters;
    return [means, directions, variances, rest, this.#logWeights, this.#centre, this.#offsets, this.#places];
  }

  get bytes(): number {
    return this.#tensors.reduce((sum, each) => sum + each.numel * elementSize(each.dtype), 0);
  }

  /** A copy of the mixture on another device. */
  to(device: Device): LowRankMixture {
    const { means, directions, variances, rest } = this.parameters;
    const copy = (each: Tensor): Tensor => each.to({ device, copy: true });
    return scope(
      () =>
        new LowRankMixture({
          ...this.parameters,
          means: copy(means),
          directions: copy(directions),
          variances: copy(variances),
          rest: copy(rest),
        }),
    );
  }

  denoise(x: Tensor, sigma: Float64Array): Tensor {
    return scope(() => {
      const { shift } = this.#posteriorMean(x, sigma);
      return shift.add(this.#centre).to({ dtype: x.dtype }).view(x.shape);
    });
  }

  score(x: Tensor, sigma: Float64Array): Tensor {
    return scope(() => {
      const { shift, centred, noise } = this.#posteriorMean(x, sigma);
      return shift.sub(centred).div(noise).to({ dtype: x.dtype }).view(x.shape);
    });
  }

  logDensity(x: Tensor, sigma: Float64Array): Tensor {
    return scope(() => this.#project(rowsOf(this.shape, x, sigma), sigma).logits.logsumexp(1));
  }

  /**
   * The probability of each component given a clean image and the level of the noise on it, `[B, K]` float64: proportional
   * to pi_m exp E_eps ln N_m(y + sigma eps). The expectation over the noise is ln N_m(y) - sigma²/2 tr (S_m + sigma² I)^-1,
   * with both at that level. See fit-mixture.ts.
   *
   * @param y - images as rows, `[B, D]`
   * @returns also the logarithm of the normalising sums, `[B]`: a lower bound of E_eps ln p(y + sigma eps)
   */
  responsibilities(y: Tensor, sigma: number): Responsibilities {
    return scope(() => {
      const levels = new Float64Array(y.size(0)).fill(sigma);
      const { logits, noise, total, shares } = this.#project(y, levels);
      const trace = shares.sum(2).neg().add(dimensionOf(this.shape)).div(total);
      const expected = logits.sub(trace.mul(noise).mul(0.5));
      return { probabilities: expected.softmax(1), bound: expected.logsumexp(1) };
    });
  }

  /** D* - c, float64 `[B, D]`, and what it was computed from. */
  #posteriorMean(x: Tensor, sigma: Float64Array): Projection & { readonly shift: Tensor } {
    const { directions, rest } = this.parameters;
    const projection = this.#project(rowsOf(this.shape, x, sigma), sigma);
    const { centred, noise, total, shares, coordinates, logits } = projection;
    // gamma / tau, and gamma sigma² / tau
    const inverses = logits.softmax(1).div(total);
    const towards = inverses.mul(noise);
    const along = towards.unsqueeze(2).mul(shares).mul(coordinates).flatten(1);
    const dtype = widerOf(x.dtype, directions.dtype);
    const turned = along.to({ dtype }).mm(directions.flatten(0, 1).to({ dtype })).double();
    const isotropic = centred.mul(inverses.mul(rest).sum(1, true));
    return { ...projection, shift: towards.mm(this.#offsets).add(isotropic).add(turned) };
  }

  #project(x: Tensor, sigma: Float64Array): Projection {
    const { directions, variances, rest } = this.parameters;
    const D = dimensionOf(this.shape);
    const centred = x.double().sub(this.#centre);
    const noise = column(
      sigma.map((level) => level ** 2),
      centred,
    );
    const dtype = widerOf(x.dtype, directions.dtype);
    const products = centred.to({ dtype }).mm(directions.flatten(0, 1).to({ dtype }).t()).double();
    const coordinates = products.view([x.size(0), ...variances.shape]).sub(this.#places);
    const total = noise.add(rest);
    const ratios = variances.div(total.unsqueeze(2));
    const shares = ratios.div(ratios.add(1));
    // |x - mu|² from products with float64's rounding, without [B, K, D] numbers.
    const squares = centred
      .square()
      .sum(1, true)
      .sub(centred.mm(this.#offsets.t()).mul(2))
      .add(this.#offsets.square().sum(1));
    const distance = squares.sub(shares.mul(coordinates.square()).sum(2)).div(total);
    const determinant = total
      .mul(2 * Math.PI)
      .log()
      .mul(D)
      .add(ratios.log1p().sum(2));
    const logits = this.#logWeights.sub(distance.add(determinant).mul(0.5));
    return { centred, noise, total, shares, coordinates, logits };
  }

  dispose(): void {
    for (const each of this.#tensors) each.dispose();
  }
}
