/** Sample images that a training draws with its network, during training and at the end. */

import { isOutOfMemory } from "@stf/torch";
import { writeGrid } from "../codecs/grid.js";
import { imagesOf } from "../codecs/planes.js";
import { isFileProblem, problemOf } from "../common/folders.js";
import { formatDuration } from "../common/text.js";
import type { Denoiser } from "../networks/denoiser.js";
import { samplesPath } from "../run/files.js";
import { generateImages } from "../sampling/generate.js";
import type { Progress } from "../training/loop.js";
import type { TrainingState } from "../training/state.js";
import type { TrainingSettings } from "../training/step.js";
import { checkStop, type JobContext, Stopped } from "./context.js";

/** Images in a row. */
const COLUMNS = 8;
/** Rows for a network without classes, or with more classes than this. */
const ROWS = { plain: 8, most: 16 } as const;
/** Network evaluations per image; see `edmMethod`. */
const EVALUATIONS = 35;
/** Time of a training step per image, relative to a network evaluation. */
const STEP_COST = 3;
/** Fraction of the time that samples may take during training. */
const BUDGET = 0.04;

/** Samples: their path, or why there are none; neither if drawing was stopped. */
export interface Drawn {
  readonly path?: string;
  readonly problem?: string;
}

/** Draws grids with the networks of one training into its run folder. */
export class TrainingSamples {
  readonly #folder: string;
  readonly #halflife: number;
  readonly #classNames: readonly string[] | undefined;
  readonly #context: JobContext;
  #imagesPerSecond = 0;
  /** When samples were last drawn. */
  #since: number;

  constructor(
    folder: string,
    { ema }: TrainingSettings,
    classNames: readonly string[] | undefined,
    context: JobContext,
  ) {
    this.#folder = folder;
    this.#halflife = ema.halflife;
    this.#classNames = classNames;
    this.#context = context;
    this.#since = context.now();
  }

  /** Called after every step. */
  onStep({ imagesPerSecond }: Progress): void {
    this.#imagesPerSecond = imagesPerSecond;
  }

  /**
   * Draws as many rows as the time since the last samples allows, with the averaged weights, and early in training, when these
   * lag far behind, also with the raw ones.
   */
  drawOnTheWay(state: TrainingState): void {
    const { now } = this.#context;
    const isEarly = state.images < 4 * this.#halflife;
    const affordable = (BUDGET * (now() - this.#since) * STEP_COST * this.#imagesPerSecond) / EVALUATIONS;
    const rows = Math.min(this.#rowsOf(state.averaged), Math.floor(affordable / COLUMNS / (isEarly ? 2 : 1)));
    if (rows < 1) return;
    const drawn = [this.#grid(state.averaged, state.images, "averaged", rows)];
    if (isEarly) {
      state.network.eval();
      drawn.push(this.#grid(state.network, state.images, "raw", rows));
      state.network.train();
    }
    for (const { problem } of drawn) if (problem !== undefined) this.#context.reporter.warn(problem);
    this.#since = now();
  }

  /** Draws with the averaged weights at the end. */
  draw({ averaged, images }: TrainingState): Drawn {
    return this.#grid(averaged, images, "averaged", this.#rowsOf(averaged));
  }

  #rowsOf({ labelDim }: Denoiser): number {
    return labelDim > 0 ? Math.min(labelDim, ROWS.most) : ROWS.plain;
  }

  #grid(denoiser: Denoiser, images: number, weights: "averaged" | "raw", rows: number): Drawn {
    const { reporter, now } = this.#context;
    const seeds = Array.from({ length: rows * COLUMNS }, (_, i) => i);
    const path = samplesPath(this.#folder, images, weights);
    const start = now();
    try {
      const { images: drawn } = generateImages(denoiser, seeds, {
        classes: seeds.map((seed) => Math.floor(seed / COLUMNS)),
        onStep: ({ progress }) => {
          checkStop(this.#context);
          reporter.update(`drawing ${seeds.length} images: ${Math.floor(100 * progress)} %`);
        },
      });
      writeGrid(path, imagesOf(drawn), denoiser.shape, COLUMNS);
      drawn.dispose();
    } catch (error) {
      reporter.clear();
      if (error instanceof Stopped) return {};
      if (isFileProblem(error)) return { problem: `the samples ${path} cannot be written: ${problemOf(error)}` };
      if (!isOutOfMemory(error)) throw error;
      return {
        problem: `there is not enough memory to draw ${seeds.length} images at once; draw them with stf generate and 'batch=4'`,
      };
    }
    const names = this.#classNames?.slice(0, rows).join(", ");
    const perClass = denoiser.labelDim > 0 ? `, a row per class${names === undefined ? "" : ` (${names})`},` : "";
    reporter.print(
      `drew ${seeds.length} images with the ${weights} weights${perClass} in ${formatDuration(now() - start)}: ${path}`,
    );
    return { path };
  }
}
