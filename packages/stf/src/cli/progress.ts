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
   * @param options.isQuiet - write nothing to the terminal: of several processes, only one prints
   * @param options.plainSeconds - without a terminal, a temporary line is kept every so many seconds; none when left out
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

  /** Prints a permanent line. */
  print(line: string): void {
    this.clear();
    this.#lastPrint = performance.now();
    if (!this.#isQuiet) process.stdout.write(`${line}\n`);
  }

  /** Prints a warning to stderr, which stays visible when stdout is redirected. */
  warn(line: string): void {
    this.clear();
    process.stderr.write(`stf: ${line}\n`);
  }

  /** Prints a permanent line if there is no terminal; on one, {@link update} shows more. */
  printPlain(line: string): void {
    if (!this.#terminal) this.print(line);
  }

  /** On a terminal, shows a line that the next one replaces. */
  update(line: string): void {
    const now = performance.now();
    if (!this.#terminal && now - this.#lastPrint > this.#plainMilliseconds) this.print(line);
    if (!this.#terminal || now - this.#lastDraw < REDRAW_MILLISECONDS) return;
    this.#lastDraw = now;
    this.#drawn = true;
    // A terminal of unknown width reports 0 or undefined.
    const width = process.stdout.columns || 80;
    process.stdout.write(`\r\x1b[K${line.slice(0, width - 1)}`);
  }

  /** Removes the temporary line. */
  clear(): void {
    if (this.#drawn) process.stdout.write("\r\x1b[K");
    this.#drawn = false;
  }
}
