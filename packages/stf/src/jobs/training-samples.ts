/** Sample images that a training draws with its network, during training and at the end. */

import { isOutOfMemory, releaseFreeMemory } from "@stf/torch";
import { writeGrid } from "../codecs/grid.js";
import { imagesOf } from "../codecs/planes.js";
import { isFileProblem, problemOf } from "../common/folders.js";
import { formatDuration, listed } from "../common/text.js";
import type { Denoiser } from "../networks/denoiser.js";
import { PASSES_PER_STEP } from "../networks/flops.js";
import { samplesPath } from "../run/files.js";
import { edmMethod, generateImages, SamplingError } from "../sampling/generate.js";
import type { AnalyticPart } from "../sampling/hand-over.js";
import type { Progress } from "../training/loop.js";
import type { TrainingState } from "../training/state.js";
import type { TrainingSettings } from "../training/step.js";
import { checkStop, type JobContext, Stopped } from "./context.js";

/** Images in a row. */
const COLUMNS = 8;
/** Rows for a network without classes, or with more classes than this. */
const ROWS = { plain: 8, most: 16 } as const;
const REHEARSED_STEPS = 2;
/** Network evaluations per image; see `edmMethod`. */
const EVALUATIONS = 35;
/** Fraction of the time that samples may take during training. */
const BUDGET = 0.04;
/** Fraction of the training's time that the samples at the end may take. */
const LAST_BUDGET = 0.1;
/** Seconds that they may always take. */
const LEAST_SECONDS = 10;
/** Drawing that takes longer is announced, in seconds. */
const ANNOUNCED = 5;

/** Rows and columns of a grid. */
interface Grid {
  readonly rows: number;
  readonly columns: number;
}

const clamp = (columns: number): number => Math.min(Math.max(columns, 1), COLUMNS);

const counted = (images: number): string => `${images} ${images === 1 ? "image" : "images"}`;

/**
 * The largest grid of at most `affordable` images, and at least one. A network with classes keeps its rows, one per class, as long
 * as there is an image for each.
 */
export function gridWithin(affordable: number, rows: number, hasClasses: boolean): Grid {
  const most = Math.max(1, Math.floor(affordable));
  if (hasClasses) return { rows: Math.min(rows, most), columns: clamp(Math.floor(most / rows)) };
  return { rows: Math.min(rows, Math.max(1, Math.floor(most / COLUMNS))), columns: clamp(most) };
}

/** Samples: their path, or why there are none; neither if drawing was stopped. */
export interface Drawn {
  readonly path?: string;
  readonly problem?: string;
}

/** The number of images that a training draws at once at most. */
export const mostDrawn = (labelDim: number): number =>
  COLUMNS * (labelDim > 0 ? Math.min(labelDim, ROWS.most) : ROWS.plain);

/** Draws grids with the networks of one training into its run folder. */
export class TrainingSamples {
  readonly #folder: string;
  readonly #halflife: number;
  readonly #classNames: readonly string[] | undefined;
  readonly #analytic: () => AnalyticPart | undefined;
  readonly #context: JobContext;
  readonly #onDrawn: (path: string) => void;
  /** Seconds of training so far. */
  #elapsed = 0;
  /** Seconds to draw an image; estimated from the speed of training until some have been drawn. */
  #secondsPerImage = 0;
  #isMeasured = false;
  /** Rows for which there is enough memory, as far as that is known. */
  #most: number = ROWS.most;
  /** When samples were last drawn. */
  #since: number;

  /**
   * @param analytic - what replaces the network at high noise at the time of drawing
   * @param onDrawn - receives the path of each grid
   */
  constructor(
    folder: string,
    { halflife }: TrainingSettings["ema"],
    classNames: readonly string[] | undefined,
    analytic: () => AnalyticPart | undefined,
    context: JobContext,
    onDrawn: (path: string) => void = () => {},
  ) {
    this.#folder = folder;
    this.#halflife = halflife;
    this.#classNames = classNames;
    this.#analytic = analytic;
    this.#context = context;
    this.#onDrawn = onDrawn;
    this.#since = context.now();
  }

