import { scope, type Tensor } from "@stf/torch";
import { integrate, type Tolerances } from "./runge-kutta.js";
import { estimateAt, type Sampler, type SamplerOptions } from "./sampler.js";

/** Options of {@link rk45}. */
export interface Rk45Options extends SamplerOptions, Tolerances {}

/** The probability flow by an adaptive Runge-Kutta method. It chooses its own times between the first and the last given. */
export const rk45: Sampler<Rk45Options> = {
  name: "rk45",
  order: 5,
  sample: (denoise, start, { process, times }, { onStep, ...tolerances } = {}) =>
    scope(() => {
      const positive = times.filter((t) => t > 0);
      const [first, last] = [positive[0] as number, positive.at(-1) as number];
      const asImages = (y: Tensor): Tensor => y.view(start.shape);
      // Progress, measured in the logarithm of the noise level.
      const depth = (t: number): number => Math.log(process.sigma(first) / process.sigma(t));
      // A last step, to clean images, may follow.
      const share = times.at(-1) === 0 ? 0.99 : 1;
      let step = 0;
      const { y } = integrate(
        (t, state) => estimateAt("velocity", denoise, process, asImages(state), t).flatten(1),
        start.flatten(1),
        first,
        last,
        {
          ...tolerances,
          onStep(rowTimes, state) {
            const time = Math.max(...rowTimes);
            // Until every image has taken its first step there is nothing to tell.
            if (time === first) return;
            scope(() =>
              onStep?.({ step: step++, progress: share * (depth(time) / depth(last)), x: asImages(state), time }),
            );
          },
        },
      );
      const images = asImages(y);
      if (times.at(-1) !== 0) return images;
      const clean = images.add(estimateAt("velocity", denoise, process, images, last), { alpha: -last });
      onStep?.({ step, progress: 1, x: clean, time: 0 });
      return clean;
    }),
};
