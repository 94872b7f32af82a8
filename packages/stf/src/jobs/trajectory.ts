import { scope } from "@stf/torch";
import { tile } from "../codecs/grid.js";
import { imagesOf } from "../codecs/planes.js";
import type { ImageShape } from "../common/image-shape.js";
import type { Process } from "../processes/process.js";
import { toBytes } from "../sampling/generate.js";
import type { StepReport } from "../sampling/sampler.js";
import { gatherBytes } from "./gathered.js";
import type { Team } from "./team.js";

const MOST_FRAMES = 60;

/** Approximate standard deviation of the pixels. */
const SIGMA_DATA = 0.5;

/** The images of a batch after each step, or after as many steps as an animation needs. */
export class TrajectoryFrames {
  /** The images of each frame. */
  #steps: (readonly Uint8Array[])[] = [];
  readonly #process: Process;
  readonly #shape: ImageShape;

  constructor(process: Process, shape: ImageShape) {
    this.#process = process;
    this.#shape = shape;
  }

  #tiled(images: readonly Uint8Array[]): ReturnType<typeof tile> {
    return tile(images, this.#shape, Math.ceil(Math.sqrt(images.length)));
  }

  /** All images side by side, bytes in the order C, H, W. */
  get frames(): Uint8Array[] {
    return this.#steps.map((images) => this.#tiled(images).planes);
  }

  /** Shape of a frame. */
  get shape(): ImageShape {
    const [images] = this.#steps;
    return images ? this.#tiled(images).shape : this.#shape;
  }

  /** Adds a frame, with the noise scaled down so that the contrast stays the same. */
  add({ x, time, progress }: StepReport): void {
    if (progress < 1 && progress < (this.#steps.length + 1) / MOST_FRAMES) return;
    const { scale, sigma } = this.#process;
    const contrast = SIGMA_DATA / Math.hypot(SIGMA_DATA, sigma(time)) / scale(time);
    this.#steps.push(scope(() => imagesOf(toBytes(x.mul(contrast)))));
  }

  /**
   * Adds the images of the processes that draw the others, in their order. Where a sampler that chooses its steps takes fewer in one of
   * them, its images stay as they are in the end.
   */
  gather(team: Team): void {
    const size = this.#shape.channels * this.#shape.height * this.#shape.width;
    const count = Math.max(...team.gather(this.#steps.length));
    const steps = Array.from({ length: count }, (_, k) => this.#steps[Math.min(k, this.#steps.length - 1)] ?? []);
    const own = Array.from(steps[0] ?? [], (_, i) => Buffer.concat(steps.map((images) => images[i] as Uint8Array)));
    const all = gatherBytes(own, team);
    this.#steps = steps.map((_, k) => all.map((image) => image.subarray(k * size, (k + 1) * size)));
  }
}
