/** The output of several processes as one log: whole lines, each with the rank of the process that wrote it. */

import type { Readable } from "node:stream";

/** Text without a line break that is long enough to be passed on as a line. */
const LONGEST_LINE = 1 << 16;

/**
 * Copies text line by line.
 *
 * @param source - what a process writes
 * @param sink - receives whole lines: the output of this process
 * @param prefix - put before each line
 */
export function copyLines(source: Readable, sink: NodeJS.WriteStream, prefix: string): void {
  let rest = "";
  const write = (lines: readonly string[]): void => {
    // The first rank may have a status line there, without a line break after it.
    const start = sink.isTTY ? `\r\x1b[K${prefix}` : prefix;
    if (lines.length > 0) sink.write(lines.map((line) => `${start}${line}\n`).join(""));
  };
  source.setEncoding("utf8");
  source.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LONGEST_LINE) {
      lines.push(rest);
      rest = "";
    }
    write(lines);
  });
  source.on("end", () => write(rest === "" ? [] : [rest]));
}