  /** Called after every step. */
  onStep({ imagesPerSecond, elapsed }: Progress): void {
    this.#elapsed = elapsed;
    if (!this.#isMeasured) this.#secondsPerImage = EVALUATIONS / (PASSES_PER_STEP * imagesPerSecond);
  }

  /**
   * Draws as many rows as the time since the last samples allows, with the averaged weights, and early in training, when these
   * lag far behind, also with the raw ones.
   */
  drawOnTheWay(state: TrainingState): void {
    const { now } = this.#context;
    const isEarly = state.images < 4 * this.#halflife;
    const affordable = (BUDGET * (now() - this.#since)) / this.#secondsPerImage;
    const rows = Math.min(this.#rowsOf(state.averaged), Math.floor(affordable / COLUMNS / (isEarly ? 2 : 1)));
    if (!(rows >= 1)) return;
    const grid = { rows, columns: COLUMNS };
    const drawn = [this.#grid(state.averaged, state.images, "averaged", grid)];
    if (isEarly) {
      state.network.eval();
      drawn.push(this.#grid(state.network, state.images, "raw", grid));
      state.network.train();
    }
    for (const { problem } of drawn) if (problem !== undefined) this.#context.reporter.warn(problem);
    this.#since = now();
  }

  /** Draws with the averaged weights at the end: as many images as a tenth of the training's time allows, or ten seconds. */
  draw({ averaged, images }: TrainingState): Drawn {
    const { reporter } = this.#context;
    const all = this.#rowsOf(averaged);
    // Without a step the speed is unknown, and the images are noise.
    const affordable =
      this.#secondsPerImage > 0
        ? Math.max(LAST_BUDGET * this.#elapsed, LEAST_SECONDS) / this.#secondsPerImage
        : COLUMNS;
    const grid = gridWithin(affordable, all, averaged.labelDim > 0);
    const count = grid.rows * grid.columns;
    const why = count < all * COLUMNS ? `, not ${all * COLUMNS}, to take at most a tenth of the training's time` : "";
    const seconds = this.#secondsPerImage * count;
    if (why !== "" || seconds >= ANNOUNCED) {
      reporter.print(`drawing ${counted(count)}${why}: about ${formatDuration(Math.max(seconds, 1))}`);
    }
    return this.#grid(averaged, images, "averaged", grid);
  }

  /**
   * Draws the largest grid in very few steps, which takes as much memory as a whole drawing. If there is not enough, grids are smaller
   * from then on: samples are no reason not to train.
   */
  rehearse({ averaged }: TrainingState): void {
    const all = this.#rowsOf(averaged);
    while (!this.#isPossible(averaged, this.#rowsOf(averaged)) && this.#most > 1) {
      this.#most = Math.floor(Math.min(this.#most, all) / 2);
    }
    const rows = this.#rowsOf(averaged);
    if (rows === all) return;
    this.#context.reporter.print(
      `note        there is not enough memory to draw ${all * COLUMNS} images at once: samples are at most ${rows * COLUMNS}`,
    );
  }

  /** Whether there is enough memory to draw so many rows. */
  #isPossible(averaged: Denoiser, rows: number): boolean {
    const seeds = Array.from({ length: rows * COLUMNS }, (_, i) => i);
    try {
      generateImages(averaged, seeds, {
        classes: seeds.map((seed) => Math.floor(seed / COLUMNS)),
        method: edmMethod(averaged.preconditioning, { steps: REHEARSED_STEPS }),
      }).images.dispose();
      return true;
    } catch (error) {
      if (!isOutOfMemory(error)) throw error;
      return false;
    } finally {
      releaseFreeMemory();
    }
  }

  #rowsOf({ labelDim }: Denoiser): number {
    return Math.min(mostDrawn(labelDim) / COLUMNS, this.#most);
  }

  #grid(denoiser: Denoiser, images: number, weights: "averaged" | "raw", { rows, columns }: Grid): Drawn {
    const { reporter, now } = this.#context;
    const seeds = Array.from({ length: rows * columns }, (_, i) => i);
    const path = samplesPath(this.#folder, images, weights);
    const start = now();
    // What a step leaves free is in pieces that do not fit what drawing needs, and the reverse.
    releaseFreeMemory();
    try {
      const { images: drawn } = generateImages(denoiser, seeds, {
        classes: seeds.map((seed) => Math.floor(seed / columns)),
        analytic: this.#analytic(),
        onStep: ({ progress }) => {
          checkStop(this.#context);
          reporter.update(`drawing ${counted(seeds.length)}: ${Math.floor(100 * progress)} %`);
        },
      });
      writeGrid(path, imagesOf(drawn), denoiser.shape, columns);
      drawn.dispose();
    } catch (error) {
      reporter.clear();
      if (error instanceof Stopped) return {};
      if (error instanceof SamplingError)
        return {
          problem: `no samples are drawn with the ${weights} weights: ${error.found}; should they go on to be, train with a lower 'lr'`,
        };
      if (isFileProblem(error)) return { problem: `the samples ${path} cannot be written: ${problemOf(error)}` };
      if (!isOutOfMemory(error)) throw error;
      return {
        problem: `there is not enough memory to draw ${seeds.length} images at once; draw them with stf generate and 'batch=4'`,
      };
    }
    releaseFreeMemory();
    this.#secondsPerImage = (now() - start) / seeds.length;
    this.#isMeasured = true;
    const names = this.#classNames?.slice(0, rows).map(listed).join(", ");
    const perClass = denoiser.labelDim > 0 ? `, a row per class${names === undefined ? "" : ` (${names})`},` : "";
    reporter.print(
      `drew ${counted(seeds.length)} with the ${weights} weights${perClass} in ${formatDuration(now() - start)}: ${path}`,
    );
    this.#onDrawn(path);
    return { path };
  }
}
