import { scope, type Tensor } from "@stf/torch";
import type { Sampler, SamplerOptions } from "./sampler.js";

/** How much noise is added back on the way (Karras et al. 2022, algorithm 2). */
export interface Churn {
  /** Amount over the whole trajectory; 0 is deterministic. */
  readonly amount: number;
  /** Noise is added only while sMin <= sigma <= sMax. */
  readonly sMin: number;
  /** The other end of that range. */
  readonly sMax: number;
  /** Standard deviation of the added noise. */
  readonly sNoise: number;
}

const NO_CHURN: Churn = { amount: 0, sMin: 0, sMax: Number.POSITIVE_INFINITY, sNoise: 1 };

/** What {@link heun} takes besides the steps. */
export interface HeunOptions extends SamplerOptions {
  /** The noise level that the network knows nearest to a raised one; the level itself when left out. */
  readonly round?: (sigma: number) => number;
  /** Needs `noise` too; none when left out. */
  readonly churn?: Churn;
}

/** EDM's sampler (Karras et al. 2022, algorithm 2): Heun's method on dx/dsigma = (x - D(x; sigma)) / sigma, with churn. */
export const heun: Sampler<HeunOptions> = {
  name: "heun",
  order: 2,
  sample(denoise, start, steps, { noise, churn = NO_CHURN, round = (sigma: number) => sigma, onStep } = {}) {
    const count = steps.length - 1;
    return scope(() => {
      let x: Tensor = start;
      for (let i = 0; i < count; i++) {
        const next = scope(() => {
          const t = steps[i] as number;
          const tNext = steps[i + 1] as number;

          // Raise the noise level a little, by fresh noise.
          const inRange = t >= churn.sMin && t <= churn.sMax;
          const gamma = inRange ? Math.min(churn.amount / count, Math.SQRT2 - 1) : 0;
          const tHat = round(t + gamma * t);
          const added = Math.sqrt(tHat ** 2 - t ** 2) * churn.sNoise;
          // Drawn at every step, also where none is added: a seed means the same noise whatever the window.
          const fresh = churn.amount > 0 ? noise?.(x) : undefined;
          const xHat = fresh ? x.add(fresh, { alpha: added }) : x;

          // Euler step.
          const dCur = xHat.sub(denoise(xHat, tHat)).div_(tHat);
          const xNext = xHat.add(dCur, { alpha: tNext - tHat });
          if (tNext === 0) return xNext;

          // Second-order correction.
          const dPrime = xNext.sub(denoise(xNext, tNext)).div_(tNext);
          return xHat.add(dCur.add_(dPrime), { alpha: (tNext - tHat) / 2 });
        });
        if (x !== start) x.dispose();
        x = next;
        onStep?.({ step: i, steps: count, x });
      }
      return x;
    });
  },
};
