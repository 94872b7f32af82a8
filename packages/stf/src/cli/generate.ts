/** `stf generate` */

import { dirname, join } from "node:path";
import { catchInterrupts, interruptCount } from "@stf/torch";
import { writeGrid, writePng } from "../images/png.js";
import { UsageError } from "../run/errors.js";
import { makeFolder } from "../run/folder.js";
import { formatDuration } from "../run/format.js";
import { generateImages } from "../sampling/generate.js";
import { loadSnapshot } from "../training/checkpoint.js";
import { checkDevice } from "./device.js";
import type { GenerateRequest } from "./generate-command.js";
import { imagesOf } from "./pictures.js";
import { StatusLine } from "./progress.js";

/** @throws UsageError when the network knows no such class. */
function checkClass(label: number | null, labelDim: number): void {
  if (label === null) return;
  if (labelDim === 0)
    throw new UsageError("--class needs a class-conditional network; this one was trained without --cond");
  if (label >= labelDim) throw new UsageError(`--class must be from 0 to ${labelDim - 1}, found ${label}`);
}

/** Runs the command. Returns the exit code. */
export function generate(options: GenerateRequest): number {
  if (options.outdir !== null) makeFolder(options.outdir);
  if (options.grid !== null) makeFolder(dirname(options.grid));
  checkDevice(options.device);
  const { denoiser, config } = loadSnapshot(options.network, { precision: options.precision, device: options.device });
  checkClass(options.class, denoiser.labelDim);
  const status = new StatusLine();
  const start = performance.now();
  const drawn: Uint8Array[] = [];
  catchInterrupts(true);
  for (let first = 0; first < options.seeds.length && interruptCount() === 0; first += options.batch) {
    const seeds = options.seeds.slice(first, first + options.batch);
    const images = generateImages(denoiser, config.shape, seeds, {
      steps: options.steps,
      classes: options.class === null ? undefined : seeds.map(() => options.class as number),
      sigmaMin: options.sigma_min,
      sigmaMax: options.sigma_max,
      rho: options.rho,
      churn: { amount: options.S_churn, sMin: options.S_min, sMax: options.S_max, sNoise: options.S_noise },
      onStep: ({ step, steps }) => {
        const done = first + (seeds.length * (step + 1)) / steps;
        const rate = done / ((performance.now() - start) / 1000);
        const left = formatDuration((options.seeds.length - done) / rate);
        status.update(
          `${Math.floor(done)} of ${options.seeds.length} images  ${rate.toFixed(1)} images/s  ${left} left`,
        );
      },
    });
    for (const [i, image] of imagesOf(images).entries()) {
      const name = `${String(seeds[i]).padStart(6, "0")}.png`;
      if (options.outdir !== null) writePng(join(options.outdir, name), image, config.shape);
      if (options.grid !== null) drawn.push(image);
    }
    images.dispose();
    if (!process.stdout.isTTY) status.print(`${first + seeds.length} of ${options.seeds.length} images`);
  }
  if (options.grid !== null && drawn.length > 0) writeGrid(options.grid, drawn, config.shape);
  const seconds = (performance.now() - start) / 1000;
  const evaluations = 2 * options.steps - 1;
  const places = [options.outdir, options.grid].filter((place) => place !== null).join(" and ");
  status.print(`images in ${places}; ${evaluations} network evaluations each, ${formatDuration(seconds)}`);
  return interruptCount() > 0 ? 130 : 0;
}
