/** A run has a single history: output from after the image count that it resumes at is set aside. */

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NewLines } from "../common/new-lines.js";
import { laterEvents, moveEvents } from "./event-file.js";
import { imagesInName, STATS_FILE, stampedNames } from "./files.js";
import type { StatsLine } from "./statistics.js";

interface TextLine {
  readonly line: StatsLine;
  readonly text: string;
}

function parsed(text: string): StatsLine | undefined {
  try {
    const line = JSON.parse(text) as StatsLine;
    return imagesAt(line) === undefined ? undefined : line;
  } catch {
    return undefined;
  }
}

/** The lines of a run's statistics, and what else the file holds. A last line cut off by a crash is neither. */
function readFileOfRun(folder: string): {
  readonly lines: readonly TextLine[];
  readonly unreadable: readonly string[];
} {
  const path = join(folder, STATS_FILE);
  const texts = existsSync(path) ? readFileSync(path, "utf8").split("\n") : [];
  const lines = texts.flatMap((text) => {
    const line = parsed(text);
    return line ? [{ line, text }] : [];
  });
  return { lines, unreadable: texts.slice(0, -1).filter((text) => text !== "" && !parsed(text)) };
}

const readLines = (folder: string): readonly TextLine[] => readFileOfRun(folder).lines;

/** The statistics in a run folder. */
export const statisticsIn = (folder: string): StatsLine[] => readLines(folder).map(({ line }) => line);

/** Images processed when a line was written; undefined for a line that does not tell. */
export function imagesAt(line: StatsLine): number | undefined {
  const kimg = line["Progress/kimg"]?.mean;
  return typeof kimg === "number" && Number.isFinite(kimg) ? Math.round(1000 * kimg) : undefined;
}

/** What a run has done before it is resumed. */
export interface RunHistory {
  /** Number of statistics lines written. */
  readonly ticks: number;
  /** Images processed when the last of them was written. */
  readonly images: number;
  /** Seconds of training until then. */
  readonly seconds: number;
  /** The lowest mean loss of a tick; infinity before the first. */
  readonly lowestLoss: number;
}

/** The history of a new run. */
export const noHistory: RunHistory = { ticks: 0, images: 0, seconds: 0, lowestLoss: Number.POSITIVE_INFINITY };

/** Whether a line is that of a tick; others hold numbers of quality. */
const isTick = (line: StatsLine): boolean => line["Timing/metrics_sec"] === undefined;

const ticksIn = (folder: string): StatsLine[] => statisticsIn(folder).filter(isTick);

/** The history according to the statistics in a run folder. */
export function historyOf(folder: string): RunHistory {
  const lines = ticksIn(folder);
  const last = lines.at(-1);
  if (!last) return noHistory;
  return {
    ticks: (last["Progress/tick"]?.mean ?? lines.length - 1) + 1,
    images: imagesAt(last) as number,
    seconds: last["Timing/total_sec"]?.mean ?? 0,
    lowestLoss: Math.min(...lines.map((line) => line["Loss/loss"]?.mean ?? Number.POSITIVE_INFINITY)),
  };
}

/** A loss of this many times the run's lowest one indicates divergence. */
const DIVERGED = 10;

/** Whether a loss indicates divergence, given the lowest one so far. */
export const isDiverged = (loss: number, lowest: number): boolean => loss > DIVERGED * lowest;

/**
 * The training states in a run folder whose weights are known to be good: a later tick had a normal loss. After a rise, only a loss as
 * low as any before is normal. Of the statistics, whose length grows with that of the run, only what is new is read.
 */
export class SoundStates {
  readonly #folder: string;
  readonly #lines: NewLines;
  #lowest = Number.POSITIVE_INFINITY;
  #hasRisen = false;
  #limit = 0;

  constructor(folder: string) {
    this.#folder = folder;
    this.#lines = new NewLines(join(folder, STATS_FILE));
  }

  /** Their paths at this time, the latest first. */
  paths(): string[] {
    const { texts, isFromStart } = this.#lines.read();
    if (isFromStart) [this.#lowest, this.#hasRisen, this.#limit] = [Number.POSITIVE_INFINITY, false, 0];
    for (const text of texts) {
      const line = parsed(text);
      if (line && isTick(line)) this.#add(line);
    }
    const names = stampedNames(readdirSync(this.#folder), "training-state");
    const sound = names.filter((name) => (imagesInName(name) as number) < this.#limit);
    return sound.reverse().map((name) => join(this.#folder, name));
  }

  #add(line: StatsLine): void {
    const loss = line["Loss/loss"]?.mean;
    // A tick without a loss had no step that succeeded.
    if (loss === undefined) return;
    this.#hasRisen = this.#hasRisen ? loss > this.#lowest : isDiverged(loss, this.#lowest);
    if (this.#hasRisen) return;
    this.#lowest = Math.min(this.#lowest, loss);
    this.#limit = imagesAt(line) as number;
  }
}

/** The paths of {@link SoundStates} in a run folder. */
export const soundStates = (folder: string): string[] => new SoundStates(folder).paths();

/** An unused name in a folder: the given one, or the same with a number appended. */
function freeName(folder: string, name: string): string {
  for (let number = 1; ; number++) {
    const path = join(folder, number === 1 ? name : `${name}-${number}`);
    if (!existsSync(path)) return path;
  }
}

/**
 * Prepares a run folder for resuming after `images` images: later files, statistics and events are moved to a subfolder, and a
 * line of statistics cut off by a crash is removed.
 *
 * @returns the folder that they were moved to; undefined when there were none
 * @throws errors of the file system
 */
export function setAsideAfter(folder: string, images: number): string | undefined {
  const later = readdirSync(folder).filter((name) => (imagesInName(name) ?? 0) > images);
  const { lines, unreadable } = readFileOfRun(folder);
  const [kept, dropped] = [true, false].map((isKept) =>
    lines.filter(({ line }) => (imagesAt(line) as number) <= images === isKept).map(({ text }) => `${text}\n`),
  ) as [string[], string[]];
  dropped.push(...unreadable.map((text) => `${text}\n`));
  const events = laterEvents(folder, images);
  let aside: string | undefined;
  if (later.length + dropped.length + events.length > 0) {
    aside = freeName(folder, `abandoned-after-${images}`);
    mkdirSync(aside);
    for (const name of later) renameSync(join(folder, name), join(aside, name));
    if (dropped.length > 0) writeFileSync(join(aside, STATS_FILE), dropped.join(""));
    for (const divided of events) moveEvents(folder, aside, divided);
  }
  const path = join(folder, STATS_FILE);
  const text = kept.join("");
  if (existsSync(path) && readFileSync(path, "utf8") !== text) {
    const temporary = join(folder, `.${STATS_FILE}.${process.pid}.partial`);
    writeFileSync(temporary, text);
    renameSync(temporary, path);
  }
  return aside;
}
