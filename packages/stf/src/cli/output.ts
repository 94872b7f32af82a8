/**
 * Output that has lost its reader or cannot be written. The command keeps working, because its results matter more than
 * its messages. The exit code reports that output was lost.
 */

let isWorking = false;
let isTold = false;

/** From now on the command produces a result, and lost lines make it fail. A command that only prints may be cut off. */
export function beginWork(): void {
  isWorking = true;
}

function onLoss({ code, message }: NodeJS.ErrnoException): void {
  const isCutOff = code === "EPIPE";
  // A reader such as `head` that stops early is not a failure.
  if (isTold || (isCutOff && !isWorking)) return;
  isTold = true;
  process.once("exit", () => {
    process.exitCode ||= 1;
  });
  const reason = isCutOff
    ? "the reader of this command's output has closed it"
    : `the output of this command is lost (${message})`;
  process.stderr.write(
    `stf: ${reason}${isWorking ? "; the command keeps working and will end with exit code 1" : ""}\n`,
  );
}

/** Keeps a command running after its output is lost. */
export function watchOutput(): void {
  process.stdout.on("error", onLoss);
  // There is nowhere else to report it.
  process.stderr.on("error", () => {});
}
