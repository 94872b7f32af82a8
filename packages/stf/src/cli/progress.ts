/** The status line: rewritten in place on a terminal, a plain line per tick elsewhere. */

import type { Reporter } from "../jobs/context.js";

const REDRAW_MILLISECONDS = 100;

export class StatusLine implements Reporter {
  readonly #terminal: boolean;
  readonly #isQuiet: boolean;
  readonly #plainMilliseconds: number;
  #drawn = false;
  #lastDraw = 0;
  #lastPrint = performance.now();

  /**
   * @param options.isQuiet - write nothing to the terminal: of several processes, one speaks
   * @param options.plainSeconds - where there is no terminal, one temporary line in so many seconds stays; else none does
   */
  constructor({
    isQuiet = false,
    plainSeconds = Number.POSITIVE_INFINITY,
  }: {
    isQuiet?: boolean;
    plainSeconds?: number;
  } = {}) {
    this.#plainMilliseconds = 1000 * plainSeconds;
    this.#terminal = process.stdout.isTTY === true && !isQuiet;
    this.#isQuiet = isQuiet;
  }

  /** A line that stays. */
  print(line: string): void {
    this.clear();
    this.#lastPrint = performance.now();
    if (!this.#isQuiet) process.stdout.write(`${line}\n`);
  }

  /** A line about trouble, on the other stream: it is read where the results are not. */
  warn(line: string): void {
    this.clear();
    process.stderr.write(`stf: ${line}\n`);
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
    // A terminal that does not know its width says 0, or nothing.
    const width = process.stdout.columns || 80;
    process.stdout.write(`\r\x1b[K${line.slice(0, width - 1)}`);
  }

  /** Removes the temporary line. */
  clear(): void {
    if (this.#drawn) process.stdout.write("\r\x1b[K");
    this.#drawn = false;
  }
}
