/**
 * What a command prints when nobody reads it any more, or it cannot be written. Work goes on: what it makes matters more than
 * what it says. The exit code tells that something was lost.
 */

let isWorking = false;
let isTold = false;

/** From now on the command makes something, and lines that are lost make it fail. One that only prints may be cut off. */
export function beginWork(): void {
  isWorking = true;
}

function onLoss({ code, message }: NodeJS.ErrnoException): void {
  const isCutOff = code === "EPIPE";
  // A reader such as `head` that has seen enough of a list is no failure.
  if (isTold || (isCutOff && !isWorking)) return;
  isTold = true;
  process.once("exit", () => {
    process.exitCode ||= 1;
  });
  const reason = isCutOff
    ? "nobody reads what this command prints any more"
    : `what this command prints is lost (${message})`;
  process.stderr.write(`stf: ${reason}${isWorking ? "; its work goes on, and it will end with exit code 1" : ""}\n`);
}

/** Keeps a command alive whose output is lost. */
export function watchOutput(): void {
  process.stdout.on("error", onLoss);
  // There is no other place to say it.
  process.stderr.on("error", () => {});
}
