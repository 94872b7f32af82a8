/** A training as TensorBoard shows it: event files in the run folder. */

import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { readImageHeader } from "../codecs/image-header.js";
import type { Backlog } from "../common/backlog.js";
import { isFileProblem } from "../common/folders.js";
import { flagOf } from "../config/fields.js";
import { appendEvents, latestEvent, newEventFile } from "../run/event-file.js";
import {
  type EventTime,
  imageValue,
  type SummaryValue,
  scalarValue,
  startEvent,
  summaryEvent,
  textValue,
} from "../run/events.js";
import { samplesIn } from "../run/files.js";
import { imagesAt, statisticsIn } from "../run/history.js";
import type { Statistic, StatsLine } from "../run/statistics.js";
import type { RunFolder } from "./run-folder.js";

const now = (): number => Date.now() / 1000;

/** The options as a table. */
function optionsTable(options: Readonly<Record<string, unknown>>): string {
  const rows = Object.entries(options).map(([name, value]) => `| ${flagOf(name)} | ${JSON.stringify(value)} |`);
  return ["| option | value |", "| --- | --- |", ...rows].join("\n");
}

/** Writes the statistics and sample images of one process of a run as events. Steps are images seen. */
export class TrainingBoard {
  readonly #folder: string;
  readonly #run: Pick<RunFolder, "linesOf">;
  readonly #options: Readonly<Record<string, unknown>>;
  #events: Backlog<Uint8Array> | undefined;

  /**
   * Begins as {@link begin} does.
   *
   * @param run - where events wait that cannot be written
   */
  constructor(
    folder: string,
    run: Pick<RunFolder, "linesOf">,
    options: Readonly<Record<string, unknown>>,
    images: number,
  ) {
    this.#folder = folder;
    this.#run = run;
    this.#options = options;
    this.begin(images);
  }

  /**
   * Begins a new event file, with what the run has so far and other event files do not. TensorBoard would not see what is added to a
   * file from which later events have been removed.
   *
   * @param images - those trained on so far
   */
  begin(images: number): void {
    const folder = this.#folder;
    const known = latestEvent(folder) ?? -1;
    const name = newEventFile(folder, now());
    this.#events = this.#run.linesOf(name, (event) => appendEvents(join(folder, name), [event], now()));
    this.#events.add(startEvent({ seconds: now(), images }));
    for (const line of statisticsIn(folder)) if ((imagesAt(line) ?? 0) > known) this.statistics(line);
    const earlier = readdirSync(folder).filter((file) => (samplesIn(file)?.images ?? 0) > known);
    for (const file of earlier.sort()) this.samples(join(folder, file));
    this.#add({ seconds: now(), images }, [textValue("options", optionsTable(this.#options))]);
  }

  #add(time: EventTime, values: readonly SummaryValue[]): void {
    this.#events?.add(summaryEvent(time, values));
  }

  /** Adds a line of statistics: the mean of each, under its name. */
  statistics(line: StatsLine): void {
    const images = imagesAt(line);
    if (images === undefined) return;
    const { timestamp, ...statistics } = line;
    const values = Object.entries(statistics as Readonly<Record<string, Statistic>>);
    this.#add(
      { seconds: timestamp, images },
      values.map(([name, { mean }]) => scalarValue(name, mean)),
    );
  }

  /** Adds a grid of samples that is in a file of the run; other files are left alone. */
  samples(path: string): void {
    const grid = samplesIn(basename(path));
    if (!grid) return;
    try {
      const file = readFileSync(path);
      const header = readImageHeader(file);
      if (!header) return;
      const { images, weights } = grid;
      this.#add({ seconds: statSync(path).mtimeMs / 1000, images }, [imageValue(`Samples/${weights}`, header, file)]);
    } catch (error) {
      // The statistics matter more than a picture that somebody has moved.
      if (!isFileProblem(error)) throw error;
    }
  }
}
