/** The status line: rewritten in place on a terminal, a plain line per tick elsewhere. */

import { appendFileSync } from "node:fs";
import { formatDuration } from "../run/format.js";
import type { Progress } from "../training/loop.js";

const REDRAW_MILLISECONDS = 100;

export class StatusLine {
  readonly #terminal: boolean;
  readonly #isQuiet: boolean;
  readonly #log: string | undefined;
  readonly #plainMilliseconds: number;
  #drawn = false;
  #lastDraw = 0;
  #lastPrint = performance.now();

  /**
   * @param options.log - file that gets a copy of every permanent line
   * @param options.isQuiet - write nothing to the terminal: of several processes, one speaks
   * @param options.plainSeconds - where there is no terminal, one temporary line in so many seconds stays; else none does
   */
  constructor({
    log,
    isQuiet = false,
    plainSeconds = Number.POSITIVE_INFINITY,
  }: {
    log?: string;
    isQuiet?: boolean;
    plainSeconds?: number;
  } = {}) {
    this.#plainMilliseconds = 1000 * plainSeconds;
    this.#terminal = process.stdout.isTTY === true && !isQuiet;
    this.#isQuiet = isQuiet;
    this.#log = log;
  }

  /** A line that stays. */
  print(line: string): void {
    this.clear();
    this.#lastPrint = performance.now();
    if (!this.#isQuiet) process.stdout.write(`${line}\n`);
    if (this.#log !== undefined) appendFileSync(this.#log, `${line}\n`);
  }

  /** A line that stays where there is no terminal, on which {@link update} tells more. */
  printPlain(line: string): void {
    if (!this.#terminal) this.print(line);
  }

  /** A line that the next one replaces, on a terminal. */
  update(line: string): void {
    const now = performance.now();
    if (!this.#terminal && now - this.#lastPrint > this.#plainMilliseconds) this.print(line);
    if (!this.#terminal || now - this.#lastDraw < REDRAW_MILLISECONDS) return;
    this.#lastDraw = now;
    this.#drawn = true;
    const width = (process.stdout.columns ?? 80) - 1;
    process.stdout.write(`\r\x1b[K${line.slice(0, width)}`);
  }

  /** Removes the temporary line. */
  clear(): void {
    if (this.#drawn) process.stdout.write("\r\x1b[K");
    this.#drawn = false;
  }
}

/** "12.8 kimg  loss 0.2113  152.0 images/s  1m 24s gone, 4m 10s left" */
export function formatProgress({ images, loss, imagesPerSecond, elapsed, remaining }: Progress): string {
  return [
    `${(images / 1000).toFixed(1).padStart(7)} kimg`,
    `loss ${loss.toFixed(4)}`,
    `${imagesPerSecond.toFixed(imagesPerSecond < 10 ? 2 : 1)} images/s`,
    `${formatDuration(elapsed)} gone, ${formatDuration(remaining)} left`,
  ].join("  ");
}
