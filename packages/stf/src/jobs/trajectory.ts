import { scope } from "@stf/torch";
import { tile } from "../codecs/grid.js";
import { imagesOf } from "../codecs/planes.js";
import type { ImageShape } from "../common/image-shape.js";
import type { Process } from "../processes/process.js";
import { toBytes } from "../sampling/generate.js";
import type { StepReport } from "../sampling/sampler.js";

const MOST_FRAMES = 60;

/** Approximate standard deviation of the pixels. */
const SIGMA_DATA = 0.5;

/** The images of a batch after each step, or after as many steps as an animation needs. */
export class TrajectoryFrames {
  /** All images side by side, bytes in the order C, H, W. */
  readonly frames: Uint8Array[] = [];
  /** Shape of a frame. */
  shape: ImageShape;
  readonly #process: Process;
  readonly #imageShape: ImageShape;

  constructor(process: Process, shape: ImageShape) {
    this.#process = process;
    this.shape = shape;
    this.#imageShape = shape;
  }

  /** Adds a frame, with the noise scaled down so that the contrast stays the same. */
  add({ x, time, progress }: StepReport): void {
    if (progress < 1 && progress < (this.frames.length + 1) / MOST_FRAMES) return;
    const { scale, sigma } = this.#process;
    const contrast = SIGMA_DATA / Math.hypot(SIGMA_DATA, sigma(time)) / scale(time);
    const images = scope(() => imagesOf(toBytes(x.mul(contrast))));
    const { planes, shape } = tile(images, this.#imageShape, Math.ceil(Math.sqrt(images.length)));
    this.frames.push(planes);
    this.shape = shape;
  }
}
