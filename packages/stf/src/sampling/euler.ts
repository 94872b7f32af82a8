import { addNoise, type ChurnOptions } from "./churn.js";
import { estimateAt, type Sampler, walk } from "./sampler.js";

/** Euler's method on the probability flow, with churn. Without, and with EDM's process, it is DDIM (Song et al. 2021). */
export const euler: Sampler<ChurnOptions> = {
  name: "euler",
  order: 1,
  sample: (denoise, start, { process, times }, options = {}) =>
    walk(
      start,
      times,
      (x, t, tNext) => {
        const { xHat, tHat } = addNoise(x, t, process, times.length - 1, options);
        const dCur = estimateAt("velocity", denoise, process, xHat, tHat);
        return xHat.add(dCur, { alpha: tNext - tHat });
      },
      options.onStep,
    ),
};
